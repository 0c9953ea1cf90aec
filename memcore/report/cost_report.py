"""`CostReport`: energy, time and area by layer and component, with their sources."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

from memcore._text import aligned
from memcore._text import scaled as shown
from memcore.contracts.cost import Activity, Charge, Cost, LayerWork
from memcore.contracts.schedule import Timeline
from memcore.errors import ConfigError
from memcore.report.accelforge import architecture
from memcore.tables.component import Component
from memcore.tables.library import components
from memcore.tables.scaling import scaled

_DIGITAL = "horowitz_mac_8b"  #: a digital multiplication with addition, to compare with


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    Args:
        work: what the network asks of the layer.
        events: numbers that the cost model counted.
        charges: the cost of each component; times are their parts of the time of the whole.
    """

    work: LayerWork
    events: Mapping[str, int]
    charges: Mapping[str, Charge]

    @property
    def name(self) -> str:
        """Qualified name of the layer."""
        return self.work.name

    @property
    def activity(self) -> Activity:
        """What its arrays did, where they are simulated."""
        return self.work.activity

    @property
    def cost(self) -> Cost:
        """The sum of its components."""
        return reduce(add, self.charges.values(), Cost())


@dataclass(frozen=True)
class CostReport:
    """What `memcore.cost` found; `str()` is a table, `to_json()` plain values.

    The time of a layer is what it adds to the time of the whole: where layers work at the same
    time, that is less than it is busy. Times of components share it in proportion to how long they
    are busy. So everything adds up.

    Args:
        model: name of the cost model.
        layers: the layers that cost something.
        leaves_out: what the model does not count.
        timeline: when each layer works, for `memcore.plot.timeline`.
        technology: node of the digital logic in m, to compare with; None if there is no single one.
    """

    model: str
    layers: tuple[LayerCost, ...]
    leaves_out: tuple[str, ...] = ()
    timeline: Timeline = field(default_factory=Timeline, repr=False)
    technology: float | None = None

    @property
    def total(self) -> Cost:
        """The sum over all layers."""
        return reduce(add, (layer.cost for layer in self.layers), Cost())

    @property
    def components(self) -> dict[str, Charge]:
        """The sum over all layers of each component, in the order of the first layer."""
        sums: dict[str, Charge] = {}
        for layer in self.layers:
            for name, charge in layer.charges.items():
                sums[name] = _joined(sums[name], charge) if name in sums else charge
        return sums

    @property
    def energy_range(self) -> tuple[float, float]:
        """Energy in J with the lowest and with the highest figures of all sources."""
        charges = [charge for layer in self.layers for charge in layer.charges.values()]
        return sum(map(_lowest, charges)), sum(map(_highest, charges))

    @property
    def digital_energy(self) -> float:
        """Energy in J of the same products by digital 8-bit multiplications with additions.

        At the node of the model, if it has one that a scaling rule knows; else at 45 nm.
        """
        macs = sum(layer.work.macs for layer in self.layers if layer.work.kind == "matrix")
        return macs * self._digital.need("energy")

    @property
    def _digital(self) -> Component:
        unit = components[_DIGITAL]
        try:
            return unit if self.technology is None else scaled(unit, self.technology)
        except ConfigError:
            return unit

    @property
    def writing(self) -> Activity:
        """What writing all simulated cells took the last time, as their programmers reported it.

        Pulses, `programming_energy` and `programming_time`; no part of the total, which is a run.
        """
        return reduce(add, (layer.work.writing for layer in self.layers), Activity())

    def to_json(self) -> dict[str, Any]:
        """Plain values, in J, s and m^2."""
        low, high = self.energy_range
        written = self.writing
        return {
            "model": self.model,
            "total": {**_plain(self.total), "energy_low": low, "energy_high": high},
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.work.kind,
                    "events": dict(layer.events),
                    **_plain(layer.cost),
                    "components": {
                        name: {
                            **_plain(charge),
                            "energy_low": _lowest(charge),
                            "energy_high": _highest(charge),
                            "source": charge.source,
                        }
                        for name, charge in layer.charges.items()
                    },
                }
                for layer in self.layers
            ],
            "writing": {
                "energy": written.programming_energy,
                "time": written.programming_time,
                "pulses": written.pulses,
                "cells": written.cells_written,
            },
            "not_modelled": list(self.leaves_out),
            "digital": {
                "energy": self.digital_energy,
                "technology": self._digital.technology,
                "source": self._digital.source,
            },
        }

    def to_accelforge(self) -> str:
        """The arrays as an architecture in YAML, `arch` of a specification that AccelForge reads.

        Memories, converters, adders and cells with energy and latency of one action, area and
        source, in SI units. All arrays are as large as the largest one there, and an action costs
        the mean over all layers.

        Raises:
            ConfigError: the report is that of a system, whose arrays are not simulated.
        """
        works = [layer.work for layer in self.layers]
        return architecture(self.model, works, self.components, self.writing)

    def by_component(self) -> list[str]:
        """Lines of a table of the components, with their sources."""
        parts = [(n, *_shown(c), _range(c), c.source) for n, c in self.components.items()]
        return aligned([("component", *_HEAD, "energy by source", "source"), *parts])

    def __str__(self) -> str:
        rows = [(layer.name or "(the model)", *_shown(layer.cost)) for layer in self.layers]
        return "\n".join(
            [
                f"cost model {self.model!r}",
                *aligned([("layer", *_HEAD), *rows, ("total", *_shown(self.total))]),
                "",
                *self.by_component(),
                "",
                *self._remarks(),
            ]
        )

    def _remarks(self) -> Iterator[str]:
        low, high = self.energy_range
        if low < high:
            yield f"energy by the sources: {shown(low, 'J')} to {shown(high, 'J')}"
        written = self.writing
        if written.programming_energy or written.programming_time:
            energy, time = written.programming_energy, written.programming_time
            yield (
                f"writing all cells, beside the total: {shown(energy, 'J')} and "
                f"{shown(time, 's')} one after another, {written.pulses} pulses"
            )
        if self.digital_energy:
            mac = self._digital
            yield (
                f"the same products in digital 8-bit logic at {mac.need('technology') * 1e9:g} nm "
                f"({mac.source}): {shown(self.digital_energy, 'J')}"
            )
        yield f"not modelled: {'; '.join(self.leaves_out) or 'nothing is said'}"


_HEAD = ("energy", "time", "area")


def _shown(cost: Cost) -> tuple[str, str, str]:
    return shown(cost.energy, "J"), shown(cost.time, "s"), shown(cost.area, "m^2")


def _range(charge: Charge) -> str:
    if charge.lowest is None and charge.highest is None:
        return ""
    return f"{shown(_lowest(charge), 'J')} to {shown(_highest(charge), 'J')}"


def _plain(cost: Cost) -> dict[str, float]:
    return {"energy": cost.energy, "time": cost.time, "area": cost.area}


def _lowest(charge: Charge) -> float:
    return charge.energy if charge.lowest is None else charge.lowest


def _highest(charge: Charge) -> float:
    return charge.energy if charge.highest is None else charge.highest


def _joined(one: Charge, other: Charge) -> Charge:
    several = None not in (one.lowest, other.lowest)
    sources = dict.fromkeys(each for each in (one.source, other.source) if each)
    return Charge(
        energy=one.energy + other.energy,
        time=one.time + other.time,
        area=one.area + other.area,
        source=", ".join(sources),
        lowest=_lowest(one) + _lowest(other) if several else None,
        highest=_highest(one) + _highest(other) if several else None,
    )
