"""Odd arguments at every public border: each call gives a result or a `MemcoreError`, in time.

`MEMCORE_FUZZ=10000 pytest -m slow tests/test_fuzz.py -s` tries as many cases in all and prints a
table of what they gave.
"""

import dataclasses
import math
import os
import resource
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

import memcore
from memcore import circuit, fitting, plot, spice, stimuli, study
from memcore.circuit import Drive, solve
from memcore.study import sweeps

CASES = int(os.environ.get("MEMCORE_FUZZ", "400"))
LONGEST = 20.0  #: seconds of processor time of one call
MOST_BYTES = 8 << 30  #: of memory that one call may ask for

NAN, INF = float("nan"), float("inf")
ODD: list[Any] = [
    *(NAN, INF, -INF, 0, -1, 0.0, -0.0, 1, 2.5, 1e-300, 1e-45, 1e39, 1e300, -1e301, 10**400),
    *(2**64, -(2**63) - 1, True, False, None, "", "1", "1e3", "nan", "x\n", b"x", 1j, [], {}, ()),
    *([1, 2], (1, "a"), {"name": 3}, {"name": "vteam"}, {1: 2}, range(3), set(), object()),
    *(lambda *_: None, memcore.Normal(1.0, 0.1), memcore.Normal, np.ones((3, 2)), np.float32(1)),
]
SCALARS = st.one_of(
    st.sampled_from(ODD), st.floats(), st.integers(), st.floats(1e-6, 1e6), st.text(max_size=3)
)
TENSORS: dict[str, Callable[[], Any]] = {
    "empty": lambda: torch.empty(0),
    "empty matrix": lambda: torch.empty(0, 3),
    "scalar": lambda: torch.tensor(1e-5),
    "vector": lambda: torch.full((3,), 1e-5),
    "matrix": lambda: torch.full((3, 2), 1e-5),
    "other matrix": lambda: torch.full((5, 4), 1e-5),
    "cube": lambda: torch.full((2, 3, 2), 1e-5),
    "NaN": lambda: torch.full((3, 2), float("nan")),
    "infinite": lambda: torch.full((3, 2), float("inf")),
    "negative": lambda: torch.full((3, 2), -1e-5),
    "huge": lambda: torch.full((3, 2), 1e300, dtype=torch.float64),
    "tiny": lambda: torch.full((3, 2), 1e-310, dtype=torch.float64),
    "large float32": lambda: torch.full((3, 2), 3e38),
    "complex": lambda: torch.ones(3, 2) * (1 + 1j),
    "complex vector": lambda: torch.ones(3) * (1 + 1j),
    "meta": lambda: torch.ones(3, 2, device="meta"),
    "meta vector": lambda: torch.ones(3, device="meta"),
    "sparse": lambda: torch.eye(3, 2).to_sparse(),
    "csr": lambda: torch.eye(3, 2).to_sparse_csr(),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "float8": lambda: torch.ones(3, 2).to(torch.float8_e4m3fn),
    "float16": lambda: torch.full((3, 2), 0.5, dtype=torch.float16),
    "integers": lambda: torch.ones(3, 2, dtype=torch.int64),
    "booleans": lambda: torch.ones(3, 2, dtype=torch.bool),
    "wants gradients": lambda: torch.full((3, 2), 1e-5, requires_grad=True),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(3, 2), 0.1, 0, torch.qint8),
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of kinds that torch calls experimental or deprecated
    MADE = {name: make() for name, make in TENSORS.items()}
VALUES = st.one_of(SCALARS, st.sampled_from(list(MADE)).map(MADE.__getitem__))


def config(**settings: Any) -> memcore.CrossbarConfig:
    return memcore.CrossbarConfig(**{"device": "ideal", **settings})


