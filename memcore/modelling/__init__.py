"""Building blocks for authors of devices and effects: what models of one kind have in common.

| For | take |
|---|---|
| devices that identical pulses program | `Pulsed`, `AffinePulsed`; `Weighted` in units of weights |
| motion whose speed changes by decades | `advance` |
| ion drift with a window function | `Window` |
| devices known by statistics | `Statistical`, `ProgrammingError`, `Relaxation`; `PhaseChange` |
| measured curves | `PulseTables`, `Family` |
| what happens to each cell | `Factor`, `Offset`, `Nearest`, `WhiteNoise` |
| forms of written cells | `NearestLevel`, `Held`, `Passive`, `held_by_share` |
| states, parameters and their draws | `as_state`, `filled`, `fraction`, `drawn` and others |
"""

from memcore.contracts.cell_steps import (
    CellStep,
    Factor,
    Nearest,
    Offset,
    WhiteNoise,
)
from memcore.contracts.forms_of_cells import (
    Held,
    NearestLevel,
    Passive,
    held_by_share,
)
from memcore.modelling.affine import AffinePulsed
from memcore.modelling.constants import BOLTZMANN, CHARGE, VOLT_PER_KELVIN
from memcore.modelling.curves import (
    Curves,
    PulseTables,
    Rows,
    deviations,
    pulse_tables,
    require_rows,
    single,
)
from memcore.modelling.effects import (
    CellReadNoise,
    NoisyRead,
    ProgrammingError,
    Relaxation,
    Scattered,
    Trajectory,
    drawn,
    normal_per_write,
    per_write,
)
from memcore.modelling.family import Family, FamilyProduct
from memcore.modelling.phase_change import (
    PhaseChange,
    PhaseChangeDrift,
    PhaseChangeReadNoise,
)
from memcore.modelling.pulsed import Pulsed
from memcore.modelling.state import (
    as_state,
    between,
    choose,
    exp,
    filled,
    fraction,
    log,
    looked_up,
    nonzero,
    polynomial,
    taken,
    tensor,
)
from memcore.modelling.statistical import (
    DAY,
    US,
    YEAR,
    Statistical,
    Unpulsed,
    require_inside,
    require_time,
)
from memcore.modelling.switching import advance, distance, duration
from memcore.modelling.weighted import Weighted
from memcore.modelling.windows import (
    WINDOWS,
    Window,
    WindowName,
    biolek,
    joglekar,
    prodromakis,
    require_vanishing,
)

__all__ = [
    "BOLTZMANN",
    "CHARGE",
    "DAY",
    "US",
    "VOLT_PER_KELVIN",
    "WINDOWS",
    "YEAR",
    "AffinePulsed",
    "CellReadNoise",
    "CellStep",
    "Curves",
    "Factor",
    "Family",
    "FamilyProduct",
    "Held",
    "Nearest",
    "NearestLevel",
    "NoisyRead",
    "Offset",
    "Passive",
    "PhaseChange",
    "PhaseChangeDrift",
    "PhaseChangeReadNoise",
    "ProgrammingError",
    "PulseTables",
    "Pulsed",
    "Relaxation",
    "Rows",
    "Scattered",
    "Statistical",
    "Trajectory",
    "Unpulsed",
    "Weighted",
    "WhiteNoise",
    "Window",
    "WindowName",
    "advance",
    "as_state",
    "between",
    "biolek",
    "choose",
    "deviations",
    "distance",
    "drawn",
    "duration",
    "exp",
    "filled",
    "fraction",
    "held_by_share",
    "joglekar",
    "log",
    "looked_up",
    "nonzero",
    "normal_per_write",
    "per_write",
    "polynomial",
    "prodromakis",
    "pulse_tables",
    "require_inside",
    "require_rows",
    "require_time",
    "require_vanishing",
    "single",
    "taken",
    "tensor",
]
