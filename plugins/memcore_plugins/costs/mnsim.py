"""The machine of MNSIM 2.0: tiles of PEs with bit-sliced arrays, pipelined inside the network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2, prod

import numpy as np
from numpy.typing import NDArray

from memcore import (
    Charge,
    Component,
    ConfigError,
    CostModel,
    LayerWork,
    Span,
    Timeline,
    components,
    parameter,
)
from memcore_plugins.costs import _mnsim, _mnsim_parts
from memcore_plugins.costs._mnsim import Mapped
from memcore_plugins.costs._mnsim_tile import Tile

_SOURCE = "mnsim"


@dataclass(frozen=True, kw_only=True)
class Mnsim(CostModel):
    r"""The machine of MNSIM 2.0.

    Weights are stored in slices, one array pair each; inputs come bit by bit; energy is fixed power
    times busy time, $E = P \sum_\mathrm{positions} t$. Xia et al., IEEE TCAD 37(5), 2018; Zhu et
    al., IEEE TCAD 42(11), 2023.
    """

    adc: str | Component = parameter("mnsim_6", "1", "ADC of the tables, by its name")
    dac: str | Component = parameter("mnsim_dac_1b", "1", "DAC of the tables, by its name")
    array: tuple[int, int] = parameter((256, 256), "1", "word and bit lines of an array", above=0)
    sub_array_rows: int = parameter(256, "1", "word lines read at once at most", above=0)
    dacs: int = parameter(128, "1", "DACs of a sub-array", above=0)
    adcs: int = parameter(128, "1", "ADCs of a sub-array", above=0)
    pes_per_tile: int = parameter(4, "1", "PEs of a tile", above=0)
    weight_bits: int = parameter(9, "bits", "bits of a weight with its sign", above=1)
    activation_bits: int = parameter(9, "bits", "bits of an input", above=0)
    cell_bits: int = parameter(1, "bits", "bits of a cell; MNSIM itself prices one", above=0)
    grid: int = parameter(64, "1", "tiles of the chip along each side", above=0)
    frequency: float = parameter(5e8, "Hz", "clock of the digital logic", above=0)
    pipelined: bool = parameter(True, "1", "whether a layer begins when its first inputs are there")

    needs_arrays = False
    leaves_out = (
        "energy and area of links and of sums of branches",
        "leakage of what rests",
        "programming",
        "digital layers but pools",
    )

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {"tiles": self._tiles(layer)}
        mapped = self._mapped(layer)
        return {"pes": mapped.pes, "tiles": mapped.tiles, "positions": layer.positions}

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        tile = Tile.of(self)
        count = self._tiles(layer)
        if not count:
            return {}
        energy, busy = tile.energies(layer, self._mapped(layer) if layer.kind == "matrix" else None)
        areas = _mnsim_parts.areas(tile)
        return {
            name: Charge(
                energy=layer.inputs * count * energy.get(name, 0.0) * 1e-9,
                time=layer.inputs * busy.get(name, 0.0) * 1e-9,
                area=count * areas.get(name, 0.0),
                source=_SOURCE if name != "adc" else tile.adc.source,
            )
            for name in dict.fromkeys((*energy, *areas))
        }

    def schedule(self, layers: Sequence[LayerWork]) -> Timeline:
        tile = Tile.of(self)
        tiles = [self._tiles(layer) for layer in layers]
        matrices = [(each, self._mapped(each)) for each in layers if each.kind == "matrix"]
        _mnsim_parts.warn_of_larger_buffers(matrices, self.activation_bits)
        ends: list[NDArray[np.float64]] = []
        spans = []
        for layer, travel in zip(layers, _mnsim.distances(layers, tiles, self.grid), strict=True):
            mapped = self._mapped(layer) if layer.kind == "matrix" else None
            lasting = tile.lasting(layer, mapped, travel)
            end = _mnsim.ends(self._ready(layer, ends), lasting)
            ends.append(end)
            scale = layer.inputs * 1e-9
            start = (end[0] - lasting[0]) * scale
            spans.append(Span(stage=layer.name, start=start, end=end[-1] * scale))
        return Timeline(tuple(spans))

    def _ready(self, layer: LayerWork, ends: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """When the inputs of each position are there."""
        ready = np.zeros(layer.positions)
        for source in layer.sources:
            before = ends[source]
            if not self.pipelined or not layer.size:
                ready = np.maximum(ready, before[-1])
            elif layer.kind == "sum":
                ready = np.maximum(ready, before)
            else:
                ready = np.maximum(ready, before[_mnsim.needed(layer)])
        return ready

    def _tiles(self, layer: LayerWork) -> int:
        if layer.kind == "matrix":
            return self._mapped(layer).tiles
        return 1 if layer.kind == "pool" else 0

    def _mapped(self, layer: LayerWork) -> Mapped:
        rows, cols = self.array
        window = prod(layer.kernel)
        channels = layer.rows // window
        if window > rows:
            raise ConfigError(
                f"layer {layer.name!r} has a kernel of {window} positions, an array {rows} word "
                "lines; expected larger arrays"
            )
        slices = ceil((self.weight_bits - 1) / self.cell_bits) * layer.groups
        pes = slices * ceil(layer.cols / cols) * ceil(channels / (rows // window))
        held = min(rows // window, channels)
        return Mapped(
            pes=pes,
            tiles=ceil(pes / self.pes_per_tile),
            most=min(pes, self.pes_per_tile),
            row=held * window,
            col=min(layer.cols, cols),
            channels=held,
        )

    @property
    def joins(self) -> int:
        """Levels of the tree that joins the PEs of a tile."""
        return ceil(log2(self.pes_per_tile))

    @property
    def converters(self) -> tuple[Component, Component]:
        """ADC and DAC."""
        return components.find(self.adc), components.find(self.dac)
