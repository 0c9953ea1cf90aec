"""What happens to the arrays of a converted network: writing, ageing, calibrating."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from memcore.crossbar.calibrated import Calibrated
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError, NoEffectWarning
from memcore.nn.matrix import Matrix
from memcore.nn.walk import matrices, unique_layers, unique_matrices

#: A batch, or batches; of a (inputs, targets) pair the inputs are taken.
Batches = Tensor | Iterable[Any]


def program(model: nn.Module) -> None:
    """Write all weights into their cells again.

    What a real rewrite draws anew is drawn anew; device-to-device differences and stuck cells
    stay. The clock of `age` starts again.
    """
    for layer in unique_layers(model):
        operands = layer.operands()
        for name, matrix in matrices(layer).items():
            matrix.program(operands[name])


def age(
    model: nn.Module,
    *,
    seconds: float = 0.0,
    temperature: float | None = None,
    cycles: float = 0.0,
    reads: float = 0.0,
) -> None:
    """Let time pass since programming, on top of what has passed already.

    Args:
        model: a converted network.
        seconds: s; `program` starts them again.
        temperature: K, at which all this happens; that of the config by default. The network is
            read at the temperature of the config in any case.
        cycles: SET and RESET cycles of every cell, beside those of `program`, one each.
        reads: of every cell, beside those of the forward passes, which do not count here.

    Warns:
        NoEffectWarning: nothing that is configured changes with what passed, or ages at another
            pace at this temperature.

    Raises:
        ConfigError: a number is negative, infinite or NaN, or outside what a device's data cover.
    """
    crossbars = [matrix.crossbar for matrix in unique_matrices(model)]
    for crossbar in crossbars:
        crossbar.age(seconds, temperature=temperature, cycles=cycles, reads=reads)
    clocks = {clock for crossbar in crossbars for clock in crossbar.cells.effects.clocks}
    for name, passed in (("seconds", seconds), ("cycles", cycles), ("reads", reads)):
        if passed and name not in clocks:
            what = "time" if name == "seconds" else f"the number of {name}"
            _warn(f"nothing that is configured changes with {what}; age({name}=...) had no effect")
    if temperature is not None:
        _warn_unless_felt(temperature, crossbars)


def _warn_unless_felt(temperature: float, crossbars: Sequence[Crossbar]) -> None:
    elsewhere = [each for each in crossbars if each.config.temperature != temperature]
    if elsewhere and not any(each.cells.effects.feels(temperature) for each in elsewhere):
        _warn(
            f"nothing that is configured ages at another pace at {temperature:g} K; "
            "age(temperature=...) had no effect",
            stacklevel=4,
        )


@torch.no_grad()
def calibrate(model: nn.Module, inputs: Batches) -> None:
    """Set the ranges of all converters from typical inputs of the network.

    First the DACs see their inputs, then, with these in use, the ADCs the currents: the order of
    the batches does not matter. Batch norm and dropout are as in evaluation, and no read number is
    used up.

    Args:
        model: a converted network.
        inputs: a batch, or an iterable of batches or of (inputs, targets) pairs.

    Raises:
        ConfigError: there are no inputs, or what reaches a layer is NaN or infinite.

    Warns:
        NoEffectWarning: no layer has a converter whose range is calibrated.
    """
    every = unique_matrices(model)
    waiting = [matrix for matrix in every if _has_range(matrix, "input", "output")]
    if not waiting:
        _warn("no layer has a converter with a range to calibrate; calibrate() had no effect")
        return
    every_batch = list(batches(inputs))
    if all(isinstance(batch, Tensor) and not batch.numel() for batch in every_batch):
        raise ConfigError(
            f"there is nothing to calibrate with: {len(every_batch)} batches, and no input in any; "
            "expected typical inputs of the network"
        )
    reads = [matrix.crossbar.reads.clone() for matrix in every]
    with evaluating(model):
        try:
            for port in ("input", "output"):
                if not any(_has_range(matrix, port) for matrix in waiting):
                    continue
                for matrix in waiting:
                    matrix.crossbar.observe(port)
                for batch in every_batch:
                    model(batch)
        finally:
            for matrix in waiting:
                matrix.crossbar.observe(None)
            for matrix, number in zip(every, reads, strict=True):
                matrix.crossbar.reads.copy_(number)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; each module then goes back to its own."""
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def _has_range(matrix: Matrix, *names: str) -> bool:
    """Whether a converter has a range to calibrate."""
    ports: list[Calibrated] = [getattr(matrix.crossbar, name) for name in names]
    return any(port.converter is not None and not port.is_fixed for port in ports)


def batches(inputs: Batches) -> Iterator[Tensor]:
    """The inputs of each batch."""
    for batch in [inputs] if isinstance(inputs, Tensor) else inputs:
        yield batch[0] if isinstance(batch, list | tuple) else batch


def _warn(message: str, stacklevel: int = 3) -> None:
    import warnings

    warnings.warn(message, NoEffectWarning, stacklevel=stacklevel)