ADC = {"name": "uniform", "bits": 6}
G, V, X = torch.full((3, 2), 1e-5), torch.ones(3), torch.ones(4, 3)
GD, VD, WIRES = G.double(), V.double(), memcore.Wires(word_line=1.0, bit_line=1.0)
THRESHOLD = circuit.ThresholdSelector(v_th=0.8, v_hold=0.3, r_on=2e3, r_off=1e8)
SINE = stimuli.sine(1.0, 1e3, dt=2e-5)
LOADER = [(X, torch.zeros(4).long())]


def network(model: Any = ..., **settings: Any) -> Any:
    """A converted network where no odd one came."""
    torch.manual_seed(0)
    if model is not ...:
        return model
    return memcore.convert(nn.Sequential(nn.Linear(3, 2)), config(**settings))


def trace(odd: Any = ...) -> Any:
    return memcore.simulate("vteam", SINE, 2e-5) if odd is ... else odd


def measured(odd: Any = ...) -> Any:
    if odd is not ...:
        return odd
    run = memcore.simulate(memcore.devices["linear_ion_drift"](x0=0.2), SINE, 2e-5)
    return fitting.IVData(time=run.time, voltage=SINE, current=run.current)


SECONDS = torch.tensor([0.1, 0.2, 0.3, 0.4])


def retained() -> fitting.RetentionData:
    return fitting.RetentionData(time=SECONDS, conductance=1e-5 * (1 + SECONDS) ** -0.1)


KEYS = {"devices": "device", "mappers": "mapper", "programmers": "programmer", "converters": "adc"}


