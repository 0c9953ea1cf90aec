"""What happens to the arrays of a converted network: writing, ageing, calibrating."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from memcore.crossbar.crossbar import Crossbar
from memcore.errors import NoEffectWarning, warn
from memcore.nn.walk import matrices, require_module, unique_layers, unique_matrices


def program(model: nn.Module) -> None:
    """Write all weights into their cells again.

    What a real rewrite draws anew is drawn anew; device-to-device differences and stuck cells
    stay. The clock of `age` starts again.
    """
    for layer in unique_layers(model):
        operands = layer.present()
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
    crossbars = [each for matrix in unique_matrices(model) for each in matrix.crossbars]
    before = [crossbar.cells.clock.segments for crossbar in crossbars]
    for index, crossbar in enumerate(crossbars):
        try:
            crossbar.age(seconds, temperature=temperature, cycles=cycles, reads=reads)
        except BaseException:  # no layer ages alone
            for aged, segments in zip(crossbars[:index], before, strict=False):
                aged.set_clock(segments)
            raise
    clocks = {clock for crossbar in crossbars for clock in crossbar.cells.effects.clocks}
    for name, passed in (("seconds", seconds), ("cycles", cycles), ("reads", reads)):
        if passed and name not in clocks:
            what = "time" if name == "seconds" else f"the number of {name}"
            warn(
                f"nothing that is configured changes with {what}; age({name}=...) had no effect",
                NoEffectWarning,
            )
    if temperature is not None:
        _warn_unless_felt(temperature, crossbars)


def _warn_unless_felt(temperature: float, crossbars: Sequence[Crossbar]) -> None:
    elsewhere = [each for each in crossbars if each.config.temperature != temperature]
    if elsewhere and not any(each.cells.feels(temperature) for each in elsewhere):
        warn(
            f"nothing that is configured ages at another pace at {temperature:g} K; "
            "age(temperature=...) had no effect",
            NoEffectWarning,
        )


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The network in evaluation mode for a while; each module then goes back to its own."""
    training = {module: module.training for module in require_module(model).modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode
