"""Weights of a network in a checkpoint of aihwkit, read without aihwkit.

The layout is that of `state_dict` since version 0.8. A layer named `fc` has `fc.analog_module.`
before its entries: `analog_tile_state`, a dictionary with the tile `analog_tile_weights` [out, in]
in units of the array, which has the bias as one more column where `digital_bias` is off;
`mapping_scales` and `out_scaling_alpha`, by which outputs are multiplied; and `bias`. A layer on
several tiles has them under `analog_module.array.I.J.`, I counting pieces of the inputs and J
pieces of the outputs. Tiles of plain torch have `tile.weight` instead.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore._text import some
from memcore.compat.imported import ImportedWeights
from memcore.errors import ConfigError

_TILE: Final = re.compile(
    r"(?P<layer>.*?)(?P<module>\.?analog_module)?(?:\.?array\.(?P<row>\d+)\.(?P<col>\d+))?"
    r"\.?analog_tile_state"
)
_OLD: Final = re.compile(r"analog_tile_state_\d+$")
_WEIGHTS: Final = "analog_tile_weights"
_SCALES: Final = ("mapping_scales", "out_scaling_alpha")
#: What entries beside the weights are, and what to do instead.
_LEFT_OUT: Final = {
    "input_range": "memcore.calibrate sets the ranges of converters",
    "analog_tile_hidden_parameters": "cells are drawn anew from the device",
    "programmed_weights": "the weights of the tiles are taken",
    "alpha": "use memcore.compensate after memcore.age",
}

State = Mapping[str, Any]


class _StandIn:
    """Stands for an object of a class that is not imported: keeps what it was made of."""

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def weights(source: str | Path | State, model: nn.Module) -> ImportedWeights:
    """The weights of a checkpoint of aihwkit, for the digital network of the same layers.

    Tiles are put together, multiplied by their digital scales, and have the shapes of `model`, so
    that `model.load_state_dict(imported.tensors)` takes them. The file is unpickled with
    `weights_only=True`: objects of aihwkit are stood for by plain values, and no code of the file
    runs.

    Args:
        source: file of `torch.save(analog_model.state_dict())`, or what it holds.
        model: digital network, whose layers have the names of those of the analog one. It is left
            as it is.

    Raises:
        ConfigError: the file cannot be read, holds no such state, or does not fit the network.
    """
    content = source if isinstance(source, Mapping) else _read(Path(source))
    state = _state(content)
    tiles = _tiles(state)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    tensors = {key: each for key, each in state.items() if isinstance(each, Tensor)}
    inside = tuple(f"{prefix}." for prefix in _prefixes(tiles))
    found = {key: each for key, each in tensors.items() if not key.startswith(inside)}
    for layer, keys in tiles.items():
        found |= _layer(layer, keys, state, shapes)
    _require_fit(found, shapes)
    return ImportedWeights({name: found[name] for name in shapes}, tuple(_left_out(state, inside)))


def _read(path: Path) -> State:
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        kinds: list[Any] = [
            (type(name.rpartition(".")[2], (_StandIn,), {}), name) for name in names
        ]
        with torch.serialization.safe_globals(kinds):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever an unpickler makes of a stranger's file
        reason = str(error).rpartition("WeightsUnpickler error:")[2].strip().partition("\n")[0]
        raise ConfigError(
            f"the checkpoint '{path}' cannot be read: {reason}; expected a file of "
            "torch.save(analog_model.state_dict())"
        ) from None
    return content if isinstance(content, Mapping) else {}


def _state(content: State) -> State:
    """The state of the network: the content, or the one entry of it that is a state."""
    states = [content, *(each for each in content.values() if isinstance(each, Mapping))]
    for state in states:
        if any(isinstance(key, str) and _TILE.fullmatch(key) for key in state):
            return state
        if any(isinstance(key, str) and _OLD.search(key) for key in state):
            raise ConfigError(
                "the checkpoint is of an aihwkit before 0.8; expected one of 0.8 or later: convert "
                "it with aihwkit.utils.legacy.convert_legacy_checkpoint and save it again"
            )
    raise ConfigError(
        f"the checkpoint holds {some([str(key) for key in content]) or 'nothing'}; expected the "
        "state_dict of a network with analog layers of aihwkit"
    )


def _tiles(state: State) -> dict[str, dict[tuple[int, int], str]]:
    """The prefix of each tile by the name of its layer and its place among the tiles."""
    tiles: dict[str, dict[tuple[int, int], str]] = {}
    for key in state:
        found = _TILE.fullmatch(key)
        if found:
            place = int(found["row"] or 0), int(found["col"] or 0)
            tiles.setdefault(found["layer"], {})[place] = key.removesuffix("analog_tile_state")
    return tiles


def _prefixes(tiles: Mapping[str, Mapping[tuple[int, int], str]]) -> Iterator[str]:
    for keys in tiles.values():
        yield from {re.sub(r"\.?(array\.\d+\.\d+)?\.$", "", key) for key in keys.values()}


def _layer(
    layer: str, keys: Mapping[tuple[int, int], str], state: State, shapes: Mapping[str, torch.Size]
) -> Iterator[tuple[str, Tensor]]:
    """The weight and the bias of a layer."""
    names = [f"{layer}.{name}".lstrip(".") for name in ("weight", "bias")]
    rows = max(row for row, _ in keys) + 1
    columns = max(column for _, column in keys) + 1
    parts = [[_tile(keys[i, j], state) for j in range(columns)] for i in range(rows)]
    whole = torch.cat([torch.cat(column) for column in parts], 1)
    shape = shapes.get(names[0], whole.shape)
    (place,) = set(_prefixes({layer: keys}))
    bias = state.get(f"{place}.bias")
    if bias is None and names[1] in shapes and whole.shape[1] == shape[1:].numel() + 1:
        whole, bias = whole[:, :-1], whole[:, -1]
    if whole.shape != (shape[0], shape[1:].numel()):
        raise ConfigError(
            f"layer {layer!r} of the checkpoint has {list(whole.shape)} weights, but the network "
            f"{list(shape)}; expected the network that was converted to an analog one"
        )
    yield names[0], whole.reshape(shape).clone()
    if isinstance(bias, Tensor):
        yield names[1], bias.detach().clone()


def _tile(prefix: str, state: State) -> Tensor:
    """The weights of a tile [out, in], multiplied by its scales."""
    held = state[f"{prefix}analog_tile_state"]
    values = held.get(_WEIGHTS) if isinstance(held, Mapping) else None
    values = state.get(f"{prefix}tile.weight") if values is None else values
    if not isinstance(values, Tensor) or values.dim() != 2:
        raise ConfigError(
            f"the tile {prefix!r} of the checkpoint holds no matrix of weights; expected one of "
            "aihwkit 0.8 or later"
        )
    for name in _SCALES:
        scale = state.get(f"{prefix}{name}")
        scale = held.get(name) if scale is None and isinstance(held, Mapping) else scale
        if isinstance(scale, Tensor):
            values = values * scale.detach().view(-1, 1)
    return values.detach()


def _require_fit(found: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> None:
    missing = [name for name in shapes if name not in found]
    strange = [name for name in found if name not in shapes]
    if missing or strange:
        has = f" lacks {some(missing)}" if missing else ""
        has += " and" if missing and strange else ""
        has += f" has {some(strange)}, which the network has not" if strange else ""
        raise ConfigError(
            f"the checkpoint{has}; expected the network that was converted to an analog one, with "
            "the same names of layers"
        )


def _left_out(state: State, inside: tuple[str, ...]) -> Iterator[str]:
    names = {key.rpartition(".")[2] for key in state if key.startswith(inside)}
    for key, held in state.items():
        if key.endswith("analog_tile_state") and isinstance(held, Mapping):
            names |= {str(name) for name, value in held.items() if _is_there(value)}
    for name, why in _LEFT_OUT.items():
        if name in names:
            yield f"{name}: {why}"


def _is_there(value: Any) -> bool:
    return bool(value.numel()) if isinstance(value, Tensor) else value is not None
