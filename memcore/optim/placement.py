"""Where weights lie in the windows of their cells, so that pulses can move them both ways."""

import torch
from torch import Tensor

from memcore.contracts.mapper import Reference
from memcore.contracts.records import Stage
from memcore.contracts.update import Pair
from memcore.crossbar.cells import Cells
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import is_off
from memcore.errors import ConfigError


def pair_of(crossbar: Crossbar, pair: Pair | None) -> Pair:
    """Which cells of a weight take pulses, by default those that the mapping suggests.

    Raises:
        ConfigError: the mapping has other cells, or several digits.
    """
    cells = crossbar.cells
    _require_one_lane(cells)
    has_reference = any(isinstance(part, Reference) for part in cells.parts)
    signs = [part.sign for part in cells.parts if not isinstance(part, Reference)]
    if pair is None:
        return "reference" if has_reference else "push_pull"
    fits = len(signs) == 1 if pair == "reference" else sorted(signs) == [-1, 1]
    if not fits:
        mapper = "offset" if pair == "reference" else "differential"
        raise ConfigError(
            f"pair={pair!r} came for {cells.name or 'the layer'}, whose mapping stores each weight "
            f"in {len(signs)} cell(s); expected a mapping that fits: mapper={mapper!r}"
        )
    return pair


def require_pulses_alone(crossbar: Crossbar) -> None:
    """Refuse effects of a write that know nothing of pulses; stuck cells no pulse moves.

    Raises:
        ConfigError: there is one, or groups share lines, whose pulses meet between them too.
    """
    cells = crossbar.cells
    if crossbar.packing.count > 1:
        raise ConfigError(
            f"{crossbar.packing.count} groups of {cells.name or 'the layer'} have one array in "
            "common, where pulses would move the cells between them; expected arrays of their own "
            "to train in place: groups='apart'"
        )
    array = cells.array()
    for name, effect in cells.config.effects.items():
        if effect.stage is not Stage.PROGRAM or is_off(effect):
            continue
        if effect.stuck_cells(array, cells.context().child(name)) is None:
            raise ConfigError(
                f"the effect {name!r} acts when cells are written as a whole, not at a pulse; "
                f"expected cells that pulses alone move: without={(name,)!r}, and the device's own "
                "distributions and c2c"
            )


def place(crossbar: Crossbar, pair: Pair, headroom: float) -> None:
    """Lay the weights where pulses can move them.

    The weights use a share `1 / headroom` of the window. Two cells that are pushed and pulled lie
    evenly about the middle of the window, where both can go both ways: a mapping that leaves one
    of them at its lowest end would lose every pulse that lowers it.

    Args:
        crossbar: the arrays, whose cells and gain change.
        pair: which cells take pulses.
        headroom: how much larger than its largest weight a matrix may become.
    """
    cells = crossbar.cells
    target = _shrunk(crossbar, headroom)
    if pair == "push_pull":
        target = target + _to_the_middle(cells, target)
    device = cells.array().device
    cells.programmed.copy_(device.conductance(device.state_of(target)))
    cells.gain.mul_(headroom)
    crossbar.refresh()


def renewal(
    pair: Tensor, share: float, rising: Tensor, falling: Tensor
) -> tuple[Tensor, Tensor] | None:
    """Pulses that reset pairs of cells of which none has room left, and write their differences.

    Args:
        pair: both cells of each pair as shares of their window, [2, arrays, rows, cols].
        share: a pair is renewed if its higher cell is above this, its lower one above the rest.
        rising: shares of the window after 0, 1, 2 ... SET pulses from its lowest end.
        falling: shares after as many RESET pulses from its highest end.

    Returns:
        RESET pulses, negative, and the SET pulses that follow, as `pair`; None if no pair is full.
    """
    full = (pair.amax(0) > share) & (pair.amin(0) > 1 - share)
    if not bool(full.any()):
        return None
    difference = (pair - pair.flip(0)).clamp(min=0)
    # A reset is over where a RESET pulse does less than the first SET pulse behind it.
    resets = int((falling > falling[-1] + rising[1]).sum())
    middles = 0.5 * (rising[1:] + rising[:-1])  # so that the nearest number of pulses is found
    sets = torch.searchsorted(middles, difference.to(middles.dtype).contiguous())
    down = torch.where(full, -float(resets), 0.0).expand_as(pair)
    return down, torch.where(full, sets.to(pair.dtype), 0.0)


def _shrunk(crossbar: Crossbar, headroom: float) -> Tensor:
    cells = crossbar.cells
    nothing = cells.mapped(crossbar.folded.transpose(1, 2) * 0.0, int(cells.writes))
    unused, _ = cells.config.device.nominal_range()
    zero = cells.tiling.split([part.target for part in nothing.parts], unused)
    return zero + (cells.programmed - zero) / headroom


def _to_the_middle(cells: Cells, target: Tensor) -> Tensor:
    """What takes both cells of a pair as far from the middle, which their difference keeps."""
    lowest, highest = cells.config.device.nominal_range()
    tiling = cells.tiling
    higher, lower = target.view(2, -1, *target.shape[1:])
    shift = 0.5 * (lowest + highest) - 0.5 * (higher + lower)
    ones = target.new_ones(tiling.groups, tiling.rows, tiling.cols)
    used = tiling.split([ones, ones], 0.0)
    return torch.cat([shift, shift]) * used


def _require_one_lane(cells: Cells) -> None:
    if cells.config.cells != "full":
        raise ConfigError(
            f"the arrays of {cells.name or 'the layer'} keep their cells as "
            f"{cells.config.cells!r}, where pulses are lost; expected cells='full' to train in "
            "place"
        )
    if cells.config.lanes:
        raise ConfigError(
            f"the arrays of {cells.name or 'the layer'} have lanes with settings of their own; "
            "expected lanes=() to train in place"
        )
    if len(cells.gain) > 1:
        raise ConfigError(
            f"the mapping of {cells.name or 'the layer'} has {len(cells.gain)} lanes, digits of a "
            'weight; expected one to train in place: mapper="differential" or "offset"'
        )
