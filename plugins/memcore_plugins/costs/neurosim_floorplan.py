"""The floorplan of NeuroSim's inference chips, its events priced by the tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Literal

from memcore import Charge, Component, ConfigError, CostModel, LayerWork, components, parameter
from memcore_plugins.costs._floorplan import Plan
from memcore_plugins.costs._floorplan_blocks import Placed, block_of
from memcore_plugins.costs._node import at_node
from memcore_plugins.costs._units import seconds

#: Cell areas in units of the squared node; cells of SRAM are larger below 22 nm.
_CELLS = {"sram": 280.0, "1t1r": 48.0}
_SMALLEST_SRAM = 22e-9  #: m


@dataclass(frozen=True, kw_only=True)
class NeurosimFloorplan(CostModel):
    """Tiles, copies and sub-arrays as NeuroSim's floorplan lays them out.

    Only the floorplan is NeuroSim's: conversions, additions and buffers are priced by the tables,
    carried over to the node, since its circuits are models of transistors. Peng et al., IEDM 2019.
    """

    sub_array: int = parameter(128, "1", "word lines and bit lines of a sub-array", above=0)
    cell: Literal["sram", "1t1r"] = parameter("sram", "1", "kind of the cells")
    node: float = parameter(22e-9, "m", "technology node", above=0)
    scaling: Literal["none", "stillmaker_baas"] = parameter(
        "stillmaker_baas", "1", "rule that carries components of other nodes over to `node`"
    )
    cell_bits: int = parameter(1, "bits", "bits of a cell", within=(1, 8))
    weight_bits: int = parameter(8, "bits", "bits of a weight", above=0)
    input_bits: int = parameter(8, "bits", "bits of an input, applied one by one", above=0)
    rows_at_once: int = parameter(128, "1", "word lines of a sub-array read at once", above=0)
    novel_mapping: bool = parameter(True, "1", "whether kernel positions have PEs of their own")
    pipelined: bool = parameter(True, "1", "whether layers are copied to keep up with the first")
    speed_up: int = parameter(8, "1", "largest speed-up by copies", above=0)
    columns_per_adc: int = parameter(8, "1", "bit lines that share an ADC", above=0)
    adc: str | Component = parameter("isaac_adc_5b", "1", "ADC of the tables, by its name")
    shift_add: str | Component = parameter("isaac_shift_add", "1", "adder of the tables")
    buffer: str | Component = parameter("isaac_edram", "1", "buffer of the tables")
    conversion_time: float = seconds(1e-9, "time of a conversion, 1 GS/s")

    needs_arrays = False
    leaves_out = (
        "energy of the cells and drivers",
        "interconnect",
        "leakage",
        "overlap of layers of one image",
        "pools and sums of branches",
        "programming",
    )

    @property
    def technology(self) -> float:
        return self.node

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {}
        placed = self.place(layer)
        steps = layer.vectors * self.input_bits * ceil(self.sub_array / self.rows_at_once)
        conversions = steps * placed.row_arrays * layer.cols * self._slices * layer.groups
        return {
            "tiles": placed.tiles,
            "sub_arrays": placed.sub_arrays,
            "speed_up": placed.speed_up,
            "conversions": conversions,
            "operations": self.operations(layer),
        }

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        if layer.kind != "matrix":
            return {}
        done = self.events(layer)
        adc, adder, buffer = map(self._find, (self.adc, self.shift_add, self.buffer))
        converters = done["sub_arrays"] * ceil(self.sub_array / self.columns_per_adc)
        steps = layer.vectors / done["speed_up"] * self.input_bits * self.columns_per_adc
        time = steps * ceil(self.sub_array / self.rows_at_once) * self.conversion_time
        bits = layer.vectors * layer.groups * (layer.rows + layer.cols) * self.input_bits
        return {
            "cells": Charge(area=done["sub_arrays"] * self._array_area, source="cell areas in F^2"),
            "adc": Charge(
                energy=done["conversions"] * adc.need("energy_of_use"),
                time=time,
                area=converters * adc.need("area"),
                source=adc.source,
            ),
            "shift_add": Charge(
                energy=done["conversions"] * adder.need("energy_of_use"),
                area=converters * adder.need("area"),
                source=adder.source,
            ),
            "buffers": Charge(
                energy=bits * buffer.need("energy_of_use") / buffer.need("bits"),
                area=done["tiles"] * buffer.need("area"),
                source=buffer.source,
            ),
        }

    def place(self, layer: LayerWork) -> Placed:
        """Tiles, sub-arrays, speed-up and utilisation of a layer of its network."""
        layers = [each for each in layer.network if each.kind == "matrix"] or [layer]
        blocks = tuple(block_of(each, self._slices) for each in layers)
        speed_up = self.speed_up if self.pipelined else None
        plan = Plan(self.sub_array, blocks, self.novel_mapping, speed_up)
        return plan.place(block_of(layer, self._slices))

    @staticmethod
    def operations(layer: LayerWork) -> int:
        """Multiplications and additions, for each entry of the input image as NeuroSim counts."""
        return 2 * prod(layer.size) * layer.rows * layer.cols * layer.groups * layer.inputs

    @staticmethod
    def efficiency(operations: float, dynamic: float, leakage: float, latency: float) -> float:
        """Operations each joule, after layout.

        Args:
            operations: number of operations.
            dynamic: dynamic energy in J.
            leakage: leakage power in W.
            latency: time in s.
        """
        return operations / (1.22 * (dynamic + leakage * latency))

    @property
    def _slices(self) -> int:
        return ceil(self.weight_bits / self.cell_bits)

    @property
    def _array_area(self) -> float:
        if self.cell == "sram" and self.node < _SMALLEST_SRAM * (1 - 1e-9):
            raise ConfigError(
                f"node={self.node!r} with cell='sram', whose area of 280 F^2 is known for 22 nm "
                "and above; expected a larger node, or cell='1t1r'"
            )
        return self.sub_array**2 * _CELLS[self.cell] * self.node**2

    def _find(self, which: str | Component) -> Component:
        return at_node(components.find(which), self.node, self.scaling)
