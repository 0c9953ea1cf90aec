"""Whether a model describes the data: what is left over must look like noise.

Uncertainties are those of independent noise. Where the model misses the data the differences hang
together from sample to sample, and no uncertainty that noise implies is true.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_SURE: Final = 4.0  #: standard errors of the correlation before it counts
_CORRELATED: Final = 0.15  #: a smaller correlation of neighbours is harmless
#: The median difference over the noise of neighbouring samples, from which the model misses them.
_LARGER: Final = 3.0
#: Differences smaller than this share of the data's rms are those of rounding and of integration.
_EXACT: Final = 1e-3
_FEWEST: Final = 8  #: samples from which a correlation tells something
#: The median of the magnitude of a normal variable, and the deviation of third differences.
_MEDIAN: Final = 0.6745
_THIRD: Final = 20.0**0.5


def misfit(residuals: Numbers, values: Numbers) -> str:
    """A sentence that says how a model misses the data, empty if it does not.

    Args:
        residuals: differences of prediction and data on the scale of the comparison, [samples].
        values: data on this scale, [samples].
    """
    if len(residuals) < _FEWEST:
        return ""
    rms, size = (float(np.sqrt(np.mean(x**2))) for x in (residuals, values))
    if rms <= _EXACT * size:
        return ""
    share = 100 * rms / size
    correlation, sure = neighbours(residuals)
    if sure > _SURE and correlation > _CORRELATED:
        return (
            f"the model misses the data: its differences, {share:.2g} % of the data's rms, hang "
            f"together from sample to sample (correlation {correlation:.2f}), as noise does not"
        )
    noise = point_to_point(values)
    typical = float(np.median(np.abs(residuals))) / _MEDIAN
    if noise > 0 and typical > _LARGER * noise and len(residuals) > 4 * _FEWEST:
        return (
            f"the model misses the data: it differs by {share:.2g} % of the data's rms, "
            f"{typical / noise:.2g} times the noise from sample to sample"
        )
    return ""


def neighbours(residuals: Numbers) -> tuple[float, float]:
    """The correlation of neighbouring residuals, and how many standard errors that is.

    The error is that of the products themselves, so that noise which grows with the signal does
    not count as correlation.
    """
    products = residuals[1:] * residuals[:-1]
    spread = float(np.sqrt(np.sum(products**2)))
    total = float(np.sum(residuals**2))
    if not total or not spread:
        return 0.0, 0.0
    return float(products.sum()) / total, float(products.sum()) / spread


def point_to_point(values: Numbers) -> float:
    """Standard deviation of the noise, from third differences, which a smooth curve has not."""
    third = np.diff(values, 3)
    return float(np.median(np.abs(third))) / (_MEDIAN * _THIRD) if len(third) else 0.0
