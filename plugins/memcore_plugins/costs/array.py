"""What the cells themselves take: heat, time and ground; nothing of the periphery."""

from dataclasses import dataclass

from memcore import Activity, ArrayInfo, Cost, CostModel, parameter


@dataclass(frozen=True, kw_only=True)
class ArrayCost(CostModel):
    """Energy in the cells, time of the reads, area of the arrays.

        energy = read_time * sum of V^2 G over cells and reads + energy of the programming pulses
        time = read_time * reads / arrays + time of the programming pulses, cell after cell
        area = cell_area * cells

    V and G are those of the simulation, not a table's. All arrays of a matrix are read at once.
    Converters, drivers, digital logic and leakage are not modelled.
    """

    leaves_out = ("converters", "drivers", "digital logic", "leakage")

    read_time: float = parameter(
        1e-7,
        "s",
        "duration of one read; 100 ns is the cycle of ISAAC (Shafiee et al., ISCA 2016)",
    )
    cell_area: float = parameter(
        4.096e-15, "m^2", "area of one cell; 4 F^2 with F = 32 nm, the smallest of a crosspoint"
    )

    def estimate(self, activity: Activity, array: ArrayInfo) -> Cost:
        cells = array.arrays * array.rows * array.cols
        return Cost(
            energy=self.read_time * activity.dissipation + activity.programming_energy,
            time=self.read_time * activity.reads / array.arrays + activity.programming_time,
            area=self.cell_area * cells,
        )
