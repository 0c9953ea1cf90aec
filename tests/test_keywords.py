"""A call that does not fit names the argument, whatever public name is called."""

import copy
import inspect
import pickle
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore import (
    ArgumentTypeError,
    _mistyped,
    circuit,
    compression,
    fitting,
    optim,
    plot,
    sensing,
    spice,
    stimuli,
    study,
    testing,
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


# -- arguments of another type --------------------------------------------------------------------

G = torch.full((3, 2), 1e-5)
POINT = {"crossbar": {"device": "ideal"}, "sweep": [{"name": "point"}]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compression.sizes(3, CONFIG), "sizes: model=3; expected a torch.nn.Module"),
        (lambda: compression.sizes(LINEAR, {}), "sizes: config={}; expected a CrossbarConfig"),
        (lambda: compression.states("ideal"), "states: config='ideal'; expected an ArraySettings"),
        (lambda: compression.kmeans([1.0], 3), "values is a list; expected a tensor"),
        (lambda: compression.nearest(None, G), "nearest: book=None; expected a tensor"),
        (
            lambda: compression.CodebookConv2d(3, 2, 3),
            "CodebookConv2d: kernel_size=3; expected a tuple",
        ),
        (lambda: sensing.midpoints("0", 1.0, 2), "low='0'; expected a finite number of A"),
        (lambda: sensing.midpoints(0.0, 1.0, -3), "lines=-3; expected an integer >= 1"),
        (lambda: optim.trains(1.0, G, 0.1, 0.1), "x is a float; expected a tensor"),
        (lambda: optim.trains(G[None], G[None], 0.1, -1.0), "granularity=-1.0; expected"),
        (lambda: memcore.Affine("2"), "Affine: gain='2'; expected a tensor or a number"),
        (lambda: memcore.Gaussian(std=None), "Gaussian: std=None; expected a tensor or a number"),
        (lambda: memcore.Lookup([1.0], G), r"Lookup: edges=\[1.0\]; expected a tensor"),
        (lambda: memcore.UniformLevels(0.1, -7, float("nan")), "hi=nan; expected a finite number"),
        (lambda: memcore.SerialLevels(0.1, 0, 7, bits_per_step=1.5), "bits_per_step=1.5; expected"),
        (lambda: memcore.Stream(0, 3).normal((2,)), "Stream: path=3; expected a tuple"),
        (lambda: memcore.parameter(1.0, "V", "x", within=3), "parameter: within=3; expected a tup"),
        (lambda: plot.timeline("x"), "timeline: timeline='x'; expected a Timeline"),
        (lambda: plot.comparison("chips"), "comparison: chips='chips'; expected a sequence"),
        (lambda: study.plan(POINT, 3), "plan: out=3; expected a text or a path or None"),
        (lambda: testing.assert_codes_close(1.0, G, 0.1), "actual=1.0; expected a tensor"),
        (lambda: circuit.Transistor(gate_line=1.5, gain=2**64), "gain=18446744073709551616; exp"),
        (lambda: memcore.Crossbar(G).write(1.0), "weight is a float; expected a tensor"),
        (lambda: memcore.Crossbar(G).correct(2.0), "factor=2.0; expected a tensor"),
        (
            lambda: memcore.CrossbarConfig.from_mapping({"device": "ideal", "tile": np.ones(2)}),
            "ti",
        ),
    ],
)
def test_an_argument_of_another_type_is_named(call, message):
    with pytest.raises(memcore.MemcoreError, match=message):
        call()


def test_what_failed_inside_is_the_cause():
    with pytest.raises(ArgumentTypeError) as caught:
        compression.prunable(3)
    assert isinstance(caught.value.__cause__, AttributeError)


def test_an_error_in_a_call_with_the_right_types_stays_as_it_is():
    def broken(module, name):
        raise AttributeError("mine")

    with pytest.raises(AttributeError, match=r"^mine$"):
        memcore.convert(nn.Sequential(LINEAR), CONFIG, filter_fn=broken)


def test_an_error_of_a_function_of_ones_own_stays_where_another_argument_is_of_another_type():
    def broken(module, name):
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$") as caught:
        memcore.convert(nn.Sequential(LINEAR), CONFIG, filter_fn=broken, fold_batch_norm=np.False_)
    assert not isinstance(caught.value, memcore.MemcoreError)


def test_an_error_stays_where_a_type_cannot_be_asked_about(monkeypatch):
    def cannot(*args):
        raise TypeError("typed dictionaries have no instances")

    monkeypatch.setattr(_mistyped, "mistyped", cannot)
    with pytest.raises(AttributeError, match="named_modules"):
        compression.prunable(3)


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, float, True),
        (np.float32(1), float, True),
        (True, float, False),
        ("1", float, False),
        (1.0, int, False),
        (np.int64(1), int, True),
        (2**64, int, False),
        (1, bool, False),
        (None, int | None, True),
        ("a", Literal["a", "b"], True),
        (np.ones(2), Literal["a", "b"], False),
        ((1, 2), tuple[int, int], True),
        ((1, "a"), tuple[int, int], False),
        ([1, 2], Sequence[int], True),
        ("ab", Sequence[str], True),
        ("ab", Sequence[float], False),
        ((1, 2, 3), tuple[int, ...], True),
        (len, Callable[[int], int], True),
        (3, Callable[[int], int], False),
        (LINEAR, nn.Module, True),
        (nn.Linear, type[nn.Module], True),
        (circuit.Ohmic(), circuit.CellLaw, True),
        (3, circuit.CellLaw, False),
        (object(), Any, True),
        (3, "unknown", True),
    ],
)
def test_what_may_be_meant_where_there_is_an_annotation(value, annotation, fits):
    assert _mistyped.fits(value, annotation) == fits


def test_calls_in_order_ask_for_no_types(monkeypatch):
    monkeypatch.setattr(_mistyped, "mistyped", None)
    assert compression.kmeans(torch.arange(3.0), 2).shape == (2,)
