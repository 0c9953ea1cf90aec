"""The table of memory states of NeuroSim 1.5 as a device with effects."""

import math
from pathlib import Path
from typing import Any

from memcore.compat.imported import Imported, table
from memcore.errors import ConfigError


def mem_states(path: str | Path) -> Imported:
    """The device and the effects that a file `mem_states.csv` describes.

    Each row has the mean and the standard deviation of the conductance of a state, in S. States
    become equally spaced levels between the lowest and the highest mean, and all get the same
    standard deviation, the root mean square; `left_out` says how far that is from the file.

    Args:
        path: path of the file.

    Raises:
        ConfigError: the file cannot be read, or holds something else.
    """
    rows = table(path, "table of states")
    if any(len(row) not in (1, 2) for row in rows) or len(rows) < 2:
        raise ConfigError(
            f"the table of states '{path}' has {len(rows)} rows of {len(rows[0])} numbers; "
            "expected two or more of a mean and a standard deviation in S"
        )
    means = sorted(row[0] for row in rows)
    spreads = [row[1] if len(row) == 2 else 0.0 for row in rows]
    low, high = means[0], means[-1]
    if not 0 < low < high or min(spreads) < 0:
        raise ConfigError(
            f"the table of states '{path}' has means from {low} to {high} S and spreads from "
            f"{min(spreads)} S; expected means above 0 that differ, and no spread below 0"
        )
    spread = math.sqrt(math.fsum(s * s for s in spreads) / len(spreads))
    effects: list[dict[str, Any]] = [{"name": "finite_states", "states": len(means)}]
    if spread:
        made = {"name": "c2c", "std": 0.0, "absolute": spread, "distribution": "normal"}
        effects.append(made)
    device = {"name": "ideal", "r_on": 1 / high, "r_off": 1 / low}
    return Imported({"device": device, "nonidealities": effects}, tuple(_told(means, spreads)))


def _told(means: list[float], spreads: list[float]) -> list[str]:
    step = (means[-1] - means[0]) / (len(means) - 1)
    off = max(abs(mean - means[0] - k * step) for k, mean in enumerate(means))
    told = []
    if off > 1e-3 * step:
        told.append(f"states: they are up to {off / step:.2g} of a step from equally spaced levels")
    if max(spreads) > 1.001 * min(spreads):
        told.append(
            f"spreads: from {min(spreads):.3g} to {max(spreads):.3g} S, here the same for all"
        )
    return told
