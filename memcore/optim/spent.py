"""What pulses take: the time of their slots, and the energy of cells that are resistors."""

import math

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.ops.pulse_order import Sums


def durations(device: Memristor) -> tuple[float, float]:
    """s, of a SET and of a RESET pulse; NaN where the device has no such pulse."""
    sets, resets = (
        math.nan if end is None else end[1] for end in (device.set_pulse, device.reset_pulse)
    )
    return sets, resets


def time_of(device: Memristor, slots: int, *, one_sided: bool) -> float:
    """s, of some slots.

    Args:
        device: whose pulses they are.
        slots: how many there are.
        one_sided: whether pairs are raised and lowered by a SET pulse each.
    """
    sets, resets = durations(device)
    return slots * (2 * sets if one_sided else sets + resets)


def of_resistors(pulses: Tensor, conductance: Tensor) -> Sums:
    """What signed pulses add up to, of resistors of these conductances [arrays, rows, cols] S."""
    net, g = pulses.flatten(), conductance.flatten()
    sets = net.clamp(min=0)
    total = int((2 * sets.sum() - net.sum()).round())
    of_sets = float(torch.dot(sets, g))
    return Sums(0, total, of_sets, of_sets - float(torch.dot(net, g)))


def energies_of(device: Memristor, sums: Sums) -> tuple[float, float]:
    """J, of the pulses towards SET and of those towards RESET."""
    sets, resets = (
        spent * (math.nan if end is None else end[0] ** 2 * end[1])
        for spent, end in zip(
            (sums.sets, sums.resets), (device.set_pulse, device.reset_pulse), strict=True
        )
    )
    return sets, resets
