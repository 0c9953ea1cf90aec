"""Odd arguments at every public border: each call gives a result or a `MemcoreError`, in time.

`MEMCORE_FUZZ=10000 pytest -m slow tests/test_fuzz.py -s` tries as many cases in all and prints a
table of what they gave.
"""

import os
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import nn

import memcore
from memcore import stimuli
from memcore.circuit import Drive, solve

CASES = int(os.environ.get("MEMCORE_FUZZ", "400"))
LONGEST = 20.0  #: seconds of one call, on a busy machine

NAN, INF = float("nan"), float("inf")
ODD: list[Any] = [
    *(NAN, INF, -INF, 0, -1, 0.0, -0.0, 1, 2.5, 1e-300, 1e-45, 1e39, 1e300, -1e301, 10**400),
    *(2**64, -(2**63) - 1, True, False, None, "", "1", "1e3", "nan", "x\n", b"x", 1j, [], {}, ()),
    *([1, 2], (1, "a"), {"name": 3}, {"name": "vteam"}, {1: 2}, range(3), set(), object(), int),
    *(lambda *_: None, memcore.Normal(1.0, 0.1)),
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


def network(**settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return memcore.convert(nn.Sequential(nn.Linear(3, 2)), config(**settings))


ADC = {"name": "uniform", "bits": 6}


def read(conductance: Any, v: Any, **options: Any) -> Any:
    return memcore.Crossbar(conductance, **options) @ v


def convert_and_read(model: Any, config: Any, **options: Any) -> Any:
    return memcore.convert(model, config, **options)(torch.ones(1, 3))


def config_of(**entries: Any) -> Any:
    return memcore.CrossbarConfig.from_mapping(entries)


def calibrate(model: Any, inputs: Any, forward: Any) -> None:
    memcore.calibrate(network(adc=ADC) if model is ... else model, inputs, forward=forward)


def age(model: Any, **passed: Any) -> None:
    memcore.age(network() if model is ... else model, **passed)


def draw(kind: str, seed: Any, shape: Any, **parameters: Any) -> Any:
    return getattr(memcore, kind)(**parameters).sample(memcore.Stream(seed), shape)


def device(name: str, **parameters: Any) -> Any:
    made = memcore.devices[name](**parameters)
    made = memcore.convert(nn.Linear(3, 2), config(device=made))
    return made(torch.ones(1, 3))


def effect(name: str, **parameters: Any) -> Any:
    effects = [{"name": name, **parameters}]
    return memcore.convert(nn.Linear(3, 2), config(nonidealities=effects))(torch.ones(1, 3))


def look_up(kind: str, name: Any) -> Any:
    return memcore.registries()[kind][name]


def wired(g: Any, v: Any, **resistances: Any) -> Any:
    return solve(g, memcore.Wires(**resistances), Drive.read(v))


def effective(g: Any, **resistances: Any) -> Any:
    return memcore.effective_conductance(g, memcore.Wires(**resistances))


def diagnose(model: Any, loader: Any, metric: Any) -> Any:
    return memcore.diagnose(network(adc=ADC) if model is ... else model, loader, metric)


def cost(network_: Any, inputs: Any, **options: Any) -> Any:
    return memcore.cost(network() if network_ is ... else network_, inputs, **options)


G, V, X = torch.full((3, 2), 1e-5), torch.ones(3), torch.ones(4, 3)
BORDERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Crossbar": (
        read,
        {"conductance": G, "v": V, "device": None, "nonidealities": (), "wires": None, "law": None}
        | {"series": None, "tile": None, "dac": None, "adc": None, "temperature": 300.0, "seed": 0},
    ),
    "convert": (
        convert_and_read,
        {"model": nn.Linear(3, 2), "config": config(), "filter_fn": None, "seed": 0}
        | {"calibration": None},
    ),
    "calibrate": (calibrate, {"model": ..., "inputs": X, "forward": None}),
    "age": (age, {"model": ..., "seconds": 1.0, "temperature": 300.0, "cycles": 0, "reads": 0}),
    "simulate": (
        memcore.simulate,
        {"device": "vteam", "voltage": V, "dt": 1e-9, "state": None, "shape": (), "seed": 0}
        | {"record": "all", "engine": "auto"},
    ),
    "sine": (stimuli.sine, {"amplitude": 1.0, "frequency": 1e3, "dt": 1e-5, "periods": 1.0}),
    "triangle": (stimuli.triangle, {"amplitude": 1.0, "frequency": 1e3, "dt": 1e-5}),
    "pulse_train": (
        stimuli.pulse_train,
        {"amplitude": 1.0, "count": 2, "width": 1.0, "gap": 1.0, "dt": 1.0, "read": 0.0},
    ),
    "staircase": (
        stimuli.staircase,
        {"start": 0.0, "stop": 1.0, "steps": 3, "width": 1.0, "dt": 1.0, "gap": 0.0},
    ),
    "Normal": (
        draw,
        {
            "kind": "Normal",
            "seed": 0,
            "shape": (3,),
            "mean": 1.0,
            "std": 0.1,
            "min": None,
            "max": None,
        },
    ),
    "LogNormal": (
        draw,
        {"kind": "LogNormal", "seed": 0, "shape": (3,), "median": 1.0, "sigma": 0.1}
        | {"min": None, "max": None},
    ),
    "Uniform": (draw, {"kind": "Uniform", "seed": 0, "shape": (3,), "min": 0.0, "max": 1.0}),
    "vteam": (device, {"name": "vteam", "r_on": 1e4, "r_off": 1e6, "v_on": -0.5, "v_off": 0.5}),
    "ideal": (device, {"name": "ideal", "r_on": 1e4, "r_off": 1e6}),
    "d2d": (effect, {"name": "d2d", "std": 0.1}),
    "read_noise": (effect, {"name": "read_noise", "std": 0.1}),
    "config": (
        config_of,
        {"device": "ideal", "mapper": "differential", "programmer": "direct", "nonidealities": []}
        | {"without": [], "tile": [8, 8], "dac": None, "adc": ADC, "read_voltage": 0.2}
        | {"bias": "digital", "adc_per": "output", "temperature": 300.0, "rows_at_once": None},
    ),
    "registry": (look_up, {"kind": "devices", "name": "vteam"}),
    "effective_conductance": (
        effective,
        {"g": G, "word_line": 1.0, "bit_line": 1.0, "driver": 0.0},
    ),
    "solve": (wired, {"g": G.double(), "v": V.double(), "word_line": 1.0, "bit_line": 1.0}),
    "diagnose": (diagnose, {"model": ..., "loader": [(X, torch.zeros(4).long())], "metric": None}),
    "cost": (cost, {"network_": ..., "inputs": X, "model": "array"}),
}

