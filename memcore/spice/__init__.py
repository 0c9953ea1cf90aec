"""Crossbars and waveforms as netlists for ngspice, and the comparison of ngspice with memcore.

`netlist` writes the circuit that `memcore.circuit.solve` solves, `run` hands a netlist to ngspice,
and `check` compares the two. `transient` writes the waveform of a `memcore.Trace` with its cells,
`run_transient` lets ngspice run it, and `pwl` is the text of such a source alone. Only `run`,
`run_transient` and `check` need ngspice.
"""

from memcore._keywords import hint_all
from memcore.spice.check import Comparison, Difference, check
from memcore.spice.circuit import Circuit
from memcore.spice.ngspice import Result, run
from memcore.spice.sources import pwl
from memcore.spice.traces import transient
from memcore.spice.waves import Waves, run_transient
from memcore.spice.writer import netlist

#: The name of before; it goes away after the next minor release.
Check = Comparison

__all__ = [
    "Check",
    "Circuit",
    "Comparison",
    "Difference",
    "Result",
    "Waves",
    "check",
    "netlist",
    "pwl",
    "run",
    "run_transient",
    "transient",
]

hint_all(globals(), __all__)
