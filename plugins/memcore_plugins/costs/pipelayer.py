"""PipeLayer: spikes instead of converters, layers as stages of a pipeline, training included."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from memcore import (
    Charge,
    CostModel,
    LayerWork,
    MemcoreWarning,
    Task,
    Timeline,
    components,
    list_schedule,
    parameter,
)
from memcore_plugins.costs._units import joules, seconds

_ROWS = 128  #: word lines and bit lines of an array
_SOURCE = "pipelayer17"


@dataclass(frozen=True, kw_only=True)
class PipeLayer(CostModel):
    """The spikes and cycles of PipeLayer: no DAC, no ADC, 16 bits on four 4-bit arrays.

    Each layer works on another image at the same time; a cycle is as long as the slowest layer
    needs for an image. Song et al., HPCA 2017.
    """

    batch: int = parameter(64, "1", "images between two updates of the weights", above=0)
    replication: int = parameter(1, "1", "copies of the arrays of each layer", above=0)
    spikes: int = parameter(16, "1", "time slots of an input, one for each bit", above=0)
    slices: int = parameter(4, "1", "arrays that hold the bits of a weight", above=0)
    polarities: int = parameter(2, "1", "arrays for the two signs of a weight", above=0)
    read_energy: float = joules(1.08e-12, "energy of a spike of reading")
    write_energy: float = joules(3.91e-9, "energy of a spike of writing")
    read_time: float = seconds(29.31e-9, "time of a spike of reading")
    write_time: float = seconds(50.88e-9, "time of a spike of writing")
    training: bool = parameter(False, "1", "whether the images are trained on, not only classified")
    pipelined: bool = parameter(True, "1", "whether layers work on several images at a time")
    endurance: float | None = parameter(None, "1", "writes that a cell bears", above=0)

    needs_arrays = False
    leaves_out = (
        "integrate-and-fire circuits and counters",
        "drivers and buffers",
        "area of anything but cells",
        "pools and sums of branches",
    )

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {}
        copies = self.slices * self.polarities * layer.groups
        cells = layer.rows * layer.cols * copies * self.replication
        arrays = ceil(layer.rows / _ROWS) * ceil(layer.cols / _ROWS) * copies * self.replication
        writes = cells * self._batches(layer) if self.training else 0
        return {
            "arrays": arrays * (3 if self.training else 1),
            "cells": cells,
            "drives": self._drives(layer, layer.rows, layer.cols),
            "cycles": ceil(layer.positions / self.replication),
            "writes": writes,
        }

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        if layer.kind != "matrix":
            return {}
        done = self.events(layer)
        busy = layer.inputs * self._duration(layer)
        drives, cell = done["drives"], components["mnsim_rram"]
        charges = {
            "reads": Charge(energy=drives * self.read_energy, time=busy, source=_SOURCE),
        }
        if self.training:
            back = self._drives(layer, layer.cols, layer.rows)
            charges["backward"] = Charge(energy=back * self.read_energy, time=busy, source=_SOURCE)
            charges["gradient"] = Charge(
                energy=drives * self.read_energy, time=busy, source=_SOURCE
            )
            charges["writes"] = Charge(
                energy=done["writes"] * self.write_energy,
                time=self._batches(layer) * self.spikes * self.write_time,
                source=_SOURCE,
            )
        area = done["arrays"] * _ROWS * _ROWS * cell.need("area")
        charges["cells"] = Charge(area=area, source=cell.source)
        return charges

    def schedule(self, layers: Sequence[LayerWork]) -> Timeline:
        matrices = [layer for layer in layers if layer.kind == "matrix"]
        if not matrices or not matrices[0].inputs:
            return Timeline()
        cycle = max(map(self._duration, matrices))
        if self.training:
            self._warn_of_wear(self._batches(matrices[0]))
        tasks = self.tasks([layer.name for layer in matrices], matrices[0].inputs, cycle)
        return list_schedule(tasks, {task.resource: 1 for task in tasks})

    def figures(self, layers: Sequence[LayerWork]) -> Mapping[str, float]:
        matrices = [layer for layer in layers if layer.kind == "matrix"]
        cycle = max(map(self._duration, matrices), default=0.0)
        return {"cycles": round(self.schedule(layers).end / cycle)} if cycle else {}

    def tasks(self, names: Sequence[str], images: int, cycle: float = 1.0) -> list[Task]:
        """What the stages do with each image, in order, and the updates between batches."""
        stages = list(names)
        if self.training:
            stages += ["error", *(f"{name}, backward" for name in reversed(names))]
        tasks: list[Task] = []
        update: tuple[int, ...] = ()
        for image in range(images):
            before = update
            for stage in stages:
                where = stage if self.pipelined else "chip"
                tasks.append(
                    Task(stage=stage, item=image, duration=cycle, resource=where, after=before)
                )
                before = (len(tasks) - 1,)
            if self.training and ((image + 1) % self.batch == 0 or image + 1 == images):
                tasks.append(Task(stage="update", item=image, duration=cycle, after=before))
                update = (len(tasks) - 1,)
        return tasks

    def _batches(self, layer: LayerWork) -> int:
        return ceil(layer.inputs / self.batch)

    def _duration(self, layer: LayerWork) -> float:
        """How long a layer needs for an image."""
        return ceil(layer.positions / self.replication) * self.spikes * self.read_time

    def _drives(self, layer: LayerWork, rows: int, cols: int) -> int:
        """Spikes at most on the used word lines, of all images."""
        copies = self.slices * self.polarities * layer.groups
        return layer.vectors * rows * self.spikes * ceil(cols / _ROWS) * copies

    def _warn_of_wear(self, batches: int) -> None:
        if self.endurance is not None and self.endurance / batches < 1:
            warnings.warn(
                f"{batches} batches write each cell as often, and it bears {self.endurance:g} "
                "writes; expected fewer batches, larger ones, or cells that last longer",
                MemcoreWarning,
                stacklevel=2,
            )
