"""A call that does not fit names the argument, whatever public name is called."""

import copy
import inspect
import pickle
from enum import Enum

import pytest
from torch import nn

import memcore
from memcore import (
    ArgumentTypeError,
    circuit,
    compression,
    fitting,
    optim,
    plot,
    sensing,
    spice,
    stimuli,
    study,
)
from memcore._keywords import hinted

CONFIG = memcore.CrossbarConfig(device="ideal")
LINEAR = nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: memcore.devices["vteam"](r_onn=50), "Vteam has no .* 'r_onn'; .* mean 'r_on'"),
        (
            lambda: memcore.devices["vteam"].preset("magic", foo=3),
            "Vteam has no .*; there are r_on",
        ),
        (lambda: memcore.devices["vteam"](50), "Vteam: too many positional arguments; expected"),
        (lambda: memcore.devices["mms"](50), r"expected Mms\(\*, r_on, .*\)$"),
        (lambda: memcore.compensate(LINEAR, 1), r"expected compensate\(model, \*, per, .*\)$"),
        (lambda: memcore.nonidealities["d2d"](sdt=0.1), "has no parameter 'sdt'; .* mean 'std'"),
        (lambda: memcore.CrossbarConfig(device="ideal", adcs=1), "'adcs'; did you mean 'adc'"),
        (memcore.CrossbarConfig, "CrossbarConfig: missing a .* 'device'; expected"),
        (lambda: CONFIG.replace(foo=3), "CrossbarConfig has no parameter 'foo'; there are device"),
        (lambda: memcore.convert(LINEAR, CONFIG, calib=1), "convert .* mean 'calibration'"),
        (lambda: memcore.age(LINEAR, second=1), "age has no .* 'second'; did you mean 'seconds'"),
        (lambda: memcore.Normal(1.0, sdt=0.1), "Normal has no .* 'sdt'; did you mean 'std'"),
        (lambda: memcore.Wires(wordline=1.0), "'wordline'; did you mean 'word_line'"),
        (lambda: memcore.Crossbar(None, wire=None), "Crossbar has no .* did you mean 'wires'"),
        (lambda: memcore.Stream(0, 1, 2, 3, 4), r"Stream: .*; expected Stream\(seed, path\)$"),
        (lambda: memcore.fit("vteam", flor=1), "fit has no .* 'flor'; did you mean 'floor'"),
        (lambda: circuit.solve(drives=1), "solve has no .* 'drives'; did you mean 'drive'"),
        (lambda: circuit.Drive(wordline=1), "Drive has no .* did you mean 'word_line'"),
        (lambda: circuit.Drive.select(4, 3, 0, 0, 1.0, schema=1), "select has .* mean 'scheme'"),
        (lambda: circuit.Selector.from_half_bias_ratio(3, volt=1), "did you mean 'voltage'"),
        (lambda: circuit.Selector(i=1), "Selector has no parameter 'i'"),
        (lambda: stimuli.sine(1.0, frequenz=3), "sine has no .* did you mean 'frequency'"),
        (lambda: plot.hysteresis(1, axs=1), "hysteresis has no parameter 'axs'"),
        (lambda: spice.netlist(1, fil=1), "netlist has no parameter 'fil'"),
        (lambda: study.load("x", y=1), "load has no parameter 'y'"),
        (
            lambda: fitting.IVData.from_csv("x.csv"),
            r"'columns'; expected from_csv\(path, \*, ",
        ),
        (lambda: fitting.PulseData(counts=1), "PulseData has no .* did you mean 'count'"),
        (lambda: optim.trains(1, 2, 3), r"'granularity'; expected trains\(x, d, lr, granularity"),
        (lambda: compression.kmeans(1, k=3), "kmeans has no parameter 'k'"),
        (sensing.midpoints, "midpoints: missing"),
    ],
)
def test_argument_that_a_call_does_not_take_is_named(call, message):
    with pytest.raises(ArgumentTypeError, match=message) as caught:
        call()
    assert isinstance(caught.value, TypeError)


def faces():
    """All functions and classes that can be called, by the names under which they are public."""
    names = {f"memcore.{name}": getattr(memcore, name) for name in memcore._LAZY}
    for room in (circuit, compression, fitting, optim, plot, sensing, spice):
        names |= {f"{room.__name__}.{name}": getattr(room, name) for name in room.__all__}
    for name in ("sine", "triangle", "pulse_train", "ltp_ltd", "staircase"):
        names[f"memcore.stimuli.{name}"] = getattr(stimuli, name)
    return [pytest.param(value, id=name) for name, value in names.items() if takes_options(value)]


def takes_options(value):
    if not isinstance(value, type):
        return inspect.isfunction(value)
    special = issubclass(value, Exception | Enum) or getattr(value, "_is_protocol", False)
    return "__init__" in vars(value) and not special and not inspect.isabstract(value)


@pytest.mark.parametrize("value", faces())
def test_no_public_name_answers_an_unknown_keyword_with_an_error_of_python(value):
    with pytest.raises(ArgumentTypeError, match=r"has no parameter 'no_such_thing'|missing a"):
        value(no_such_thing=1)


@pytest.mark.parametrize("kind", sorted(memcore.registries()))
def test_no_plugin_answers_an_unknown_keyword_with_an_error_of_python(kind):
    for name, plugin in memcore.registries()[kind].items():
        if kind != "layers":
            with pytest.raises(ArgumentTypeError, match="has no parameter 'no_such_thing'"):
                plugin(no_such_thing=1)
        assert name


def test_signature_and_documentation_stay():
    from memcore.nn.conversion import convert

    assert inspect.signature(memcore.convert) == inspect.signature(convert)
    assert memcore.convert.__doc__ == convert.__doc__
    assert "r_on" in inspect.signature(memcore.devices["ideal"]).parameters


@pytest.mark.parametrize("function", [memcore.convert, circuit.solve, stimuli.sine])
def test_public_functions_are_pickled_by_their_public_name(function):
    assert pickle.loads(pickle.dumps(function)) is function
    assert copy.deepcopy(function) is function


def test_second_name_of_a_function_stays_one():
    assert circuit.alone is circuit.single_cell_voltage


def test_error_inside_a_function_is_left_alone():
    @hinted
    def broken(*, x):
        return x + "1"

    with pytest.raises(TypeError, match="unsupported operand") as caught:
        broken(x=1)
    assert not isinstance(caught.value, memcore.MemcoreError)


def test_function_that_takes_any_keyword_takes_them():
    @hinted
    def loose(a, **others):
        return a, others

    assert loose(1, b=2) == (1, {"b": 2})
    with pytest.raises(ArgumentTypeError, match=r"loose: missing .*'a'; expected loose\(a\)"):
        loose(b=2)
