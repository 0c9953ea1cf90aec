"""States that are loaded: what versions before called otherwise, and what no arrays have.

Hooks for `register_load_state_dict_pre_hook`; they change the state that is about to be loaded.
"""

from typing import Any

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.errors import ConfigError

State = dict[str, Tensor]

#: What a state of before calls that now belongs to the cells.
_OF_CELLS = ("programmed", "before", "gain", "writes", "seed", "clock.", "pipeline.")


def rename_of_arrays(arrays: nn.Module, state: State, prefix: str, *rest: Any) -> None:
    """Give what a state of before kept beside the cells to the cells."""
    del arrays, rest
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        if name.startswith(_OF_CELLS):
            new = f"{prefix}cells.{name.replace('pipeline.', 'effects.', 1)}"
            state[new] = state.pop(key)


def complete_cells(cells: nn.Module, state: State, prefix: str, *rest: Any) -> None:
    """Refuse what no cells have, and add what a state of before does not have."""
    del rest
    for name in ("programmed", "before", "gain", "writes"):
        _require_possible(f"{prefix}{name}", state.get(f"{prefix}{name}"), name != "gain")
    for name in ("origin", "rehearsals", "rehearsed"):
        if f"{prefix}writes" in state:
            state.setdefault(f"{prefix}{name}", torch.zeros_like(getattr(cells, name)))
    looks_up = cells.target is not None  # in a state of before, what was programmed
    if looks_up and f"{prefix}programmed" in state:
        state.setdefault(f"{prefix}target", state[f"{prefix}programmed"])
    gain = state.get(f"{prefix}gain")
    if gain is not None and gain.dim() == 0:  # the gain of before, of the only lane
        state[f"{prefix}gain"] = gain.reshape(1)


def _require_possible(name: str, value: object, positive: bool) -> None:
    """Refuse in a state what no cells have."""
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return
    _check.finite("values", value, f"{name} of the state", "what saved it")
    if positive and bool((value < 0).any()):
        raise ConfigError(
            f"{name} of the state has negative values; expected values >= 0: look at what saved it"
        )


def complete_ranges(converter: nn.Module, state: State, prefix: str, *rest: Any) -> None:
    """Take the only range [2] of a state of before as that of the first lane."""
    del converter, rest
    before = state.get(f"{prefix}range")
    if isinstance(before, Tensor) and not before.is_meta:
        _require_range(before, f"{prefix}range")
    if before is not None and before.dim() == 1:
        state[f"{prefix}range"] = before.unsqueeze(0)


def _require_range(bounds: Tensor, name: str) -> None:
    """Refuse in a state what is no range; one that is not known yet is NaN."""
    low, high = (bounds[..., :1], bounds[..., 1:]) if bounds.dim() else (bounds, bounds)
    if bool(bounds.isinf().any()) or bool((low > high).any()):
        raise ConfigError(
            f"{name} of the state is {bounds.tolist()}; expected finite lowest and highest values: "
            "look at what saved it"
        )
