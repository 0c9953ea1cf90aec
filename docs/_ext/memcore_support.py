"""Writes the tables of `docs/support.md`: each cell of them is tried, none is claimed.

`python docs/_ext/memcore_support.py` tries every bundled layer with everything else that comes with
memcore, and writes what works into the page. A test does the same and compares.
"""

import copy
import pickle
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.func import functional_call

import memcore
from memcore.testing.cases import compiled
from memcore.testing.layer_case import SPREAD, LayerCase

PAGE = Path(__file__).parent.parent / "support.md"
#: Between these lines of the page stands what the script writes.
_BLOCK = "<!-- {name}: written by docs/_ext/memcore_support.py -->\n(.*?)<!-- end of {name} -->\n"
_YES, _NO = "yes", "–"

Cell = Callable[[Any], object]
Settings = dict[str, Any]
#: Eight bits at every converter.
_BITS: Settings = {"dac": "uniform", "adc": "uniform"}
#: The layer whose columns say what can be compiled and exported.
_ONE = "linear"


# -- promises ------------------------------------------------------------------------------------


def _close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.dtype == expected.dtype
    largest = float(expected.detach().abs().max()) or 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * largest)


def _equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def _outputs(dtype: torch.dtype, tolerance: float, case: LayerCase) -> None:
    typed = case.of_dtype(dtype)
    digital = typed.holder(dtype)
    _close(typed.outputs(typed.convert(digital)), typed.outputs(digital), tolerance)


def _loss(model: nn.Module, x: Tensor) -> Tensor:
    y: Tensor = model(x)
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype)
    return (weights * y.square()).sum()


