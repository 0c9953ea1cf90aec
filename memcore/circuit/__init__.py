"""The circuit of a crossbar: all node voltages and cell currents, at rest.

`solve` takes conductances, wires and a drive, and cells that are ohmic or not, alone or in series
with a transistor or a selector. Everything is in SI units.
"""

from memcore._keywords import hint_all
from memcore.circuit.array import ArrayCircuit
from memcore.circuit.currents import cell_currents
from memcore.circuit.drive import Drive, Scheme, scheme_named
from memcore.circuit.laws import CellLaw, OfDevice, Ohmic, Polynomial, Sinh
from memcore.circuit.ramp import Ramped, ramp
from memcore.circuit.series import (
    Between,
    GatedElement,
    Selector,
    SeriesElement,
    ThresholdSelector,
    Transistor,
)
from memcore.circuit.single_cell import path_resistance, path_resistances, single_cell_voltage
from memcore.circuit.solution import Solution
from memcore.circuit.solver import solve
from memcore.errors import ConvergenceError

#: The name of before; it goes away after the next minor release.
alone = single_cell_voltage

__all__ = [
    "ArrayCircuit",
    "Between",
    "CellLaw",
    "ConvergenceError",
    "Drive",
    "GatedElement",
    "OfDevice",
    "Ohmic",
    "Polynomial",
    "Ramped",
    "Scheme",
    "Selector",
    "SeriesElement",
    "Sinh",
    "Solution",
    "ThresholdSelector",
    "Transistor",
    "alone",
    "cell_currents",
    "path_resistance",
    "path_resistances",
    "ramp",
    "scheme_named",
    "single_cell_voltage",
    "solve",
]

hint_all(globals(), __all__)
