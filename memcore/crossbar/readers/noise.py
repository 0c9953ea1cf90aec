"""Noise of the cells at a read: a draw for each output of a tile, and the numbers of the reads."""

from typing import NamedTuple

import torch
from torch import Tensor

from memcore.contracts.mapper import Part
from memcore.crossbar.effects import Effects, sensitivity
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.together import process
from memcore.ops.rehearsal import Reads


class Source(NamedTuple):
    """Noise that is drawn once for each bit line, or once for each reference line of an array.

    Args:
        value: which of the digitised values it adds to.
        sign: with which sign.
        shared: whether it is that of a reference line.
    """

    value: int
    sign: float
    shared: bool


class CellNoise(NamedTuple):
    """Gaussian noise of all cells of some arrays.

    Args:
        sources: what a read draws.
        variance: of the cells of each source, [sources, groups, rows, cols] S^2.
        key: of the draws of the first source; those of the others follow.
    """

    sources: tuple[Source, ...]
    variance: Tensor
    key: int

    @property
    def is_own(self) -> bool:
        """Whether each digitised value has one draw of its own for each output, in order."""
        own = [source.value for source in self.sources if not source.shared and source.sign == 1]
        return own == list(range(len(self.sources)))


def cell_noise(
    settled: Tensor,
    effective: Tensor,
    effects: Effects | LaneEffects,
    parts: tuple[Part, ...],
    plan: ReadPlan,
) -> CellNoise | None:
    """The noise of the cells of arrays whose reads are products; None for none.

    Args:
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        effective: what multiplies the voltages, [arrays, rows, cols] S.
        effects: of the cells.
        parts: how parts add up to lanes.
        plan: how the parts lie, and which values are digitised.
    """
    variance = effects.variance(settled) if effects.is_product else None
    if variance is None:
        return None
    variance = variance.expand_as(settled)
    if effective is not settled:
        variance = variance * sensitivity(effective, settled).square()
    return CellNoise(*_merged(plan.tiling.join(variance), parts, plan), effects.noise_key)


def _merged(
    variance: Tensor, parts: tuple[Part, ...], plan: ReadPlan
) -> tuple[tuple[Source, ...], Tensor]:
    """What draws of its own a read takes, and the variances of its cells.

    The independent noise of parts that are subtracted before the ADC is drawn as one. The noise of
    a reference cell is common to all outputs of its array.
    """
    shared = plan.tiling.shared
    if plan.per_column:
        return tuple(Source(index, 1.0, each) for index, each in enumerate(shared)), variance
    own: dict[int, Tensor] = {}
    for part, each, cells in zip(parts, shared, variance, strict=True):
        if not each:
            own[part.lane] = cells if part.lane not in own else own[part.lane] + cells
    sources = [Source(lane, 1.0, False) for lane in own]
    kept = list(own.values())
    for part, each, cells in zip(parts, shared, variance, strict=True):
        if each:
            sources.append(Source(part.lane, part.sign, True))
            kept.append(cells)
    return tuple(sources), torch.stack(kept)


def numbered(reads: Tensor, count: int, phases: int = 1) -> Tensor:
    """Numbers of so many reads, int64 [count], of their first phases; no other process has them.

    Args:
        reads: how many reads of this process there were before.
        count: how many reads there are now.
        phases: of each read; the numbers of the later ones follow in steps of the processes.
    """
    mine, ranks = process()
    numbers = reads + torch.arange(count, device=reads.device)
    return numbers if phases == ranks == 1 else phases * numbers * ranks + mine


def numbers_of(reads: Tensor) -> Reads:
    """As `numbered` has them for reads of one phase, where numbers are at hand."""
    mine, ranks = process()
    return Reads(int(reads) * ranks + mine, ranks)