def _gradients(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_() if x.is_floating_point() else x
    _loss(model, x).backward()  # type: ignore[no-untyped-call]
    named = {"the input": x, **dict(model.named_parameters())}
    return {name: each.grad for name, each in named.items() if each.grad is not None}


def _same_gradients(case: LayerCase) -> None:
    typed = case.of_dtype(torch.float64)
    digital = typed.holder(torch.float64)
    found = _gradients(typed.convert(digital), typed.inputs[0])
    expected = _gradients(digital, typed.inputs[0])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        _close(found[name], gradient, 1e-6)


def _compile(settings: Settings, case: LayerCase) -> None:
    model = case.convert(**settings)
    with torch.no_grad():
        found = compiled(copy.deepcopy(model))(case.inputs[0])
        _close(found, model(case.inputs[0]), 1e-6)


def _export(settings: Settings, case: LayerCase) -> None:
    model, x = case.convert(**settings), case.inputs[0]
    with torch.no_grad():
        found = torch.export.export(copy.deepcopy(model), (x,)).module()(x)
        _close(found, model(x), 1e-6)


def _autocast(case: LayerCase) -> None:
    digital = case.holder()
    # Not under autocast: oneDNN's LSTM needs a processor that has bfloat16.
    expected = case.outputs(digital)
    for settings in ({}, _BITS):
        with torch.autocast("cpu", torch.bfloat16):
            found = case.outputs(case.convert(digital, **settings))
        _close(found.float(), expected, 5e-2)


def _functional_call(case: LayerCase) -> None:
    typed = case.of_dtype(torch.float64)
    model, x = typed.convert(typed.holder(torch.float64)), typed.inputs[0]
    given = {name: p.detach().clone() for name, p in model.named_parameters()}
    call = partial(functional_call, model)
    found = torch.func.grad(lambda values: _loss(lambda x: call(values, (x,)), x))(given)  # type: ignore[arg-type]
    for name, gradient in _gradients(model, x).items():
        if name in found:
            _close(found[name], gradient, 1e-9)


def _deepcopy(case: LayerCase) -> None:
    model = case.convert(device=SPREAD)
    _equal(case.outputs(copy.deepcopy(model)), case.outputs(model))


def _pickle(case: LayerCase) -> None:
    model = case.convert(device=SPREAD)
    _equal(case.outputs(pickle.loads(pickle.dumps(model))), case.outputs(model))


def _safetensors(case: LayerCase) -> None:
    one, other = (case.convert(device=SPREAD, seed=seed) for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        save_model(one, f"{folder}/chip")
        missing, unexpected = load_model(other, f"{folder}/chip")
        assert not missing
        assert not unexpected
    _equal(case.outputs(other), case.outputs(one))


PROMISES: dict[str, Cell] = {
    "outputs of the digital module": partial(_outputs, torch.float32, 1e-4),
    "its gradients": _same_gradients,
    "`bfloat16`": partial(_outputs, torch.bfloat16, 5e-2),
    "`torch.compile(fullgraph=True)`": partial(_compile, _BITS),
    "`torch.export`": partial(_export, _BITS),
    "`torch.autocast`": _autocast,
    "`torch.func.functional_call`": _functional_call,
    "`copy.deepcopy`": _deepcopy,
    "`pickle`": _pickle,
    "safetensors": _safetensors,
}


# -- plugins -------------------------------------------------------------------------------------


def _runs(settings: Settings, case: LayerCase) -> None:
    """It reads, passes gradients, is written again and read again; all values are finite."""
    model = case.convert(**settings)
    for gradient in _gradients(model, case.inputs[0]).values():
        assert gradient.isfinite().all()
    memcore.program(model)
    assert case.outputs(model).isfinite().all()


def _promises() -> Iterator[list[str]]:
    layers = bundled("layers")
    yield ["", *(f"`{layer}`" for layer in layers)]
    for label, promise in PROMISES.items():
        yield [label, *(_tried(promise, _trials(layer)) for layer in layers)]


#: What a lane of the weights may have of its own; the mapper has two.
_SLICED: Settings = {"mapper": {"name": "bit_slice", "slice_bits": [3, 4]}}
_LANES: dict[str, Settings] = {
    "`adc`": {**_BITS, "lanes": [{"adc": {"name": "uniform", "bits": 6}}, {}]},
    "`device`": {"lanes": [{"device": SPREAD}, {}]},
    "`nonidealities`": {"lanes": [{"nonidealities": ["read_noise"]}, {}]},
    "`copies`": {"lanes": [{"copies": 2}, {}]},
}


#: The settings that each converter wants, where it is no ADC that anything can be read through.
_SERIAL: Settings = {"adc": "uniform"}
_SENSED: Settings = {
    "dac": {"name": "bit_serial", "signed": "twos_complement"},
    "mapper": {"name": "bit_slice", "slice_bits": 1, "encoding": "twos_complement"},
    "rows_at_once": 4,
}
_AROUND: dict[str, Settings] = {
    "bit_serial": {**_SERIAL, "dac": "bit_serial"},
    "spike_code": {**_SERIAL, "dac": "spike_code"},
    "sense_table": {**_SENSED, "adc": {"name": "sense_table", "spread": 0.1}},
}


def _head() -> list[str]:
    layers = (f"`{layer}`" for layer in bundled("layers"))
    return ["", *layers, f"`{_ONE}` compiled", f"`{_ONE}` exported"]


def _plugins(kind: str) -> Iterator[list[str]]:
    yield _head()
    for name in bundled(kind):
        settings = {"mapper": name} if kind == "mappers" else {kind: [name]}
        yield [f"`{name}`", *_row(settings)]


def _lanes() -> Iterator[list[str]]:
    yield _head()
    for label, settings in _LANES.items():
        yield [label, *_row({**_SLICED, **settings})]


def _converters() -> Iterator[list[str]]:
    yield _head()
    for name in bundled("converters"):
        yield [f"`{name}`", *_row(_AROUND.get(name, {"dac": "uniform", "adc": name}))]


#: Networks that a pass makes smaller, their inputs, and whether a channel can go in between.
_NETWORKS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "`Linear`": lambda: (
        nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)),
        torch.randn(32, 8),
    ),
    "`Conv1d`": lambda: (
        nn.Sequential(nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 3, 3), nn.Flatten()),
        torch.randn(32, 2, 8),
    ),
    "`Conv2d`": lambda: (
        nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 3, 3), nn.Flatten()
        ),
        torch.randn(32, 2, 6, 6),
    ),
    "`Conv3d`": lambda: (
        nn.Sequential(nn.Conv3d(1, 4, 2), nn.ReLU(), nn.Conv3d(4, 3, 2), nn.Flatten()),
        torch.randn(32, 1, 4, 4, 4),
    ),
    "grouped `Conv2d`": lambda: (
        nn.Sequential(nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.Flatten()),
        torch.randn(32, 4, 4, 4),
    ),
}
#: What a pass is tried with: few epochs.
_PASSES: dict[str, Settings] = {
    "admm": {"name": "admm", "epochs": 2, "retraining": 1},
    "codebook": {"name": "codebook", "weights": 4, "inputs": 4},
}
_FEW = memcore.CrossbarConfig(
    device="ideal",
    mapper="differential",
    tile=(8, 8),
    nonidealities=[{"name": "finite_states", "states": 8}],
)


def _compressed(name: str, network: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model, x = _NETWORKS[network]()
    model.eval()
    with torch.no_grad():
        classes = model(x).argmax(-1).clamp(max=2)
    smaller, _ = memcore.compress(model, _FEW, [_PASSES.get(name, name)], [(x, classes)])
    return smaller.eval(), x


def _smaller(name: str, network: str) -> None:
    """A smaller network whose outputs are finite, in a copy and after loading its state."""
    model, x = _compressed(name, network)
    with torch.no_grad():
        expected = model(x)
        assert expected.isfinite().all()
        other = copy.deepcopy(model)
        other.load_state_dict(model.state_dict())
        _equal(other(x), expected)


def _compiled_pass(name: str) -> None:
    model, x = _compressed(name, "`Linear`")
    with torch.no_grad():
        _close(compiled(copy.deepcopy(model))(x), model(x), 1e-6)


def _on_arrays(name: str) -> None:
    model, x = _compressed(name, "`Linear`")
    chip = memcore.convert(model, _FEW)
    assert chip(x).isfinite().all()


def _passes() -> Iterator[list[str]]:
    yield ["", *_NETWORKS, "compiled", "written onto arrays"]
    for name in bundled("compressions"):
        cells = [_tried(partial(_smaller, name), (network,)) for network in _NETWORKS]
        more = [_tried(each, (name,)) for each in (_compiled_pass, _on_arrays)]
        yield [f"`{name}`", *cells, *more]


def _row(settings: Settings) -> Iterator[str]:
    """What settings give on each layer, and compiled and exported on one."""
    for layer in bundled("layers"):
        yield _tried(partial(_runs, settings), _trials(layer)[:1])
    for each in (_compile, _export):
        yield _tried(partial(each, settings), _trials(_ONE)[:1])


TABLES: dict[str, Callable[[], Iterator[list[str]]]] = {
    "promises": _promises,
    "nonidealities": partial(_plugins, "nonidealities"),
    "mappers": partial(_plugins, "mappers"),
    "lanes": _lanes,
    "converters": _converters,
    "compressions": _passes,
}


def bundled(kind: str) -> list[str]:
    """The names of the plugins of a kind that come with memcore."""
    registry = memcore.registries()[kind]
    return sorted(name for name in registry if registry.provider(name).distribution == "memcore")


# -- tables --------------------------------------------------------------------------------------


@cache
def _trials(layer: str) -> list[LayerCase]:
    return LayerCase.all_of(memcore.layers[layer])


def _tried(cell: Cell, cases: Iterable[Any]) -> str:
    """Whether a cell of a table holds in all trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for case in cases:
                cell(case)
        except Exception as error:
            first = str(error).strip().partition("\n")[0]
            print(f"{type(error).__name__}: {first}", file=sys.stderr)
            return _NO
    return _YES


def table(name: str) -> str:
    """One of the tables as MyST, each of its cells tried."""
    head, *rows = TABLES[name]()
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written(name: str) -> str:
    """The table that stands in the page."""
    found = re.search(_BLOCK.format(name=name), PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, f"{PAGE} has no table {name}"
    return found[1]


def main() -> None:
    """Write all tables into the page."""
    for name in TABLES:
        old, text = written(name), PAGE.read_text(encoding="utf-8")
        begin = _BLOCK.format(name=name).partition("(")[0]
        text = text.replace(begin + old, begin + table(name))
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
