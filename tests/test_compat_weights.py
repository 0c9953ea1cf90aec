"""Checkpoints of aihwkit, made here in its layout by classes that are gone when they are read."""

import enum
import pickle
import shutil
import sys
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from memcore import compat
from memcore.errors import ConfigError

WEIGHTS = compat.aihwkit.weights


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 5))


def tile(weight: Tensor, scale: Tensor | None = None, config: Any = None) -> dict[str, Any]:
    """The entries of one tile that holds a weight [out, in]."""
    held = weight if scale is None else weight / scale.view(-1, 1)
    state = {
        "analog_tile_weights": held,
        "analog_tile_hidden_parameters": torch.rand(3, *held.shape),
        "analog_tile_hidden_parameter_names": ["max_bound", "min_bound", "dwmin_up"],
        "analog_tile_class": "AnalogTile",
        "analog_lr": 0.1,
        "analog_ctx": torch.empty(0),
        "shared_weights": None,
        "rpu_config": config,
        "state_extra": {},
        "aihwkit_version": "0.9.0",
    }
    entries = {"analog_ctx": torch.empty(0), "analog_tile_state": state}
    return entries if scale is None else {"mapping_scales": scale, **entries}


def checkpoint(model: nn.Sequential, config: Any = None) -> "OrderedDict[str, Any]":
    """What `state_dict` of the analog network has: a convolution on one tile, a layer on four."""
    conv, norm, _, fc = model
    state: OrderedDict[str, Any] = OrderedDict()
    alone = tile(conv.weight.detach().flatten(1), torch.tensor([0.5, 0.25, 2.0]), config)
    state |= {f"0.analog_module.{key}": value for key, value in alone.items()}
    state["0.analog_module.bias"] = conv.bias.detach()
    state["0.analog_module.out_scaling_alpha"] = torch.ones(1)
    state |= {f"1.{key}": value for key, value in norm.state_dict().items()}
    for i, columns in enumerate(fc.weight.detach().split([6, 6], 1)):
        for j, part in enumerate(columns.split([3, 2], 0)):
            entries = tile(part, torch.full((1,), 0.5 + i + j), config)
            state |= {f"3.analog_module.array.{i}.{j}.{k}": v for k, v in entries.items()}
    state["3.analog_module.bias"] = fc.bias.detach()
    return state


