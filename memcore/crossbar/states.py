"""States that are loaded: what versions before called otherwise, and what no arrays have.

Hooks for `register_load_state_dict_pre_hook`; they change the state that is about to be loaded.
"""

from typing import Any

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.crossbar.packed import Packed
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


def complete_numbers(arrays: nn.Module, state: State, prefix: str) -> None:
    """Refuse counts of reads that are none, and begin that of trainings if a state has none.

    Raises:
        ConfigError: a count is negative.
    """
    if f"{prefix}reads" in state:
        fresh = torch.zeros_like(arrays.get_buffer("training_reads"))
        state.setdefault(f"{prefix}training_reads", fresh)
    for name in ("reads", "training_reads"):
        require_count(f"{prefix}{name}", state.get(f"{prefix}{name}"))


def complete_cells(cells: nn.Module, state: State, prefix: str, *rest: Any) -> None:
    """Refuse what no cells have, and add what a state of before does not have."""
    del rest
    _require_cells(cells, state, prefix)
    for name in ("origin", "rehearsals", "rehearsed"):
        if f"{prefix}writes" in state:
            state.setdefault(f"{prefix}{name}", torch.zeros_like(getattr(cells, name)))
    looks_up = cells.target is not None  # in a state of before, what was programmed
    if looks_up and f"{prefix}programmed" in state:
        state.setdefault(f"{prefix}target", state[f"{prefix}programmed"])
    gain = state.get(f"{prefix}gain")
    if gain is not None and gain.dim() == 0:  # the gain of before, of the only lane
        state[f"{prefix}gain"] = gain.reshape(1)


def _require_cells(cells: nn.Module, state: State, prefix: str) -> None:
    """Refuse what no writing gives, entry by entry."""
    most = float(cells.most)  # type: ignore[arg-type]
    kept = "programmed"
    if f"{prefix}table" in state:
        kept = "table"
        _require_packed(state, prefix)
    for name in (kept, "before", "target"):
        siemens = f"siemens from 0 to {most:g}"
        require_values(f"{prefix}{name}", state.get(f"{prefix}{name}"), 0, most, siemens)
    for name in ("writes", "rehearsals"):
        require_count(f"{prefix}{name}", state.get(f"{prefix}{name}"))
    _require_factors(f"{prefix}gain", state.get(f"{prefix}gain"))
    ends = -_check.LARGEST, _check.LARGEST  # 0 is what tuning finds for an output without weights
    name = f"{prefix}correction"
    require_values(name, state.get(name), *ends, "finite factors")
    for name in ("row_order", "col_order"):
        _require_order(f"{prefix}{name}", state.get(f"{prefix}{name}"))


def _require_packed(state: State, prefix: str) -> None:
    """Refuse codes that a table does not have, and halves that are no share of their unit."""
    values, table = state.get(f"{prefix}programmed"), state[f"{prefix}table"]
    if not isinstance(values, Tensor) or values.is_meta or not isinstance(table, Tensor):
        return
    there = Packed.of_state(values, table)
    if there.are_codes:
        most = len(table) - 1
        expected = f"codes of a table of {len(table)} entries"
        require_values(f"{prefix}programmed", there.values, 0, most, expected)
    else:
        require_values(f"{prefix}programmed", there.halves, 0, 1, "shares from 0 to 1")


def _require_factors(name: str, value: object) -> None:
    """Refuse factors that are infinite or NaN, or 0, with which nothing is left of a lane."""
    require_values(name, value, -_check.LARGEST, _check.LARGEST, "finite factors, not 0")
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return
    passing = value.reshape(len(value) if value.dim() else 1, -1).any(1)
    if not bool(passing.all()):
        raise ConfigError(
            f"{name} of the state is 0 at [{int(passing.int().argmin())}]; expected finite "
            "factors, not 0: look at what saved it"
        )


def _require_order(name: str, value: object) -> None:
    """Refuse positions of lines that do not have each line once."""
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return
    ordered = value.sort(-1).values
    if not bool((ordered == torch.arange(value.shape[-1], device=value.device)).all()):
        raise ConfigError(
            f"{name} of the state does not have each line once; expected the numbers from 0 to "
            f"{value.shape[-1] - 1} in each row: look at what saved it"
        )


def require_count(name: str, value: object) -> None:
    """Refuse in a state a number of times that is negative.

    Raises:
        ConfigError: it is.
    """
    require_values(name, value, 0, _check.INTEGERS[-1], "a number of times, at least 0")


def require_values(name: str, value: object, low: float, high: float, expected: str) -> None:
    """Refuse an entry of a state that has a value which nothing of its kind has.

    Args:
        name: of the entry.
        value: a tensor; anything else, and one without values, is left to torch.
        low: its lowest value.
        high: its highest.
        expected: what its values are.

    Raises:
        ConfigError: there is another value, or the tensor has no real values in rows.
    """
    if not isinstance(value, Tensor) or value.is_meta or not value.numel():
        return
    _check.tensor(f"{name} of the state", value, "of values", expected, any_real=True)
    least, most = (end.item() for end in value.detach().aminmax())
    if low <= least <= most <= high:
        return
    _check.finite("values", value, f"{name} of the state", "what saved it")
    place = tuple(((value < low) | (value > high)).nonzero()[0].tolist())
    kind = "negative" if least < 0 <= low else "too large" if most > high else "too small"
    raise ConfigError(
        f"{name} of the state has {kind} values, {value[place].item():.3g} at {list(place)}; "
        f"expected {expected}: look at what saved it"
    )


def complete_ranges(converter: nn.Module, state: State, prefix: str, *rest: Any) -> None:
    """Take the only range [2] of a state of before as that of the first lane, if it can be had."""
    del rest
    before = state.get(f"{prefix}range")
    if before is not None and before.dim() == 1:
        before = state[f"{prefix}range"] = before.unsqueeze(0)
    if isinstance(before, Tensor) and not before.is_meta:
        _require_range(before, f"{prefix}range")
        _require_bound(converter, before, f"{prefix}range")


def _require_range(bounds: Tensor, name: str) -> None:
    """Refuse in a state what is no range; one that is not known yet is NaN."""
    low, high = (bounds[..., :1], bounds[..., 1:]) if bounds.dim() else (bounds, bounds)
    if bool(bounds.isinf().any()) or bool((low > high).any()):
        raise ConfigError(
            f"{name} of the state is {bounds.tolist()}; expected finite lowest and highest values: "
            "look at what saved it"
        )


def _require_bound(converter: nn.Module, bounds: Tensor, name: str) -> None:
    """Refuse ranges for which a converter has no levels."""
    try:
        converter.require_levels(bounds)  # type: ignore[operator]
    except ConfigError as error:
        raise ConfigError(f"{name} of the state is {bounds.tolist()}: {error}") from None
