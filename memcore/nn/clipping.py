"""How many of their values the converters of a network clip."""

from collections.abc import Callable, Iterator

from torch import nn

from memcore.crossbar.calibrated import Calibrated
from memcore.errors import SaturationWarning, warn
from memcore.nn.walk import named_matrices, unique_matrices

#: Share of clipped values above which a warning says so.
_MANY = 0.01


def clipped(model: nn.Module, work: Callable[[], object]) -> dict[tuple[str, str], float]:
    """The share of clipped values of each converter that has a range.

    Args:
        model: a converted network.
        work: runs it; no read number is used up.
    """
    ready = [each.crossbar for each in unique_matrices(model) if each.crossbar.is_set]
    waiting = [each for each in ready if each.config.dac is not None or each.config.adc is not None]
    reads = [crossbar.reads.clone() for crossbar in waiting]
    if not waiting:
        return {}
    try:
        for crossbar in waiting:
            crossbar.observe("clipping")
        work()
    finally:
        for crossbar, number in zip(waiting, reads, strict=True):
            crossbar.observe(None)
            crossbar.reads.copy_(number)
    return {
        (name, kind): port.clipped for name, kind, port in ports(model) if port.clipped is not None
    }


def warn_of_clipping(model: nn.Module, *, fixed: bool = False) -> None:
    """Say which converters clipped many values when they were looked at last.

    Args:
        model: a converted network.
        fixed: whether only fixed ranges are looked at; a calibrated one clips what it was told to,
            and so does one that training finds.

    Warns:
        SaturationWarning: there are some.
    """
    for name, kind, port in ports(model):
        if port.is_learned or port.clipped is None or port.clipped <= _MANY:
            continue
        if port.is_fixed or not fixed:
            warn(
                f"the {kind} of {name or 'the model'} clips {100 * port.clipped:.3g} % of its "
                f"values, beyond {port.range.tolist()}; expected a range that holds them: "
                "full_scale=None calibrates",
                SaturationWarning,
            )


def ports(model: nn.Module) -> Iterator[tuple[str, str, Calibrated]]:
    """The converters of a network: name of the matrix, "DAC" or "ADC", converter."""
    for name, (_, matrix) in named_matrices(model).items():
        yield name, "DAC", matrix.crossbar.input
        yield name, "ADC", matrix.crossbar.output
