"""Crossbars as ngspice netlists, and what ngspice says of them beside what memcore does.

`netlist` writes the circuit that `memcore.circuit.solve` solves, `run` hands a netlist to ngspice,
and `check` compares the two. Only `run` and `check` need ngspice.
"""

from memcore.spice.check import Check, Difference, check
from memcore.spice.circuit import Circuit
from memcore.spice.ngspice import Result, run
from memcore.spice.writer import netlist

__all__ = ["Check", "Circuit", "Difference", "Result", "check", "netlist", "run"]