TABLE: dict[str, Counter[str]] = {name: Counter() for name in BORDERS}


def cases(name: str) -> st.SearchStrategy[dict[str, Any]]:
    _, usual = BORDERS[name]
    free = [a for a in usual if a != "kind" and (a != "name" or name == "registry")]
    chosen = st.lists(st.sampled_from(free), min_size=1, max_size=2, unique=True)
    return chosen.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, VALUES)))


def outcome(name: str, odd: dict[str, Any]) -> tuple[str, str]:
    """What a call gives: right, MemcoreError or other, and words for the last."""
    call, usual = BORDERS[name]
    begin = time.perf_counter()
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
    took = time.perf_counter() - begin
    return (kind, words) if took < LONGEST else ("other", f"took {took:.1f} s")


@pytest.mark.parametrize("name", BORDERS)
def test_usual_arguments_give_a_result(name):
    assert outcome(name, {}) == ("right", "")


@pytest.mark.slow
@pytest.mark.parametrize("name", BORDERS)
def test_odd_arguments_give_a_result_or_a_reason(name):
    found: dict[str, str] = {}

    @settings(
        max_examples=max(1, CASES // len(BORDERS)),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(name))
    def attempt(odd):
        kind, words = outcome(name, odd)
        TABLE[name].update(["tried", kind])
        if kind == "other":
            found.setdefault(
                words, ", ".join(f"{k}={memcore._text.shown(v)}" for k, v in odd.items())
            )

    attempt()
    assert not found, "\n".join(f"{name}({odd}): {words}" for words, odd in found.items())


@pytest.fixture(scope="module", autouse=True)
def _table():
    yield
    columns = ("tried", "right", "MemcoreError", "other")
    rows = [("border", *columns), *((n, *(str(c[k]) for k in columns)) for n, c in TABLE.items())]
    rows.append(("all", *(str(sum(c[k] for c in TABLE.values())) for k in columns)))
    print("\n" + "\n".join(memcore._text.aligned(rows)))
