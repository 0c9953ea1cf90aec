"""Crossbars as netlists for ngspice, and the comparison of ngspice with memcore.

`netlist` writes the circuit that `memcore.circuit.solve` solves, `run` hands a netlist to ngspice,
and `check` compares the two. Only `run` and `check` need ngspice.
"""

from memcore._keywords import hint_all
from memcore.spice.check import Comparison, Difference, check
from memcore.spice.circuit import Circuit
from memcore.spice.ngspice import Result, run
from memcore.spice.writer import netlist

#: The name of before; it goes away after the next minor release.
Check = Comparison

__all__ = ["Check", "Circuit", "Comparison", "Difference", "Result", "check", "netlist", "run"]

hint_all(globals(), __all__)