def plugin(kind: str, name: str, **parameters: Any) -> None:
    """Build a plugin, and use it."""
    made = memcore.registries()[kind][name](**parameters)
    if kind == "costs":
        memcore.cost(network(adc=ADC), X, model=made)
        return
    if kind == "compressions":
        states = {"name": "finite_states", "states": 16}
        memcore.compress(nn.Linear(3, 2), config(nonidealities=[states]), [made], LOADER)
        return
    if kind == "updates":
        mapper = "differential" if made.pair == "one_sided" else "offset"
        net = memcore.convert(nn.Linear(3, 2), config(device="soft_bounds", mapper=mapper))
        optimizer = memcore.optim.InSitu(net, rule=made, lr=0.1)
        net(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return
    if kind == "executors":
        return  # whatever it starts has its own tests
    used = {"nonidealities": [made]} if kind == "nonidealities" else {KEYS[kind]: made}
    memcore.convert(nn.Linear(3, 2), config(**used))(torch.ones(1, 3))
    if kind == "devices":
        memcore.simulate(made, V, 1e-9)


def draw(kind: str, seed: Any, shape: Any, **parameters: Any) -> Any:
    return getattr(memcore, kind)(**parameters).sample(memcore.Stream(seed), shape)


def of_law(law: Callable[..., Any], **parameters: Any) -> None:
    solve(GD, WIRES, Drive.read(VD), law=law(**parameters))


def of_series(element: Callable[..., Any], **parameters: Any) -> None:
    solve(GD, WIRES, Drive.read(VD), series=element(**parameters))


def settle(**settings: Any) -> None:
    """A study with odd settings at the paths, its points and their crossbars."""
    content: dict[str, Any] = {"crossbar": {"device": "ideal"}, "sweep": [{"name": "s"}]}
    for path, value in sorted(settings.items(), key=lambda item: "." not in item[0]):
        table, _, key = path.rpartition(".")
        place = content["sweep"][0] if table == "sweep" else content.setdefault(table, {})
        (place if table else content)[key] = value
    content.pop("", None)
    for point in sweeps.points(study.read(content)):
        sweeps.configuration(point)


SETTINGS = [
    *(f"study.{name}" for name in study.General.model_fields),
    *(f"train.{name}" for name in study.Recipe.model_fields),
    *(f"sweep.{name}" for name in study.Sweep.model_fields),
    *(f"crossbar.{field.name}" for field in dataclasses.fields(memcore.CrossbarConfig)),
    *("study", "train", "crossbar", "x"),
]
OPTIONS = {
    field.name: field.default
    if field.default is not dataclasses.MISSING
    else field.default_factory()  # type: ignore[misc]
    for field in dataclasses.fields(fitting.FitOptions)
}
SELECTED = {"rows": 3, "cols": 2, "row": 1, "col": 0, "voltage": 1.0, "scheme": "V/2"}

#: What is called, with arguments that give a result: `...` stands for a network or what it takes.
BORDERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Crossbar": (
        lambda v, **given: memcore.Crossbar(**given) @ v,
        {"conductance": G, "v": V, "device": None, "nonidealities": (), "wires": None, "law": None}
        | {"series": None, "tile": None, "dac": None, "adc": None, "temperature": 300.0, "seed": 0},
    ),
    "Crossbar.solve": (lambda v: memcore.Crossbar(G, wires=WIRES).solve(v), {"v": V}),
    "convert": (
        lambda **given: memcore.convert(**given)(torch.ones(1, 3)),
        {"model": nn.Linear(3, 2), "config": config(), "filter_fn": None, "seed": 0}
        | {"calibration": None},
    ),
    "forward": (lambda **given: network(adc=ADC)(given["x"]), {"x": X}),
    **{
        verb: (lambda model, verb=verb: getattr(memcore, verb)(network(model)), {"model": ...})
        for verb in ("program", "revert_", "summary", "provenance")
    },
    "calibrate": (
        lambda model, x, forward: memcore.calibrate(network(model, adc=ADC), x, forward=forward),
        {"model": ..., "x": X, "forward": None},
    ),
    "age": (
        lambda model, **given: memcore.age(network(model), **given),
        {"model": ..., "seconds": 1.0, "temperature": 300.0, "cycles": 0, "reads": 0},
    ),
    "check_ideal": (
        lambda model, **given: memcore.check_ideal(network(model), **given),
        {"model": ..., "x": X, "tolerance": None, "forward": None},
    ),
    "diagnose": (
        lambda model, **given: memcore.diagnose(network(model, adc=ADC), **given),
        {"model": ..., "loader": LOADER, "metric": None, "forward": None},
    ),
    "compress": (
        lambda passes, **given: memcore.compress(passes=[passes], **given),
        {"model": nn.Linear(3, 2), "config": config(), "loader": LOADER, "distil": 0.0}
        | {"passes": {"name": "admm", "epochs": 1}, "loss": nn.functional.cross_entropy}
        | {"optimizer": None},
    ),
    "clip_weights": (
        lambda model, **given: memcore.clip_weights(network(model), **given),
        {"model": ..., "largest": 1.0, "sigmas": None},
    ),
    "compensate": (
        lambda model, **given: memcore.compensate(network(model), **given),
        {"model": ..., "per": "layer", "probes": 4, "reference": "exact"},
    ),
    "check_ranges": (
        lambda model, x, forward: memcore.check_ranges(
            memcore.convert(nn.Linear(3, 2), config(adc=ADC), calibration=X)
            if model is ...
            else model,
            x,
            forward=forward,
        ),
        {"model": ..., "x": X, "forward": None},
    ),
    "sensing_table": (
        memcore.sensing_table,
        {"device": "ideal", "rows": 2, "read_voltage": 0.2, "references": "midpoint"},
    ),
    "list_schedule": (
        memcore.list_schedule,
        {"tasks": [memcore.Task(stage="a", duration=1.0)], "resources": {}},
    ),
    "components.search": (memcore.components.search, {"text": "adc", "kind": ""}),
    "cost": (
        lambda net, x, **given: memcore.cost(network(net), x, **given),
        {"net": ..., "x": X, "model": "array", "forward": None},
    ),
    "simulate": (
        memcore.simulate,
        {"device": "vteam", "voltage": V, "dt": 1e-9, "state": None, "shape": (), "seed": 0}
        | {"record": "all", "engine": "auto", "series": 0.0, "limit": None},
    ),
    "fit": (
        lambda device, data, **given: memcore.fit(device, measured(data), **given),
        {"device": "linear_ion_drift", "data": ..., **OPTIONS, "free": ["x0"], "starts": 1},
    ),
    "fit_retention": (
        fitting.fit_retention,
        {"effect": "drift", "data": retained(), "device": None, "temperature": 300.0}
        | {"spread": None, "free": ["nu"], "fixed": (), "start": None, "bounds": None},
    ),
    "RetentionData": (fitting.RetentionData, {"time": SECONDS, "conductance": SECONDS}),
    "OnOffData": (
        lambda **given: memcore.fit("on_off", fitting.OnOffData(**given)),
        {"on": 1e-4 * (1 + SECONDS), "off": 1e-5 * SECONDS},
    ),
    "Empirical": (partial(draw, "Empirical"), {"seed": 0, "shape": (3,), "values": (1.0, 2.0)}),
    "sine": (stimuli.sine, {"amplitude": 1.0, "frequency": 1e3, "dt": 1e-5, "periods": 1.0}),
    "triangle": (stimuli.triangle, {"amplitude": 1.0, "frequency": 1e3, "dt": 1e-5}),
    "pulse_train": (
        stimuli.pulse_train,
        {"amplitude": 1.0, "count": 2, "width": 1.0, "gap": 1.0, "dt": 1.0, "read": 0.0},
    ),
    "ltp_ltd": (
        stimuli.ltp_ltd,
        {"potentiation": 1.0, "depression": -1.0, "pulses": 2, "width": 1.0, "gap": 1.0}
        | {"dt": 1.0, "cycles": 1, "read": 0.0},
    ),
    "staircase": (
        stimuli.staircase,
        {"start": 0.0, "stop": 1.0, "steps": 3, "width": 1.0, "dt": 1.0, "gap": 0.0},
    ),
    "Normal": (
        partial(draw, "Normal"),
        {"seed": 0, "shape": (3,), "mean": 1.0, "std": 0.1, "min": None, "max": None},
    ),
    "LogNormal": (
        partial(draw, "LogNormal"),
        {"seed": 0, "shape": (3,), "median": 1.0, "sigma": 0.1, "min": None, "max": None},
    ),
    "Uniform": (partial(draw, "Uniform"), {"seed": 0, "shape": (3,), "min": 0.0, "max": 1.0}),
    "config": (
        lambda **given: memcore.CrossbarConfig.from_mapping(given),
        {"device": "ideal", "mapper": "differential", "programmer": "direct", "nonidealities": []}
        | {"without": [], "tile": [8, 8], "dac": None, "adc": ADC, "read_voltage": 0.2}
        | {"bias": "digital", "adc_per": "output", "temperature": 300.0, "rows_at_once": None}
        | {"groups": "apart", "faults": "ignored", "spare_cols": 0, "dac_per": "layer"}
        | {"bound_management": "none"},
    ),
    "registry": (lambda name: memcore.devices[name], {"name": "vteam"}),
    "effective_conductance": (
        lambda g, **given: memcore.effective_conductance(g, memcore.Wires(**given)),
        {"g": G, "word_line": 1.0, "bit_line": 1.0, "driver": 0.0, "sense": 0.0, "first": True}
        | {"last": True, "drive": "left", "sense_at": "bottom"},
    ),
    "solve": (
        solve,
        {"g": GD, "wires": WIRES, "drive": Drive.read(VD), "law": circuit.Ohmic(), "series": None}
        | {"tolerance": None, "iterations": 100, "strict": True, "start": None},
    ),
    "ramp": (
        circuit.ramp,
        {"g": GD, "wires": WIRES, "drive": Drive.read(VD), "series": THRESHOLD, "start": None}
        | {"on": None, "steps": 2, "events": None, "tolerance": None, "iterations": 100},
    ),
    "cell_currents": (
        circuit.cell_currents,
        {"v": VD, "g": GD, "wires": WIRES, "tolerance": None, "iterations": 1000},
    ),
    "Drive": (
        Drive,
        {"word_line": VD, "bit_line": None, "floating_word_lines": None}
        | {"floating_bit_lines": None},
    ),
    "Drive.select": (Drive.select, {**SELECTED, "dtype": torch.float64, "device": None}),
    "path_resistance": (
        circuit.path_resistance,
        {"rows": 3, "cols": 2, "wires": WIRES, "device": None},
    ),
    "single_cell_voltage": (
        circuit.single_cell_voltage,
        {"voltage": VD, "g": GD[:, 0], "resistance": VD, "law": circuit.Ohmic(), "series": None}
        | {"bit_resistance": None},
    ),
    "Transistor": (
        partial(of_series, circuit.Transistor),
        {"gate_voltage": None, "gate_line": 1.5, "threshold": 0.5, "gain": 1e-3, "modulation": 0.0}
        | {"body_effect": 0.0, "surface_potential": 0.7, "body": 0.0},
    ),
    "Selector": (partial(of_series, circuit.Selector), {"i0": 1e-9, "v0": 0.1}),
    "half_bias_ratio": (
        circuit.Selector.from_half_bias_ratio,
        {"ratio": 1e3, "voltage": 1.0, "current": 1e-6},
    ),
    "ThresholdSelector": (
        partial(of_series, circuit.ThresholdSelector),
        {"v_th": 0.8, "v_hold": 0.3, "r_on": 2e3, "r_off": 1e8, "smoothing": 0.01},
    ),
    "kmeans": (
        memcore.compression.kmeans,
        {"values": torch.arange(9.0), "size": 3, "rounds": 5},
    ),
    "sizes": (memcore.compression.sizes, {"model": nn.Linear(3, 2), "config": config()}),
    "with_codebooks": (
        lambda **given: memcore.compression.with_codebooks(nn.Sequential(nn.Linear(3, 2)), **given),
        {"weights": 4, "inputs": 4, "activation_rows": 0, "product_bytes": 4},
    ),
    "CodebookLinear": (
        memcore.compression.CodebookLinear,
        {"in_features": 3, "out_features": 2, "bias": True, "weights": 4, "inputs": 4}
        | {"product_bytes": 4},
    ),
    "midpoints": (memcore.sensing.midpoints, {"low": 1e-6, "high": 1e-4, "lines": 3}),
    "Affine": (memcore.Affine, {"gain": 1.0, "offset": 0.0}),
    "Gaussian": (memcore.Gaussian, {"std": 1.0, "relative": 0.0}),
    "UniformLevels": (
        partial(memcore.UniformLevels, 0.1),
        {"lo": -7, "hi": 7, "offset": 0.0},
    ),
    "SerialLevels": (
        lambda **given: memcore.SerialLevels(0.1, **given).digits(X),
        {"lo": -7, "hi": 7, "bits_per_step": 1, "signed": "magnitude"},
    ),
    "InSitu": (
        lambda **given: memcore.optim.InSitu(
            memcore.convert(nn.Linear(3, 2), config(device="soft_bounds", mapper="offset")), **given
        ),
        {"rule": "sgd_pulsed", "lr": 0.1, "order": "grouped", "pair": None},
    ),
    "Sinh": (partial(of_law, circuit.Sinh), {"v0": 0.25, "read_voltage": 0.0}),
    "Polynomial": (
        partial(of_law, circuit.Polynomial),
        {"coefficients": (1.0, 0.1), "read_voltage": 0.0, "limit": 1.0},
    ),
    "netlist": (
        spice.netlist,
        {"cells": GD, "v": VD, "wires": None, "law": None, "series": None, "array": 0},
    ),
    "plot.crossbar": (
        plot.crossbar,
        {"solution": solve(GD, WIRES, Drive.read(VD)), "what": "current", "drive": None}
        | {"wires": None, "ax": None},
    ),
    "plot.hysteresis": (
        lambda t, **given: plot.hysteresis(trace(t), **given),
        {"t": ..., "log": False, "ax": None},
    ),
    "plot.switching": (
        lambda t, **given: plot.switching(trace(t), **given),
        {"t": ..., "ax": None},
    ),
    "plot.pulse_response": (
        lambda t, **given: plot.pulse_response(trace(t), **given),
        {"t": ..., "threshold": 0.3, "width": None, "ax": None},
    ),
    "plot.programming": (
        lambda model, **given: plot.programming(
            memcore.yields.yield_report(network(model)), **given
        ),
        {"model": ..., "show": "error", "ax": None},
    ),
    "plot.cumulative": (
        plot.cumulative,
        {"device": memcore.devices["ideal"](), "cells": 10, "seed": 0, "ax": None},
    ),
    "study": (settle, {}),
}
#: Borders with names of their own: the plugins of each kind with their parameters.
PLUGINS = {
    kind: {name: [f.name for f in dataclasses.fields(each) if f.init] for name, each in r.items()}
    for kind, r in memcore.registries().items()
    if kind != "layers"
}
#: More cases where there is more to choose.
WEIGHTS = {"devices": 10, "nonidealities": 8, "programmers": 4, "study": 6, "config": 2}

