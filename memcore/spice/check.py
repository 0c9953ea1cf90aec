"""The comparison of memcore's solution of a circuit with that of ngspice."""

from dataclasses import dataclass

from torch import Tensor

from memcore.circuit import CellLaw, Drive, SeriesElement, Solution
from memcore.contracts.wires import Wires
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.spice.circuit import Circuit
from memcore.spice.ngspice import Result, run, version
from memcore.spice.writer import write


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The difference of two solutions in one quantity.

    Attributes:
        name: name of the quantity.
        unit: unit of the quantity, V or A.
        count: number of values compared.
        largest: largest difference, in the unit.
        scale: magnitude to which the difference is relative: the largest node voltage, the largest
            cell current, or the largest current of a line.
    """

    name: str
    unit: str
    count: int
    largest: float
    scale: float

    @property
    def relative(self) -> float:
        """The largest difference relative to the scale."""
        return self.largest / self.scale if self.scale else self.largest

    def __str__(self) -> str:
        numbers = f"{self.largest:9.2e} of {self.scale:9.2e} {self.unit}"
        return f"{self.name:20}{self.count:8}   {numbers}   {self.relative:9.2e}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The comparison of memcore with ngspice; `print` shows it.

    Attributes:
        solution: solution of memcore.
        result: result of ngspice.
        differences: differences of each quantity.
        tolerance: largest relative difference that counts as agreement.
        version: version of ngspice.
    """

    solution: Solution
    result: Result
    differences: tuple[Difference, ...]
    tolerance: float
    version: str

    @property
    def ok(self) -> bool:
        """Whether all differences are within the tolerance."""
        return all(each.relative <= self.tolerance for each in self.differences)

    def __str__(self) -> str:
        rows, cols = self.solution.cell_current.shape
        head = f"memcore and {self.version}, {rows} word lines, {cols} bit lines"
        title = f"{'':20}{'values':>8}   {'largest difference':24}   {'relative':>9}"
        verdict = "agree" if self.ok else "DO NOT AGREE"
        end = f"{verdict} within {self.tolerance:.0e}"
        return "\n".join([head, title, *map(str, self.differences), end])


def check(
    cells: Crossbar | Tensor,
    v: Tensor | Drive,
    *,
    wires: Wires | None = None,
    law: CellLaw | None = None,
    series: SeriesElement | None = None,
    array: int = 0,
    tolerance: float = 1e-8,
    timeout: float | None = None,
) -> Comparison:
    """Solve a circuit with memcore and with ngspice, and compare node by node.

    Args:
        cells: conductances or a crossbar, as for `netlist`.
        v: voltages or a drive, as for `netlist`.
        wires: resistances of the wires, as for `netlist`.
        law: current-voltage law of the memristors, as for `netlist`.
        series: element in series with each memristor, as for `netlist`.
        array: index of one of several arrays, as for `netlist`.
        tolerance: largest difference that counts as agreement, relative to the largest voltage or
            current.
        timeout: time in s after which ngspice is stopped; None for no limit.

    Raises:
        ConfigError: as for `netlist`.
        SpiceError: ngspice is not installed, takes too long, or found no operating point.
        ConvergenceError: memcore found no solution.
    """
    if not tolerance > 0:
        raise ConfigError(f"tolerance={tolerance!r}; expected a number above 0")
    circuit = Circuit.of(cells, v, wires=wires, law=law, series=series, array=array)
    result = run(write(circuit), timeout=timeout)
    solution = circuit.solve()
    return Comparison(
        solution=solution,
        result=result,
        differences=compare(solution, result),
        tolerance=tolerance,
        version=version(),
    )


def compare(solution: Solution, result: Result) -> tuple[Difference, ...]:
    """The differences of all voltages and currents."""
    volts = max(_largest(solution.word_line), _largest(solution.bit_line))
    amperes = max(_largest(solution.current), _largest(solution.driver_current))
    scales = {
        "word-line voltages": ("word_line", "V", volts),
        "bit-line voltages": ("bit_line", "V", volts),
        "memristor voltages": ("device_voltage", "V", volts),
        "cell currents": ("cell_current", "A", _largest(solution.cell_current)),
        "bit-line currents": ("current", "A", amperes),
        "driver currents": ("driver_current", "A", amperes),
    }
    differences = []
    for name, (field, unit, scale) in scales.items():
        mine, theirs = getattr(solution, field), getattr(result, field)
        largest = _largest(mine - theirs)
        differences.append(
            Difference(name=name, unit=unit, count=mine.numel(), largest=largest, scale=scale)
        )
    return tuple(differences)


def _largest(x: Tensor) -> float:
    return float(x.abs().max())