def require_same(imported: compat.ImportedWeights, model: nn.Module) -> None:
    expected = model.state_dict()
    assert list(imported.tensors) == list(expected)
    for name, tensor in imported.tensors.items():
        torch.testing.assert_close(tensor, expected[name])


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Classes of a package of this name, as long as the fixture lasts."""
    module = ModuleType("aihwkit.simulator.configs")

    class InferenceRPUConfig:
        def __init__(self) -> None:
            self.mapping = SimpleNamespaceLike()

    class SimpleNamespaceLike:
        digital_bias = True

    class NoiseType(enum.Enum):
        NONE = "None"
        ADDITIVE = "Additive"

    for each in (InferenceRPUConfig, SimpleNamespaceLike, NoiseType):
        each.__module__, each.__qualname__ = module.__name__, each.__name__
        setattr(module, each.__name__, each)
    for name in ("aihwkit", "aihwkit.simulator", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    yield module
    monkeypatch.undo()


def test_tiles_are_put_together_and_scaled() -> None:
    model = network()
    imported = WEIGHTS(checkpoint(model), network().requires_grad_(False))
    require_same(imported, model)
    assert imported.left_out == (
        "analog_tile_hidden_parameters: cells are drawn anew from the device",
    )
    assert "0.weight [3, 2, 3, 3]" in str(imported)


def test_a_file_is_read_without_its_package(
    theirs: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = theirs.InferenceRPUConfig()
    config.noise = theirs.NoiseType.ADDITIVE
    model = network()
    wrapped = {"epoch": 3, "model_state_dict": checkpoint(model, config), "optimizer": {"lr": 0.1}}
    torch.save(wrapped, tmp_path / "net.pt")
    monkeypatch.undo()
    assert "aihwkit" not in sys.modules
    imported = WEIGHTS(tmp_path / "net.pt", network())
    require_same(imported, model)


def test_the_network_takes_what_was_imported() -> None:
    model, other = network(), network()
    with torch.no_grad():
        model[3].weight.mul_(3.0)
    other.load_state_dict(WEIGHTS(checkpoint(model), other).tensors)
    x = torch.rand(4, 2, 4, 4)
    torch.testing.assert_close(other.eval()(x), model.eval()(x))


def test_a_bias_on_the_array_is_the_last_column() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(4, 3)))
    both = torch.cat([model.fc.weight, model.fc.bias[:, None]], 1).detach()
    entries = tile(both, torch.tensor([0.5, 0.25, 2.0]))
    state = {f"fc.analog_module.{key}": value for key, value in entries.items()}
    require_same(WEIGHTS(state, model), model)


def test_tiles_of_plain_torch_and_a_layer_alone_are_read() -> None:
    model = nn.Linear(4, 3)
    state = {
        "analog_module.analog_tile_state": {"rpu_config": None},
        "analog_module.tile.weight": model.weight.detach() / 2,
        "analog_module.mapping_scales": torch.full((3,), 2.0),
        "analog_module.input_range": torch.tensor([1.0]),
        "analog_module.bias": model.bias.detach(),
    }
    imported = WEIGHTS(state, model)
    require_same(imported, model)
    assert imported.left_out == ("input_range: memcore.calibrate sets the ranges of converters",)


@pytest.mark.parametrize(("act", "is_read"), [(shutil.copyfile, True), (Path.touch, False)])
def test_code_of_a_file_never_runs(act: Any, is_read: bool, tmp_path: Path) -> None:
    mark, own = tmp_path / "ran", str(Path(__file__))

    class Evil:
        def __reduce__(self) -> Any:
            return act, ((own, str(mark)) if is_read else (mark,))

    state = checkpoint(network())
    state["0.analog_module.analog_tile_state"]["rpu_config"] = Evil()
    torch.save(state, tmp_path / "evil.pt")
    if is_read:
        require_same(WEIGHTS(tmp_path / "evil.pt", network()), network())
    else:
        with pytest.raises(ConfigError, match="cannot be read: Trying to call reduce"):
            WEIGHTS(tmp_path / "evil.pt", network())
    assert not mark.exists()


def test_what_is_no_such_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pt' cannot be read"):
        WEIGHTS(tmp_path / "none.pt", network())
    (tmp_path / "bad.pt").write_bytes(pickle.dumps(SimpleNamespace()))
    with pytest.raises(ConfigError, match=r"bad\.pt' cannot be read"):
        WEIGHTS(tmp_path / "bad.pt", network())
    with pytest.raises(ConfigError, match=r"holds '0\.weight', .*; expected the state_dict"):
        WEIGHTS(network().state_dict(), network())
    with pytest.raises(ConfigError, match=r"before 0\.8"):
        WEIGHTS({"fc.analog_tile_state_0": {}}, network())
    with pytest.raises(ConfigError, match="holds no matrix"):
        WEIGHTS({"0.analog_module.analog_tile_state": {}}, network())


def test_a_network_of_other_layers_is_refused() -> None:
    state = checkpoint(network())
    with pytest.raises(ConfigError, match=r"has '3\.weight', '3\.bias', which"):
        WEIGHTS(state, network()[:3])
    with pytest.raises(ConfigError, match=r"lacks '4\.weight', '4\.bias'"):
        WEIGHTS(state, network().append(nn.Linear(5, 2)))
    wider = network()
    wider[3] = nn.Linear(20, 5)
    with pytest.raises(ConfigError, match=r"'3' of the checkpoint has \[5, 12\] weights"):
        WEIGHTS(state, wider)