TABLE: dict[str, Counter[str]] = {name: Counter() for name in [*BORDERS, *PLUGINS]}


def some(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """One or two arguments, and odd values for them."""
    chosen = st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, VALUES)))


def cases(border: str) -> st.SearchStrategy[dict[str, Any]]:
    if border == "study":
        return some(SETTINGS)
    if border not in PLUGINS:
        return some(list(BORDERS[border][1]))
    named = {name: fields for name, fields in PLUGINS[border].items() if fields}
    return st.sampled_from(sorted(named)).flatmap(
        lambda name: some(named[name]).map(lambda odd: {"name": name, **odd})
    )


def outcome(border: str, odd: dict[str, Any]) -> tuple[str, str]:
    """What a call gives: right, MemcoreError or other, and words for the last."""
    call, usual = BORDERS.get(border, (partial(plugin, border), {}))
    begin = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(**{**usual, **odd})
    except memcore.MemcoreError:
        kind, words = "MemcoreError", ""
    except Exception as error:  # what the test is about
        kind, words = "other", f"{type(error).__name__}: {str(error)[:150]}"
    else:
        kind, words = "right", ""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    took = time.process_time() - begin
    return (kind, words) if took < LONGEST else ("other", f"took {took:.1f} s")


@pytest.mark.parametrize("border", BORDERS)
def test_usual_arguments_give_a_result(border):
    assert outcome(border, {}) == ("right", "")


