"""`calibrate`: the ranges of all converters from typical inputs of a network."""

import torch
from torch import Tensor, nn

from memcore._text import some
from memcore.crossbar.calibrated import Calibrated
from memcore.errors import ConfigError, NoEffectWarning, warn
from memcore.nn.bypass import warn_of_bypass, watched
from memcore.nn.clipping import clipped, warn_of_clipping
from memcore.nn.feeding import Batches, Forward, again, batches, run
from memcore.nn.matrix import Matrix
from memcore.nn.numbers import set_aside
from memcore.nn.verbs import evaluating
from memcore.nn.walk import named_matrices, unique_matrices


@torch.no_grad()
def calibrate(model: nn.Module, inputs: Batches, *, forward: Forward | None = None) -> None:
    """Set the ranges of all converters from typical inputs of the network.

    First the DACs see their inputs, then, with these in use, the ADCs the currents: neither order
    nor size of the batches matters. A loader is read once for each of the two, one batch at a
    time; what can be read once only is kept. Batch norm and dropout are as in evaluation, and no
    read number is used up.

    Args:
        model: a converted network.
        inputs: a batch, or an iterable of batches: tensors, tuples of several inputs, mappings by
            keywords, or (inputs, targets), of which the inputs are taken.
        forward: `forward(model, batch)`, where the network is called in another way.

    Raises:
        ConfigError: there are no inputs, or what reaches a layer is NaN or infinite.

    Warns:
        NoEffectWarning: no layer has a converter, or all ranges are fixed, so that it only counts
            what they clip; or a layer whose converter has a range to calibrate was not called, or
            the network multiplies by a weight past its arrays.
        SaturationWarning: a converter with a fixed range clips more than 1 % of its values.
    """
    every = unique_matrices(model)
    converting = [matrix for matrix in every if _converts(matrix)]
    waiting = [matrix for matrix in converting if has_range(matrix, "input", "output")]
    fixed = [matrix for matrix in converting if not has_range(matrix, "input", "output")]
    if not waiting:
        _warn_of_nothing(bool(fixed))
        _look_at_fixed(model, inputs, forward)
        return
    inputs = again(inputs)
    aside = set_aside(matrix.crossbar for matrix in every)
    with evaluating(model), aside, watched(model) as past:
        try:
            found = [port for port in ("input", "output") if _any_has_range(waiting, port)]
            for port in found:
                if port == found[-1]:  # the inputs of all layers are those of a chip by now
                    _count_clipped(fixed)
                _observe(model, waiting, port, inputs, forward)
        finally:
            for matrix in (*waiting, *fixed):
                matrix.crossbar.observe(None)
    unseen = _unseen(model)
    _warn_of_unseen(unseen)
    warn_of_bypass(name for name in past if name not in unseen)
    warn_of_clipping(model, fixed=True)


def _warn_of_nothing(is_fixed: bool) -> None:
    """Say why there is no range to find."""
    warn(
        "no layer has a converter with a range to calibrate: all are fixed, by full_scale or by "
        "training, and calibrate() only counts what they clip; expected full_scale=None for ranges "
        "from inputs"
        if is_fixed
        else "no layer has a converter; calibrate() had no effect",
        NoEffectWarning,
    )


def _look_at_fixed(model: nn.Module, inputs: Batches, forward: Forward | None) -> None:
    """Warn of fixed ranges that these inputs exceed, where there are no others."""

    def work() -> None:
        for batch in batches(model, inputs, forward):
            run(model, batch, forward)

    with evaluating(model):
        clipped(model, work)
    warn_of_clipping(model, fixed=True)


def _count_clipped(fixed: list[Matrix]) -> None:
    """Let the reads of the next pass count what fixed ranges clip."""
    for matrix in fixed:
        matrix.crossbar.observe("clipping")


def _observe(
    model: nn.Module,
    waiting: list[Matrix],
    port: str,
    inputs: Batches,
    forward: Forward | None,
) -> None:
    for matrix in waiting:
        matrix.crossbar.observe(port)
    count = empty = 0
    for batch in batches(model, inputs, forward):
        run(model, batch, forward)
        count += 1
        empty += isinstance(batch, Tensor) and not batch.numel()
    if count == empty:
        raise ConfigError(
            f"there is nothing to calibrate with: {count} batches, and no input in any; expected "
            "typical inputs of the network"
        )


def _unseen(model: nn.Module) -> list[str]:
    return [
        name
        for name, (_, matrix) in named_matrices(model).items()
        if has_range(matrix, "input", "output") and not matrix.crossbar.is_set
    ]


def _warn_of_unseen(unseen: list[str]) -> None:
    if unseen:
        warn(
            f"no input reached {some(unseen)}: the converters have no range; expected inputs with "
            "which the network calls every layer, or a filter_fn that leaves such layers out",
            NoEffectWarning,
        )


def _any_has_range(waiting: list[Matrix], port: str) -> bool:
    return any(has_range(matrix, port) for matrix in waiting)


def _converts(matrix: Matrix) -> bool:
    config = matrix.crossbar.config
    return config.dac is not None or config.adc is not None


def has_range(matrix: Matrix, *names: str) -> bool:
    """Whether a converter has a range to calibrate."""
    ports: list[Calibrated] = [getattr(matrix.crossbar, name) for name in names]
    return any(port.converter is not None and not port.is_fixed for port in ports)
