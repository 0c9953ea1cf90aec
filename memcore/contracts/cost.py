"""`CostModel`: the contract of an estimate of energy, time and area, and what it is told."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any, ClassVar, Literal, Self

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.schedule import Span, Timeline


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What the arrays of one matrix did: integers, and three sums over the simulated cells.

    Args:
        vectors: input vectors that were multiplied.
        phases: steps in which inputs are applied, all vectors together.
        reads: activations of one array by one group of word lines.
        drives: word lines driven, each in one read.
        dac_conversions: results of DACs by their bits; 0 bits where the DAC does not say.
        adc_conversions: results of ADCs by lane and bits.
        shift_adds: digital additions of the results of phases, groups of word lines, tiles, lanes
            and, with an ADC for each column, of parts; of a training in place those to the digital
            memories of its rule.
        bits_in: bits moved into DACs.
        bits_out: bits moved out of ADCs.
        pulses: programming pulses of all cells.
        cells_written: cells written, each time they were.
        dissipation: V^2 G summed over all cells and reads, W: times the duration of a read, the
            energy in J that the cells turn into heat; resistance of wires is left out.
        programming_energy: energy of all programming pulses in J.
        programming_time: s, of all cells written one after another.
    """

    vectors: int = 0
    phases: int = 0
    reads: int = 0
    drives: int = 0
    dac_conversions: Mapping[int, int] = field(default_factory=dict)
    adc_conversions: Mapping[tuple[int, int], int] = field(default_factory=dict)
    shift_adds: int = 0
    bits_in: int = 0
    bits_out: int = 0
    pulses: int = 0
    cells_written: int = 0
    dissipation: float = 0.0
    programming_energy: float = 0.0
    programming_time: float = 0.0

    @property
    def conversions(self) -> int:
        """Results of all ADCs."""
        return sum(self.adc_conversions.values())

    def __add__(self, other: Self) -> Self:
        return type(self)(
            **{
                each.name: _sum(getattr(self, each.name), getattr(other, each.name))
                for each in dataclasses.fields(self)
            }
        )