@pytest.mark.slow
@pytest.mark.parametrize("border", TABLE)
def test_odd_arguments_give_a_result_or_a_reason(border):
    found: dict[str, str] = {}
    shares = len(TABLE) - len(WEIGHTS) + sum(WEIGHTS.values())

    @settings(
        max_examples=max(1, math.ceil(CASES / shares)) * WEIGHTS.get(border, 1),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(border))
    def attempt(odd):
        kind, words = outcome(border, odd)
        TABLE[border].update(["tried", kind])
        if kind == "other":
            shown = ", ".join(f"{k}={memcore._text.shown(v)}" for k, v in odd.items())
            found.setdefault(words, shown)

    attempt()
    assert not found, "\n".join(f"{border}({odd}): {words}" for words, odd in found.items())


def _stop(*_: object) -> None:
    raise TimeoutError(f"took more than {LONGEST} s")


@pytest.fixture(autouse=True)
def _bounds():
    """No call may take longer than `LONGEST`, or more memory than `MOST_BYTES` beyond ours."""
    signal.signal(signal.SIGPROF, _stop)
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    signal.signal(signal.SIGPROF, signal.SIG_IGN)


@pytest.fixture(scope="module", autouse=True)
def _table():
    yield
    columns = ("tried", "right", "MemcoreError", "other")
    rows = [("border", *columns), *((n, *(str(c[k]) for k in columns)) for n, c in TABLE.items())]
    rows.append(("all", *(str(sum(c[k] for c in TABLE.values())) for k in columns)))
    print("\n" + "\n".join(memcore._text.aligned(rows)))
