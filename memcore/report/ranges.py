"""`check_ranges`: what the converters of a network do to typical values."""

from dataclasses import dataclass

import torch
from torch import nn

from memcore._text import aligned
from memcore.nn.clipping import clipped, ports
from memcore.nn.feeding import Batches, Forward, batches, run
from memcore.nn.verbs import evaluating


@dataclass(frozen=True)
class ConverterRange:
    """The converters of one lane of a matrix, and what they did to typical values.

    Attributes:
        name: name of the matrix.
        kind: "DAC" or "ADC".
        lane: number of the lane; 0 for a DAC.
        lowest: lowest value of the range, in input units (DAC) or A (ADC).
        highest: highest value of the range.
        clipped: share of the values beyond the range.
        bits: effective bits, half log2 of the variance of the values over the mean squared error;
            b for values that are even over the range of an ideal converter of b bits.
    """

    name: str
    kind: str
    lane: int
    lowest: float
    highest: float
    clipped: float
    bits: float


@dataclass(frozen=True)
class RangeReport:
    """What `memcore.check_ranges` found; `str()` is a table.

    Attributes:
        converters: those of each lane of each matrix.
    """

    converters: tuple[ConverterRange, ...]

    def __str__(self) -> str:
        head = ("layer", "converter", "lane", "range", "clipped", "effective bits")
        rows = [
            (
                each.name or "(the model)",
                each.kind,
                str(each.lane),
                f"{each.lowest:.4g} .. {each.highest:.4g}" + " A" * (each.kind == "ADC"),
                f"{100 * each.clipped:.3g} %",
                f"{each.bits:.2f}",
            )
            for each in self.converters
        ]
        return "\n".join(aligned([head, *rows]))


@torch.no_grad()
def check_ranges(
    model: nn.Module, inputs: Batches, *, forward: Forward | None = None
) -> RangeReport:
    """Range, clipped share and effective bits of all converters for typical inputs.

    Nothing changes: batch norm and dropout are as in evaluation, and no read number is used up.

    Args:
        model: a converted network whose converters have ranges.
        inputs: a batch, or an iterable of batches, as of `memcore.calibrate`.
        forward: `forward(model, batch)`, where the network is called in another way.
    """
    with evaluating(model):
        clipped(
            model, lambda: [run(model, batch, forward) for batch in batches(model, inputs, forward)]
        )
    found = []
    for name, kind, port in ports(model):
        for lane, (seen, ends) in enumerate(zip(port.conversions, port.range, strict=True)):
            if seen.count:
                low, high = ends.tolist()
                found.append(ConverterRange(name, kind, lane, low, high, seen.clipped, seen.bits))
    return RangeReport(tuple(found))
