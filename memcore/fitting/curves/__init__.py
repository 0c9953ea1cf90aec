"""From measurements to curves: what devices of measured data are made of.

`runs_of` sorts records of pulses into runs and `curves_of` makes mean curves and spreads of them;
`family_of` does the same for current-voltage curves. `tabulation_of_runs` and
`tabulation_of_currents` put the data beside the device, which is what the method `tabulated` of a
device returns to `memcore.fit`.
"""

from memcore.fitting.curves.currents import IVFamily, family_of
from memcore.fitting.curves.runs import (
    PulseCurves,
    Runs,
    curves_of,
    isotonic,
    left_out,
    names_of,
    runs_of,
)
from memcore.fitting.curves.tabulation import tabulation_of_currents, tabulation_of_runs

__all__ = [
    "IVFamily",
    "PulseCurves",
    "Runs",
    "curves_of",
    "family_of",
    "isotonic",
    "left_out",
    "names_of",
    "runs_of",
    "tabulation_of_currents",
    "tabulation_of_runs",
]
