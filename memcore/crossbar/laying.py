"""Weights as targets of the cells of all arrays: mapped, then laid where they belong."""

import math
from typing import NamedTuple

from torch import Tensor

from memcore.contracts.contract import speaks_of
from memcore.contracts.mapper import Mapped, Part
from memcore.contracts.records import Context
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.tiling import Tiling
from memcore.ops import pairs


class Laid(NamedTuple):
    """Targets on the lines of arrays, in the order in which lines are numbered.

    Args:
        mapped: the parts, without their targets, and the gain.
        tiling: where they lie.
        target: [arrays, rows, cols] S.
        reach: S, the least and the largest target, all of which are finite.
    """

    mapped: Mapped
    tiling: Tiling
    target: Tensor
    reach: tuple[float, float]


def laid_at_once(weight: Tensor, config: CrossbarConfig, ctx: Context) -> Laid | None:
    """Map weights and lay them in one pass over memory; None where that has to be done in steps.

    Args:
        weight: [groups, rows, cols] in any order in memory, finite.
        config: of the arrays.
        ctx: of the mapper.
    """
    mapper, dense = config.mapper, weight if weight.is_contiguous() else weight.mT
    if mapper is None or config.lanes or config.spare_cols or not pairs.fits(dense):
        return None
    if not speaks_of(type(mapper), "two_parts", "map"):
        return None
    whole = mapper.two_parts(weight, config.device.nominal(), ctx)
    if whole is None:
        return None
    scale = whole.scale_of(weight)
    if not pairs.fits(scale) or tuple(scale.shape) not in ((), (1,), (weight.shape[2],)):
        return None
    nothing, gain = weight.new_zeros(0), (scale / whole.span).unsqueeze(0)
    mapped = Mapped(parts=(Part(target=nothing), Part(target=nothing, sign=-1)), gain=gain)
    groups, rows, cols = weight.shape
    tiling = Tiling(groups, rows, cols, (False, False), config.tile, (0, 0))
    unused, _ = config.device.nominal_range()
    limit = 1.0 if whole.limited else math.inf
    line = pairs.Line(scale, whole.span, whole.start, limit)
    target, least, most = pairs.lay(weight, line, grid_of(tiling), unused)
    if not math.isfinite(least + most):
        return None  # the steps say what is wrong
    return Laid(mapped, tiling, target, (least, most))


def grid_of(tiling: Tiling) -> pairs.Grid:
    """Where two parts of a matrix lie."""
    lines = tiling.array_rows, tiling.data_cols
    return pairs.Grid(tiling.groups, tiling.rows, tiling.cols, *lines)


def folded_at_once(
    cells: Tensor,
    tiling: Tiling,
    parts: tuple[Part, ...],
    gain: Tensor,
    out: Tensor | None = None,
) -> tuple[Tensor, bool] | None:
    """What the cells of two parts stand for, [groups, outputs, inputs], and whether it is finite.

    None where that has to be found in steps.

    Args:
        cells: [arrays, rows, cols] S.
        tiling: where they lie.
        parts: of the mapping.
        gain: weight for one siemens, [lanes] or [lanes, cols].
        out: takes the result; by default it gets new memory.
    """
    if not are_pairs(tiling, parts, gain) or not pairs.fits(cells, gain):
        return None
    has_reference = tiling.shared == (False, True)
    return pairs.fold(cells, gain.view(-1), grid_of(tiling), reference=has_reference, out=out)


def are_pairs(tiling: Tiling, parts: tuple[Part, ...], gain: Tensor) -> bool:
    """Whether arrays are those of two parts, of which the second one may be a reference column."""
    is_pair = [part.sign for part in parts] == [1, -1] and tiling.lanes == (0, 0)
    plain = not (tiling.spare or tiling.order is not None)
    has_reference = tiling.shared == (False, True)
    return is_pair and plain and gain.dim() <= 2 and (has_reference or not tiling.references)
