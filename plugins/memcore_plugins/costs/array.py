"""What the cells themselves take: heat, time and ground; nothing of the periphery."""

from dataclasses import dataclass

from memcore import Activity, ArrayInfo, Cost, CostModel
from memcore_plugins.costs._lanes import of_lanes
from memcore_plugins.costs._units import seconds, square_metres


@dataclass(frozen=True, kw_only=True)
class ArrayCost(CostModel):
    """Energy in the cells, time of the reads, area of the arrays.

        energy = read_time * sum of V^2 G over cells and reads + energy of the programming pulses
        time = read_time * reads / arrays + time of the programming pulses, cell after cell
        area = cell_area * cells

    V and G are those of the simulation, not a table's, and so are pulses: cells of a lane with a
    device of its own count as that device. All arrays of a matrix are read at once.
    Converters, drivers, digital logic and leakage are not modelled.
    """

    leaves_out = ("converters", "drivers", "digital logic", "leakage")

    read_time: float = seconds(
        1e-7, "duration of one read; 100 ns is the cycle of ISAAC (Shafiee et al., ISCA 2016)"
    )
    cell_area: float | tuple[float, ...] = square_metres(
        4.096e-15,
        "area of one cell, or of one of each lane where lanes have cells of their own; 4 F^2 with "
        "F = 32 nm, the smallest of a crosspoint",
    )

    def estimate(self, activity: Activity, array: ArrayInfo) -> Cost:
        areas = self.cell_area if isinstance(self.cell_area, tuple) else (self.cell_area,)
        cells = array.rows * array.cols
        return Cost(
            energy=self.read_time * activity.dissipation + activity.programming_energy,
            time=self.read_time * activity.reads / array.arrays + activity.programming_time,
            area=sum(area * (n * cells) for area, n in of_lanes("cell_area", areas, array)),
        )
