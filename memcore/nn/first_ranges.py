"""Ranges from a whole pass of a layer, where nobody calibrated and its first read shows little."""

from collections.abc import Callable

import torch

from memcore.contracts.layer import Layer
from memcore.crossbar import together
from memcore.crossbar.calibrated import warn_uncalibrated
from memcore.nn.numbers import set_aside
from memcore.nn.verbs import evaluating
from memcore.nn.walk import matrices


@torch.no_grad()
def take_ranges(layer: Layer, count: int, run: Callable[[], object]) -> None:
    """Let converters without a range take it from a pass of their layer.

    A crossbar that nobody calibrated takes its ranges from its first read. In a recurrent layer
    that is the first step, whose state is zero.

    Args:
        layer: whose matrices are read several times in one pass.
        count: number of inputs, for the warning.
        run: the pass.

    Warns:
        CalibrationWarning: there are such converters.
    """
    every = [matrix.crossbar for matrix in matrices(layer).values()]
    if all(crossbar.is_set or crossbar.is_observed for crossbar in every):
        return
    if torch.compiler.is_compiling():
        warn_uncalibrated(count)  # which refuses
    with every[0].lock:  # other threads wait until the ranges are there
        waiting = [each for each in every if not (each.is_set or each.is_observed)]
        if not waiting:
            return
        joins = together.trains(layer)
        warn_uncalibrated(count, joins=joins)
        try:
            with evaluating(layer), set_aside(every):
                for port in ("input", "output"):
                    for crossbar in waiting:
                        crossbar.observe(port)
                    run()
                    for crossbar in waiting if joins else ():
                        crossbar.join(port)
        finally:
            for crossbar in waiting:
                crossbar.observe(None)
