"""What one pulse changes: the unit of training in place."""

import dataclasses
import math
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.contracts.update import Pair
from memcore.errors import ConfigError
from memcore.nn.walk import named_matrices
from memcore.optim.placement import pair_of

#: Cells over whose noise the change of one pulse is averaged.
_CELLS = 4096
#: Pulses that are tried to reset a cell, in even ways through its window, and at most.
_WAYS: Final = 8
_LONGEST: Final = 100_000
#: Places of the window at which it is looked whether pulses are lost.
_PLACES: Final = 64


def change_of(device: Memristor, ctx: Context, pair: Pair) -> float:
    """Mean change of a conductance in S by one pulse in the middle of the window.

    It is that of both directions, or towards SET alone where cells are pulsed one way.

    Raises:
        ConfigError: the device has no pulses, or they move nothing.
    """
    nominal = _without_noise(device)
    lowest, highest = nominal.nominal_range()
    start = nominal.state_of(torch.full((_CELLS,), 0.5 * (lowest + highest), device="cpu"))
    before = nominal.conductance(start)
    changes = []
    for sign in (1,) if pair == "one_sided" else (1, -1):
        try:
            after = nominal.pulses(
                start, torch.full((_CELLS,), sign, device="cpu"), ctx.child(sign)
            )
        except NotImplementedError as error:
            raise ConfigError(f"{error}; training in place needs a device with pulses") from error
        changes.append(abs(float((nominal.conductance(after) - before).mean())))
    change = sum(changes) / len(changes)
    if not change > 0:
        raise ConfigError(
            f"a pulse changes {type(device).__name__} by nothing in the middle of its window; "
            "expected a device, or pulses, with which it moves"
        )
    return change


def lost_share(device: Memristor, ctx: Context, dtype: torch.dtype) -> float:
    """Share of the pulses that move a cell, but not its state in a precision.

    Pulses of both directions are tried over the whole window but for its ends.
    """
    if torch.finfo(dtype).bits >= 32:
        return 0.0
    coarse, fine = (_are_moved(device, ctx, each) for each in (dtype, torch.float32))
    return float((fine & ~coarse).sum() / fine.sum().clamp(min=1))


def _are_moved(device: Memristor, ctx: Context, dtype: torch.dtype) -> Tensor:
    """Whether a pulse moves the state of a nominal cell, up and down at each place, [2, places]."""
    nominal = _without_noise(device)
    lowest, highest = nominal.nominal_range()
    share = (torch.arange(_PLACES, device="cpu") + 0.5) / _PLACES
    start = nominal.state_of((lowest + (highest - lowest) * share).to(dtype))
    signs = [torch.full((_PLACES,), sign, device="cpu") for sign in (1, -1)]
    behind = [nominal.pulses(start, sign, ctx.child(int(sign[0]))) for sign in signs]
    return torch.stack([(each != start).any(0) for each in behind])


def granularity(model: nn.Module) -> dict[str, float]:
    """Mean change of a weight by one pulse, for each matrix of a network by its name.

    Args:
        model: a converted network.

    Raises:
        ConfigError: a device has no pulses.
        ConversionError: there is no memristive layer.
    """
    result = {}
    for name, (_, matrix) in named_matrices(model).items():
        crossbar = matrix.crossbar
        pair = pair_of(crossbar, None)
        device, ctx = crossbar.cells.config.device, crossbar.cells.context()
        change = change_of(device, ctx.child("granularity"), pair)
        pulsed = 2 if pair == "push_pull" else 1
        result[name] = float(crossbar.cells.scale.mean()) * change * pulsed
    return result


def courses_of(device: Memristor, ctx: Context, change: float) -> tuple[Tensor, Tensor]:
    """How pulses towards SET and towards RESET lead through the window of a nominal cell.

    Args:
        device: the nominal cell.
        ctx: context of its pulses.
        change: of a conductance in S by one pulse, as `change_of` has it.

    Returns:
        shares of the window after 0, 1, 2 ... pulses, from the end where each direction begins.
    """
    lowest, highest = device.nominal_range()
    most = min(_LONGEST, math.ceil(_WAYS * (highest - lowest) / change))
    rising, falling = (_course_of(device, ctx.child(sign), sign, most) for sign in (1, -1))
    return rising, falling


def _course_of(device: Memristor, ctx: Context, sign: int, most: int) -> Tensor:
    """Shares of the window after 0 to `most` pulses, towards SET from its lowest end or back."""
    nominal = _without_noise(device)
    lowest, highest = nominal.nominal_range()
    start = nominal.state_of(torch.full((most + 1,), lowest if sign > 0 else highest, device="cpu"))
    after = nominal.pulses(start, sign * torch.arange(most + 1, device="cpu"), ctx)
    share = (nominal.conductance(after) - lowest) / (highest - lowest)
    return share.cummax(0).values if sign > 0 else share.cummin(0).values


def _without_noise(device: Memristor) -> Memristor:
    nominal = device.nominal()
    fields = {field.name for field in dataclasses.fields(nominal)}  # type: ignore[arg-type]
    if "c2c" in fields:
        nominal = dataclasses.replace(nominal, c2c=0.0)  # type: ignore[type-var]
    return nominal
