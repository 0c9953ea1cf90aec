"""`sensing_table`: the probabilities of sensed sums, by convolving the currents of cells."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from memcore import _check
from memcore.contracts.distributions import Distribution
from memcore.errors import ConfigError
from memcore.registry.specs import PluginSpec
from memcore.sensing.amplifier import References, references_of, require_rows
from memcore.sensing.cells import Ends, configured, even_conductances
from memcore.sensing.table import SumTable

#: Equally likely cells that stand for all cells of one value.
_CELLS: Final = 1 << 16
#: Distance of two points of the grid of currents, as a share of the current of a nominal 1.
_STEP: Final = 2e-3
#: Points of the grid, at most; where they do not reach, their distance grows.
_POINTS: Final = 1 << 14


def sensing_table(
    device: PluginSpec,
    *,
    rows: int = 9,
    read_voltage: float = 0.6,
    references: References = "midpoint",
    spread: Distribution | None = None,
    nonidealities: Sequence[PluginSpec] = (),
    temperature: float = 300.0,
    without: Sequence[str] = (),
) -> SumTable:
    """How likely each sensed sum is for each ideal sum and each number of open word lines.

    Cells store 1 at the highest and 0 at the lowest nominal conductance of the device. The current
    of a bit line is the sum over the open word lines, and the sensed sum is the number of
    references below it. The distribution of a single current follows from the device with its own
    distributions, programming error and noise of a read, and from the effects that are named; those
    of sums by convolution. Nothing is drawn at random.

    Args:
        device: the cells; parameters that are distributions count.
        rows: word lines that are open at once, at most.
        read_voltage: V on an open word line.
        references: "midpoint" for references half-way between nominal currents, for each number of
            open lines; or a function from that number to as many ascending currents in A.
        spread: distribution of a factor of each resistance, `memcore.LogNormal(1.0, 0.2)` say;
            None for none beside what the device and the effects bring.
        nonidealities: effects of single cells, names, mappings or instances.
        temperature: K.
        without: names of effects to leave out, those of the device among them.

    Raises:
        ConfigError: an argument does not fit, or cells share what an effect draws.

    Examples:
        >>> table = memcore.sensing_table(
        ...     memcore.devices["ideal"](r_on=1e4, r_off=1e5), spread=memcore.LogNormal(1.0, 0.2)
        ... )
        >>> round(float(table.correct()[5]), 3)
        0.668
    """
    rows = require_rows(rows)
    read_voltage = _check.number("read_voltage", read_voltage, unit="V", above=0)
    config = configured(device, nonidealities, spread, read_voltage, temperature, without)
    low, high = (read_voltage * g for g in Ends.of(config))
    ones, zeros = (
        read_voltage * even_conductances(config, g, _CELLS) for g in reversed(Ends.of(config))
    )
    reach = rows * float(torch.cat([ones, zeros]).max() - torch.cat([ones, zeros]).min())
    step = max(_STEP * high, 1.01 * reach / (_POINTS - rows - 1))
    sums = _Sums(ones, zeros, step, rows)
    probability = torch.zeros(rows, rows + 1, rows + 1, dtype=torch.float64, device="cpu")
    for lines in range(1, rows + 1):
        borders = references_of(references, low, high, lines)
        below = sums.below(borders, lines)
        edges = torch.cat([below.new_zeros(lines + 1, 1), below, below.new_ones(lines + 1, 1)], 1)
        probability[lines - 1, : lines + 1, : lines + 1] = edges.diff(dim=1).clamp(min=0)
    return SumTable(probability)


class _Sums:
    """Distributions of sums of independent currents on a grid.

    Args:
        ones: currents of equally likely cells of value 1, [n] A.
        zeros: currents of equally likely cells of value 0, [n] A.
        step: distance of two points of the grid, A.
        rows: cells of a sum, at most.
    """

    def __init__(self, ones: Tensor, zeros: Tensor, step: float, rows: int) -> None:
        if not bool(torch.cat([ones, zeros]).isfinite().all()):
            raise ConfigError(
                "a cell conducts an infinite or no number of amperes; expected finite "
                "conductances: look at the parameters of the device and of the effects"
            )
        self.step = step
        (one, self.first_one), (zero, self.first_zero) = _binned(ones, step), _binned(zeros, step)
        self.points = 1 << (rows * (max(len(one), len(zero)) - 1) + 1).bit_length()
        self.ones, self.zeros = (_powers(m, rows, self.points) for m in (one, zero))

    def below(self, borders: Tensor, lines: int) -> Tensor:
        """Probability that the sum lies below each border, by value, [lines + 1, borders]."""
        spectra = self.ones[: lines + 1] * self.zeros[: lines + 1].flip(0)
        below = torch.fft.irfft(spectra, self.points).cumsum(1)
        value = torch.arange(lines + 1, device="cpu").unsqueeze(1)
        first = value * self.first_one + (lines - value) * self.first_zero
        # What lies at a point is spread over half a step on either side of it.
        return _between(below, borders / self.step - first - 0.5).clamp(0, 1)


def _powers(mass: Tensor, rows: int, points: int) -> Tensor:
    """Spectra of sums of 0, 1, ... independent currents, [rows + 1, frequencies]."""
    one = torch.fft.rfft(mass, points)
    return torch.cat([torch.ones_like(one).unsqueeze(0), one.expand(rows, -1).cumprod(0)])


def _binned(currents: Tensor, step: float) -> tuple[Tensor, int]:
    """Shares of the currents at the points of a grid, and the number of the first point."""
    position = currents / step
    floor = position.floor()
    first, last = int(floor.min()), int(floor.max()) + 1
    above, at = position - floor, (floor - first).long()
    mass = torch.zeros(last - first + 1, dtype=torch.float64, device="cpu")
    mass.index_add_(0, at, 1 - above).index_add_(0, at + 1, above)
    return mass / len(currents), first


def _between(values: Tensor, position: Tensor) -> Tensor:
    """Values of each row at positions between their indices; 0 before the first, the last after."""
    count = values.shape[1]
    place = (position + 1).clamp(0, count)
    at = place.floor().long().clamp(max=count - 1)
    share = place - at
    before = torch.where(at > 0, values.gather(1, (at - 1).clamp(min=0)), 0.0)
    return before * (1 - share) + values.gather(1, at) * share
