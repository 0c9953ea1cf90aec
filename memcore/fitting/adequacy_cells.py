"""Whether a model describes samples of several cells: what is left over must look like noise."""

from typing import Final

import numpy as np
import numpy.typing as npt

from memcore.fitting.adequacy import neighbours
from memcore.fitting.mixed import Linear, Numbers, Solved

_SURE: Final = 4.0  #: standard errors of the correlation before it counts
_CORRELATED: Final = 0.15  #: a smaller correlation of neighbours is harmless
_RARE: Final = 1e-4  #: probability of an F ratio beyond which it is none of noise
_EXACT: Final = 1e-6  #: of a logarithm, below which differences are those of rounding
_FEWEST: Final = 8  #: degrees of freedom from which the tests tell something


def missed(
    residuals: Numbers,
    columns: tuple[Numbers, Numbers, Numbers],
    time: Numbers,
    cell: npt.NDArray[np.int64],
    differing: tuple[int, ...],
    solved: Solved,
) -> str:
    """A sentence that says how a model misses the data, empty if it does not.

    Two tests: of the correlation of neighbours within a cell, and of what two terms would explain
    that bend the course of all cells, the square and the cube of the logarithm of time, each over
    the change of the cell.

    Args:
        residuals: differences of data and model, of logarithms, [samples].
        columns: slopes by the shared parameters [samples, parameters], by the levels [samples],
            and the change of each sample since the write [samples].
        time: times in s, [samples].
        cell: number of the cell of each sample, ascending, [samples].
        differing: columns of the slopes whose parameters differ from cell to cell.
        solved: the best parameters.
    """
    rms = float(np.sqrt(np.mean(residuals**2)))
    if rms < _EXACT or len(residuals) - len(np.unique(cell)) - columns[0].shape[1] < _FEWEST:
        return ""
    apart = np.insert(residuals, np.flatnonzero(np.diff(cell)) + 1, 0.0)
    correlation, sure = neighbours(apart)
    if sure > _SURE and correlation > _CORRELATED:
        return (
            f"the model misses the data: its differences, {100 * rms:.2g} % of the conductance, "
            f"hang together from read to read (correlation {correlation:.2f}), as noise does not"
        )
    probability = _of_bends(columns, residuals, time, cell, differing, solved)
    if probability < _RARE:
        return (
            f"the model misses the data: in time, the cells follow a course that bends otherwise "
            f"(noise would do so with a probability of {probability:.1g})"
        )
    return ""


def _of_bends(
    columns: tuple[Numbers, Numbers, Numbers],
    residuals: Numbers,
    time: Numbers,
    cell: npt.NDArray[np.int64],
    differing: tuple[int, ...],
    solved: Solved,
) -> float:
    """The probability that noise lets two further terms explain as much as they do."""
    from scipy.stats import f

    slopes, level, change = columns
    place = np.log(np.maximum(time, time[time > 0].min()))
    place = 2 * (place - place.min()) / max(float(np.ptp(place)), 1e-300) - 1
    begins = np.flatnonzero(np.diff(cell, prepend=-1))
    sizes = np.diff(np.append(begins, len(cell)))
    furthest = np.repeat(np.maximum.reduceat(np.abs(change), begins), sizes)
    signed = furthest * np.repeat(np.sign(np.add.reduceat(change, begins)), sizes)
    bends = np.stack([signed * place**2, signed * place**3], 1)
    scale = np.linalg.norm(bends, axis=0)
    if not scale.all():
        return 1.0
    total = residuals
    if differing:
        total = total + (slopes[:, list(differing)] * solved.deviations[cell]).sum(1)
    before = Linear.of(slopes, level, total, cell, differing).solved(solved.ratios)
    more = Linear.of(np.concatenate([slopes, bends / scale], 1), level, total, cell, differing)
    after = more.solved(solved.ratios)
    if not after.squares or more.freedom < 1:
        return 1.0
    ratio = (before.squares - after.squares) / 2 / (after.squares / more.freedom)
    return float(f.sf(max(ratio, 0.0), 2, more.freedom))
