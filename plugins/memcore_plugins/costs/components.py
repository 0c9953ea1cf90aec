"""What arrays did, times published figures of components: the default cost model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from memcore import ArrayInfo, Charge, Component, CostModel, LayerWork, components, parameter
from memcore_plugins.costs._adc import closed_form, conversion_energies, named, survey_name
from memcore_plugins.costs._lanes import cells_area, of_lanes
from memcore_plugins.costs._node import at_node
from memcore_plugins.costs._reload import reload, room
from memcore_plugins.costs._units import seconds, square_metres


@dataclass(frozen=True, kw_only=True)
class ComponentsCost(CostModel):
    r"""Counts of what arrays did times figures of components.

    The energy in the cells is not looked up: it is $V^2 G t$ of the simulated cells and reads, each
    lane with a device of its own as that device.
    Conversions of an ADC are priced by the table, by a fit to a survey or by a closed form at
    28 nm, $E = (100\,\mathrm{fJ}\, b + 1\,\mathrm{aJ}\, 4^b) (V / 1\,\mathrm{V})^2$; the lowest and
    the highest figure of all of them are shown beside the one that counts. An array is read, then
    its columns are converted; arrays of a layer work at the same time, layers one after another.
    Arrays beyond `chip_arrays` pass through the last one, one by one, written in every run.
    """

    adc: str | Component = parameter("isaac_adc_{bits}b", "1", "ADC of the tables, of any bits")
    adc_from: Literal["table", "survey", "closed_form"] = parameter(
        "table", "1", "where the energy of a conversion comes from"
    )
    dac: str | Component = parameter("mnsim_dac_{bits}b", "1", "DAC of the tables, of any bits")
    shift_add: str | Component = parameter("isaac_shift_add", "1", "adder of the tables")
    buffer: str | Component = parameter("isaac_edram", "1", "buffer of the tables, one a layer")
    node: float | None = parameter(None, "m", "node that all components must be of", above=0)
    scaling: Literal["none", "stillmaker_baas"] = parameter(
        "none", "1", "rule that carries components of other nodes over to `node`"
    )
    survey_node: float = parameter(32e-9, "m", "node of the survey: 65, 45, 32 or 22 nm", above=0)
    read_time: float = seconds(1e-7, "time of a read, that of ISAAC")
    conversion_rate: float = parameter(1.28e9, "1/s", "conversions of an ADC, ISAAC's", above=0)
    adcs: int = parameter(1, "1", "ADCs of an array", above=0)
    chip_arrays: int | None = parameter(
        None, "1", "arrays of the chip; None for as many as the network takes", above=0
    )
    cell_write: str | Component | tuple[str | Component, ...] = parameter(
        "pipelayer_write_spike",
        "1",
        "writing of a cell whose programmer reports no energy, or of one of each lane",
    )
    cell_area: float | tuple[float, ...] = square_metres(
        4.096e-15, "area of a cell, 4 F^2 at 32 nm, or of one of each lane with cells of its own"
    )

    leaves_out = ("links between tiles", "leakage", "refresh", "digital layers", "drivers of lines")

    @property
    def technology(self) -> float | None:
        return self.node or self._find(self.shift_add).technology

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        writings = 0 if layer.array is None else room(layer, self.chip_arrays)[1]
        return {**super().events(layer), **({"reloads": writings} if writings else {})}

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        array, done = layer.array, layer.activity
        if array is None:
            return {}
        arrays, writings = room(layer, self.chip_arrays)
        adder, buffer = self._find(self.shift_add), self._find(self.buffer)
        word = buffer.need("energy_of_use") / buffer.need("bits")
        charges = {
            "cells": Charge(
                energy=self.read_time * done.dissipation,
                time=self.read_time * done.reads / array.arrays * max(1, writings),
                area=cells_area(self.cell_area, array, arrays),
                source="simulated cells",
            ),
            "adc": self._conversions(layer, arrays, max(1, writings)),
            "dac": self._inputs(layer, arrays * array.rows, array.dac_bits),
            "shift_add": Charge(
                energy=done.shift_adds * adder.need("energy_of_use"),
                area=self.adcs * arrays * adder.need("area"),
                source=adder.source,
            ),
            "buffer": Charge(
                energy=word * (done.bits_in + done.bits_out),
                area=buffer.need("area"),
                source=buffer.source,
            ),
            "programming": Charge(
                energy=done.programming_energy,
                time=done.programming_time,
                source="simulated pulses",
            ),
        }
        if writings and done.vectors:
            charges["reload"] = reload(layer, writings, list(self._writes(array)))
        return charges

    def _writes(self, array: ArrayInfo) -> Iterator[Component]:
        """What writes a cell of each kind."""
        writes = self.cell_write if isinstance(self.cell_write, tuple) else (self.cell_write,)
        yield from (self._find(each) for each, _ in of_lanes("cell_write", writes, array))

    def _conversions(self, layer: LayerWork, arrays: int, passes: int) -> Charge:
        energies = conversion_energies(layer.activity, self._adc, self.adc_from)
        assert layer.array is not None
        array, all_of_them = layer.array, self.adcs * layer.array.arrays
        each_array = sum(
            count / array.arrays * self._adc(bits)[0].need("area")
            for bits, count in array.adc_arrays.items()
        )
        time = passes * layer.activity.conversions / all_of_them / self.conversion_rate
        return replace(energies, time=time, area=self.adcs * arrays * each_array)

    def _inputs(self, layer: LayerWork, lines: int, bits: int | None) -> Charge:
        energy, source = 0.0, ""
        for each, count in layer.activity.dac_conversions.items():
            component = self._of_bits(self.dac, each)
            energy, source = energy + count * component.need("energy_of_use"), component.source
        area = 0.0 if bits is None else lines * self._of_bits(self.dac, bits).need("area")
        return Charge(energy=energy, area=area, source=source)

    def _adc(self, bits: int) -> tuple[Component, float]:
        """The ADC of the table, and the energy of a conversion in J as it is to be counted."""
        component = self._of_bits(self.adc, bits)
        if self.adc_from == "survey":
            survey = survey_name(bits, self.survey_node, self.conversion_rate)
            return component, self._find(survey).need("energy")
        if self.adc_from == "closed_form":
            return component, closed_form(bits)
        return component, component.need("energy_of_use")

    def _of_bits(self, which: str | Component, bits: int) -> Component:
        return self._find(named(which, bits))

    def _find(self, which: str | Component) -> Component:
        return at_node(components.find(which), self.node, self.scaling)