def _sum(one: Any, other: Any) -> Any:
    if not isinstance(one, Mapping):
        return one + other
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Energy in J, time in s, area in m^2."""

    energy: float = 0.0
    time: float = 0.0
    area: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            energy=self.energy + other.energy,
            time=self.time + other.time,
            area=self.area + other.area,
        )


@dataclass(frozen=True, kw_only=True)
class Charge(Cost):
    """What one component of a layer costs, and where its figures come from.

    Args:
        source: key of the source in the bibliography, or what the figures follow from.
        lowest: energy in J with the lowest figure of all sources; None if there is one source.
        highest: energy in J with the highest figure of all sources.
    """

    source: str = ""
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True, kw_only=True)
class LayerWork:
    """What a network asks of one of its layers, whatever hardware does it.

    Args:
        name: qualified name of the layer in the network; with a number if it is called again.
        kind: `"matrix"` for a linear layer or a convolution, `"pool"`, or `"sum"` of the results
            of several layers, as behind a residual branch.
        rows: inputs of one weight matrix: channels of its group times positions of the kernel.
        cols: outputs of one weight matrix.
        groups: weight matrices side by side, as in a grouped convolution.
        positions: products with the matrix for one input of the network, or results of a pool or
            sum for each channel.
        channels: channels of the input, all groups; the features of a linear layer.
        size: dimensions of the space of the input, () for a linear layer.
        out_size: dimensions of the space of the output.
        kernel: dimensions of the kernel or window.
        stride: its step in each dimension.
        padding: zeros added before the first entry of each dimension.
        sources: indices of the layers whose results it takes; none stands for the network's input.
        inputs: inputs of the network that are run.
        repeated: whether the same arrays did the work of another entry before.
        activity: what its arrays did for all inputs, where they are simulated.
        array: its arrays, where they are simulated.
        writing: what writing its arrays took the last time, where they are simulated.
        writing_of_lanes: the same of each of `array.lanes`; () where all cells are of one kind.
        network: all layers of the network, where what they share decides; () for a layer alone.
    """

    name: str = ""
    kind: Literal["matrix", "pool", "sum"] = "matrix"
    rows: int = 0
    cols: int = 0
    groups: int = 1
    positions: int = 1
    channels: int = 0
    size: tuple[int, ...] = ()
    out_size: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()
    inputs: int = 1
    repeated: bool = False
    activity: Activity = field(default_factory=Activity)
    array: ArrayInfo | None = None
    writing: Activity = field(default_factory=Activity)
    writing_of_lanes: tuple[Activity, ...] = ()
    network: "tuple[LayerWork, ...]" = field(default=(), compare=False, repr=False)

    @classmethod
    def of_arrays(cls, activity: Activity, array: ArrayInfo, name: str = "") -> "LayerWork":
        """The work of arrays of which only the activity is known: one vector is one input."""
        return cls(
            name=name,
            rows=array.rows,
            cols=array.cols,
            channels=array.rows,
            inputs=activity.vectors,
            activity=activity,
            array=array,
        )

    @property
    def vectors(self) -> int:
        """Products with each matrix, or results for each channel, for all inputs."""
        return self.positions * self.inputs

    @property
    def macs(self) -> int:
        """Multiplications, each with an addition, of all inputs; a matrix has them."""
        return self.vectors * self.groups * self.rows * self.cols


class CostModel(Contract):
    """Energy, time and area of what a network asks of its layers.

    A model of arrays alone overrides `estimate`; one that tells components apart overrides `table`.
    """

    kind = "costs"
    #: Whether it needs the activity of simulated arrays, so that the network must be converted.
    needs_arrays: ClassVar[bool] = True
    #: What the model does not count, for the report.
    leaves_out: ClassVar[tuple[str, ...]] = ()

    @property
    def technology(self) -> float | None:
        """Node of the digital logic in m, to compare with; None if there is no single one."""
        return None

    @hookspec
    def estimate(self, activity: Activity, array: ArrayInfo) -> Cost:
        """The cost of `activity` on `array`; no activity costs no energy and no time.

        The sum of `table` unless it is overridden; one of the two must be.
        """
        if type(self).table is CostModel.table:
            raise NotImplementedError(f"{type(self).__name__} defines neither estimate nor table")
        charges = self.table(LayerWork.of_arrays(activity, array)).values()
        return reduce(add, charges, Cost())

    @hookspec
    def table(self, layer: LayerWork) -> Mapping[str, Cost]:
        """The cost of each component of a layer for all inputs, without any that others share.

        A `Charge` also says its source. Time is how long a component is busy. Empty for layers that
        cost nothing or are not modelled.
        """
        if layer.array is None:
            return {}
        return {"arrays": self.estimate(layer.activity, layer.array)}

    @hookspec
    def events(self, layer: LayerWork) -> Mapping[str, int]:
        """Numbers to show beside the costs of a layer: tiles or conversions, for instance."""
        done = layer.activity
        counts = {
            "reads": done.reads,
            "drives": done.drives,
            "conversions": done.conversions,
            "shift_adds": done.shift_adds,
            "pulses": done.pulses,
        }
        return {name: count for name, count in counts.items() if count}

    @hookspec
    def schedule(self, layers: Sequence[LayerWork]) -> Timeline:
        """When each layer begins and ends, as stages of the names of the layers.

        By default one layer works after another, each as long as its components together.
        """
        spans, now = [], 0.0
        for layer in layers:
            end = now + sum(cost.time for cost in self.table(layer).values())
            spans.append(Span(stage=layer.name, start=now, end=end))
            now = end
        return Timeline(tuple(spans))

    @hookspec
    def figures(self, layers: Sequence[LayerWork]) -> Mapping[str, float]:
        """Figures of the whole chip in SI units, to hold against published ones.

        Its power or its peak, for instance; by default there are none.

        Args:
            layers: the layers that it runs; () for what does not depend on them.
        """
        del layers
        return {}
