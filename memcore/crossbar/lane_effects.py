"""`LaneEffects`: the effects of a matrix whose lanes have cells of different kinds."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from memcore.circuit.array import ArrayCircuit
from memcore.contracts.forms import Count
from memcore.contracts.product import Product
from memcore.crossbar.clock import Clock
from memcore.crossbar.effects import Effects
from memcore.crossbar.tiling import Tiling
from memcore.errors import ConfigError


class LaneEffects(nn.Module):
    """The effects of all lanes, with what `Effects` has of one kind of cells.

    Args:
        lanes: of each lane.
        counts: number of arrays of each lane, which follow each other.
        noise_key: of the noise of all effects together, where only the sum of a line is drawn.
    """

    def __init__(self, lanes: Sequence[Effects], counts: Sequence[int], noise_key: int) -> None:
        super().__init__()
        self.lanes = nn.ModuleList(lanes)
        self.counts, self.noise_key = list(counts), noise_key
        every = list(lanes)
        self.is_stochastic = any(each.is_stochastic for each in every)
        self.is_product = all(each.is_product for each in every)
        self.is_exact = all(each.is_exact for each in every)
        self.is_linear = all(each.is_linear for each in every)

    def _of_all(self, of: Callable[[Effects, Tensor], Tensor], cells: Tensor) -> Tensor:
        """What each lane makes of its share of [arrays, rows, cols], one lane behind the other."""
        pairs = zip(self.each, torch.split(cells, self.counts), strict=True)
        return torch.cat([of(effects, some).expand_as(some) for effects, some in pairs])

    @property
    def each(self) -> list[Effects]:
        """The effects of each kind of cells, those of each lane."""
        return [lane for lane in self.lanes if isinstance(lane, Effects)]

    def by_lane(self, cells: Tensor, tiling: Tiling) -> Iterator[tuple[Effects, Tensor, Tiling]]:
        """The effects of each lane, its cells of all [arrays, rows, cols], and where these lie."""
        pairs = zip(self.each, torch.split(cells, self.counts), strict=True)
        for lane, (effects, own) in enumerate(pairs):
            yield effects, own, tiling.of_lane(lane)

    @property
    def lines(self) -> tuple[nn.Module, ...]:
        """Effects on the currents of bit lines, of any lane."""
        return tuple(form for lane in self.each for form in lane.lines)

    @property
    def product(self) -> Product | None:
        """What multiplies the voltages; None if all cells follow Ohm's law without wires."""
        return None if all(lane.product is None for lane in self.each) else LaneProducts()

    @property
    def clocks(self) -> set[Count]:
        """What the ageing effects count."""
        return reduce(set.union, (lane.clocks for lane in self.each), set())

    def feels(self, temperature: Tensor) -> bool:
        """Whether anything ages at another pace at this temperature [1] in K."""
        return any(lane.feels(temperature) for lane in self.each)

    def settled(self, conductance: Tensor, clock: Clock) -> Tensor:
        """Conductances as every read finds them: aged, with the steady effects of a read."""
        return self._of_all(lambda lane, g: lane.settled(g, clock), conductance)

    def aged(self, conductance: Tensor, clock: Clock) -> Tensor:
        """What the cells hold by now, whatever a read makes of it; stuck cells stay stuck."""
        return self._of_all(lambda lane, g: lane.aged(g, clock), conductance)

    def effective(self, conductance: Tensor) -> Tensor:
        """What multiplies the voltages, for settled conductances [arrays, rows, cols] S."""
        return self._of_all(lambda lane, g: lane.effective(g), conductance)

    def variance(self, conductance: Tensor) -> Tensor | None:
        """Of the Gaussian noise of each cell at a read, S^2; None without any."""
        if not any(lane.noises for lane in self.each):
            return None

        def of(lane: Effects, g: Tensor) -> Tensor:
            variance = lane.variance(g)
            return torch.zeros_like(g) if variance is None else variance

        return self._of_all(of, conductance)

    def currents(
        self,
        voltage: Tensor,
        conductance: Tensor,
        reads: Tensor,
        effective: Tensor | None = None,
        group: int = 0,
    ) -> Tensor:
        """Bit-line currents [reads, arrays, cols] A, as `Effects.currents` has them."""
        if effective is None:
            effective = self.effective(conductance)
        volts = torch.split(voltage, self.counts, dim=1)
        cells, matrices = (torch.split(each, self.counts) for each in (conductance, effective))
        rows = zip(self.each, volts, cells, matrices, strict=True)
        return torch.cat([lane.currents(v, g, reads, e, group) for lane, v, g, e in rows], dim=1)


class LaneProducts(Product):
    """What multiplies the voltages where it differs from lane to lane."""

    def circuit(self, g: Tensor) -> ArrayCircuit | None:
        del g
        raise ConfigError(
            "the lanes have cells of different kinds, whose circuits are not one; expected lanes "
            "without device and nonidealities of their own to solve for voltages"
        )
