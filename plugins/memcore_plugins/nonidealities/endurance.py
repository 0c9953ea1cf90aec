"""Cells that wear out as they are written."""

from dataclasses import dataclass
from typing import ClassVar

from memcore import Parameter, parameter
from memcore_plugins.nonidealities._wear import Wear, Worn


class _Cycled(Worn):
    """Counts write cycles."""

    clock = "cycles"


@dataclass(frozen=True, kw_only=True)
class Endurance(Wear):
    """A cell fails once the number n of its write cycles exceeds a threshold:

        n_th = p0 exp(p1 s + p2 T_c),   T_c = min(T_th / T, 1)
        gradual   log10 R = log10 R_0 + p3 (p1 s + p2 T_c) (log10 n - log10 n_th)   for n > n_th
        sudden    R = the stable value                                            for n > n_th

    with the cell size s and a set of p for LRS and for HRS, which meet at the geometric middle of a
    cell's window. Gradual failure ends at the stable value, or at the end of the window where it
    leads away from it; so a p3 > 0 lets R rise, and by default the window closes. p0 may be a
    distribution: then each cell has a threshold of its own, drawn once.

    The first programming is one cycle, each `memcore.program` another, more are told by
    `memcore.age(model, cycles=...)`, at another temperature with `temperature=...`; they count by
    the ratio of the thresholds at the two temperatures. Writing the cells again takes nothing back:
    the wear acts on what is written.

    Lammie, Rahimi Azghadi, Ielmini, Semicond. Sci. Technol. (2021). The numbers are round ones and
    describe no material: no public set was fitted. Fit yours.
    """  # noqa: D415

    form = _Cycled

    p0_lrs: Parameter = parameter(
        1e6, "cycles", "scale of the threshold in LRS; a round number", finite=False, at_least=1e-30
    )
    p0_hrs: Parameter = parameter(
        1e6, "cycles", "scale of the threshold in HRS; a round number", finite=False, at_least=1e-30
    )

    neutral: ClassVar = Wear.neutral
