"""What routines that write cells are made of: cells, reads, lines, pulses, selections and trains.

A programmer inherits the parameters that it shares with others (`PulseOptions`, `LineOptions`,
`ReadOptions`, `NoiseOptions`). If the transistors of all other cells are off, it writes through
`SingleCells`; in a passive array it goes through `selections` and cuts its `Train`s where voltages
change, `parts_of`. Searches for voltages and widths look at the nominal device, `Probe`.
"""

from memcore.circuit import Scheme
from memcore.dynamics.probe import Probe, Pulse
from memcore.writing.aim import Aim
from memcore.writing.cells import (
    CellModel,
    CellParameters,
    WithStuck,
    beginning,
    of_cells,
    report,
)
from memcore.writing.energy import energy_of
from memcore.writing.network import Across, Network
from memcore.writing.options import (
    LineOptions,
    NoiseOptions,
    PulseOptions,
    ReadOptions,
    WantedPulse,
)
from memcore.writing.path import Path
from memcore.writing.pulsing import find_voltage, remembered, warn_of_reach, warn_of_rest
from memcore.writing.ramps import Ramps, growing_widths
from memcore.writing.reads import Reads
from memcore.writing.responses import Numbers, Response, Trains, as_numbers, response
from memcore.writing.selecting import SHARES, Counts, Selection, selections, slots
from memcore.writing.sequence import ArrayCells, SequentialLoop
from memcore.writing.single import ChosenCells, Pulsed, Reading, SingleCells
from memcore.writing.trains import ByNetwork, ByShares, Part, Seen, Train, View, parts_of
from memcore.writing.verify import VerifyLoop

__all__ = [
    "SHARES",
    "Across",
    "Aim",
    "ArrayCells",
    "ByNetwork",
    "ByShares",
    "CellModel",
    "CellParameters",
    "ChosenCells",
    "Counts",
    "LineOptions",
    "Network",
    "NoiseOptions",
    "Numbers",
    "Part",
    "Path",
    "Probe",
    "Pulse",
    "PulseOptions",
    "Pulsed",
    "Ramps",
    "ReadOptions",
    "Reading",
    "Reads",
    "Response",
    "Scheme",
    "Seen",
    "Selection",
    "SequentialLoop",
    "SingleCells",
    "Train",
    "Trains",
    "VerifyLoop",
    "View",
    "WantedPulse",
    "WithStuck",
    "as_numbers",
    "beginning",
    "energy_of",
    "find_voltage",
    "growing_widths",
    "of_cells",
    "parts_of",
    "remembered",
    "report",
    "response",
    "selections",
    "slots",
    "warn_of_reach",
    "warn_of_rest",
]
