"""What is behind the ADCs: what their steps count for, and the sum of all lanes."""

import torch
from torch import Tensor

from memcore.contracts.mapper import Part, added, subtracted
from memcore.crossbar.plan import ReadPlan


def step_values(
    shape: tuple[int, int, int], plan: ReadPlan, steps: list[Tensor], gain: Tensor, volts: float
) -> Tensor:
    """What one step of an ADC stands for in each column, [1] or [groups * values * cols].

    Args:
        shape: groups, values that are digitised for an output, and outputs.
        plan: of a read.
        steps: of the ADC of each value, A; none without an ADC.
        gain: weight for one siemens of net conductance in each lane, [lanes] or [lanes, cols].
        volts: V for an input of 1.
    """
    groups, _, cols = shape
    if not steps:
        return gain.new_ones(1)
    if plan.per_column:
        scales = [step * (gain.new_ones(1) / volts) for step in steps]
    else:
        pairs = zip(steps, gain, strict=True)
        scales = [step * (share.reshape(-1) / volts) for step, share in pairs]
    if len(scales) == 1 and scales[0].numel() == 1:
        return scales[0]
    if plan.per_column and len({float(scale) for scale in scales}) == 1:
        return scales[0]
    return torch.cat([scale.expand(cols) for scale in scales]).repeat(groups)


def added_up(
    y: Tensor, shape: tuple[int, int, int], plan: ReadPlan, parts: tuple[Part, ...], gain: Tensor
) -> Tensor:
    """Outputs [n, groups, cols] of the values of all lanes or columns, [n, groups, values * cols].

    Args:
        y: digitised values, times `step_values`.
        shape: as of `step_values`.
        plan: of a read.
        parts: how columns that are converted one by one are subtracted, in the order of the values.
        gain: as of `step_values`.
    """
    groups, values, cols = shape
    if plan.per_column:
        return added(subtracted(y.view(-1, groups, values, cols).movedim(2, 0), parts), gain)
    return y if values == 1 else y.view(-1, groups, values, cols).sum(2)
