"""Least squares for samples of several cells, whose parameters may differ from cell to cell.

A linear model of mixed effects: `r = D d + A a + Z b + e` with shared parameters d, a level a of
each cell about which nothing is known, deviations b ~ N(0, s^2) of each cell and noise
e ~ N(0, sigma^2). Variances are those of restricted maximum likelihood: Patterson and Thompson,
Biometrika 58:545 (1971). All is calculated from products of columns within each cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

_LEAST: Final = 1e-6  #: of a deviation over the noise of a sample, which is as good as none
_MOST: Final = 1e6
_RIDGE: Final = 1e-12


@dataclass(frozen=True, eq=False)
class Solved:
    """What the linear model says.

    Attributes:
        shared: changes d of the shared parameters, [parameters].
        levels: changes a of the levels, [cells].
        deviations: deviations b of the cells, [cells, differing].
        information: inverse covariance of `shared` times sigma^2, [parameters, parameters].
        sigma: standard deviation of the noise of a sample.
        ratios: s over sigma, [differing].
        deviance: -2 ln of the restricted likelihood, without constants.
        squares: weighted sum of squares that is left.
    """

    shared: Numbers
    levels: Numbers
    deviations: Numbers
    information: Numbers
    sigma: float
    ratios: Numbers
    deviance: float
    squares: float


@dataclass(frozen=True, eq=False)
class Linear:
    """The linear model of some samples.

    Args:
        products: sums of products of the columns D, A and r within each cell,
            [cells, columns, columns].
        differing: columns of D whose parameters differ from cell to cell.
        samples: number of samples.
    """

    products: Numbers
    differing: Sequence[int]
    samples: int

    @classmethod
    def of(
        cls,
        slopes: Numbers,
        level: Numbers,
        residuals: Numbers,
        cell: npt.NDArray[np.int64],
        differing: Sequence[int],
    ) -> "Linear":
        """The model of samples.

        Args:
            slopes: D, [samples, parameters].
            level: A, [samples].
            residuals: r, [samples].
            cell: number of the cell of each sample, ascending, [samples].
            differing: columns of D whose parameters differ from cell to cell.
        """
        columns = np.concatenate([slopes, level[:, None], residuals[:, None]], 1)
        begins = np.flatnonzero(np.diff(cell, prepend=-1))
        products = np.add.reduceat(columns[:, :, None] * columns[:, None, :], begins)
        return cls(products, tuple(differing), len(residuals))

    @property
    def freedom(self) -> int:
        """Samples less levels and shared parameters."""
        cells, columns, _ = self.products.shape
        return int(self.samples - cells - (columns - 2))

    def solved(self, ratios: Numbers) -> Solved:
        """The best parameters, where deviations are some multiples of the noise."""
        weighed, inverse, log = self._weighed(ratios)
        parameters = weighed.shape[1] - 2
        pivot = np.maximum(weighed[:, parameters, parameters], np.finfo(float).tiny)
        row = weighed[:, parameters, :]
        left = weighed - row[:, :, None] * row[:, None, :] / pivot[:, None, None]
        total = left.sum(0)
        keep = [*range(parameters), parameters + 1]
        total = total[np.ix_(keep, keep)]
        information, target = total[:parameters, :parameters], total[:parameters, parameters]
        scale = np.sqrt(np.maximum(np.diag(information), np.finfo(float).tiny))
        normal = information / np.outer(scale, scale) + _RIDGE * np.eye(parameters)
        shared = np.linalg.solve(normal, target / scale) / scale
        squares = max(float(total[-1, -1] - 2 * shared @ target + shared @ information @ shared), 0)
        freedom = max(self.freedom, 1)
        variance = max(squares / freedom, np.finfo(float).eps ** 2)  # logarithms are rounded
        levels = (row[:, parameters + 1] - row[:, :parameters] @ shared) / pivot
        logs = log.sum() + np.log(pivot).sum() + np.linalg.slogdet(normal)[1]
        return Solved(
            shared=shared,
            levels=levels,
            deviations=self._deviations(shared, levels, inverse),
            information=information,
            sigma=float(np.sqrt(variance)),
            ratios=ratios,
            deviance=float(logs + 2 * np.log(scale).sum() + freedom * np.log(variance)),
            squares=squares,
        )

    def _weighed(self, ratios: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """The products weighed by `(I + Z ratios^2 Z')^-1`, and what that took."""
        z = list(self.differing)
        across = self.products[:, :, z] * ratios
        inner = ratios[:, None] * self.products[:, z][:, :, z] * ratios + np.eye(len(z))
        inverse = np.linalg.inv(inner)
        weighed = self.products - across @ inverse @ across.transpose(0, 2, 1)
        return weighed, ratios[:, None] * inverse * ratios, np.linalg.slogdet(inner)[1]

    def _deviations(self, shared: Numbers, levels: Numbers, inverse: Numbers) -> Numbers:
        """The most likely deviations of each cell."""
        cells = len(self.products)
        taken = np.concatenate([-np.tile(shared, (cells, 1)), -levels[:, None]], 1)
        rest = np.concatenate([taken, np.ones((cells, 1))], 1)
        found: Numbers = np.einsum(
            "cqr,crk,ck->cq", inverse, self.products[:, list(self.differing)], rest
        )
        return found

    def best(self, near: Numbers | None = None) -> Solved:
        """The same where the deviations are those of restricted maximum likelihood.

        Args:
            near: deviations over the noise at which the search begins; None to look everywhere.
        """
        if not self.differing:
            return self.solved(np.zeros(0))
        from scipy.optimize import minimize

        size = np.sqrt(self.products[:, self.differing, self.differing].mean(0))
        unit = 1 / np.maximum(size, np.finfo(float).tiny)
        low, high = np.log(_LEAST), np.log(_MOST)

        def deviance(place: Numbers) -> float:
            return self.solved(np.exp(np.clip(place, low, high)) * unit).deviance

        starts = [np.full(len(size), first) for first in (-3.0, 0.0, 3.0)]
        if near is not None:
            starts = [np.log(np.clip(near / unit, _LEAST, _MOST))]
        found = min(
            (
                minimize(
                    deviance, start, method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-7}
                )
                for start in starts
            ),
            key=lambda each: float(each.fun),
        )
        return self.solved(np.exp(np.clip(found.x, low, high)) * unit)

    def spread_error(self, solved: Solved, column: int) -> float:
        """Standard uncertainty of ln s of one deviation, from the curvature of the likelihood."""
        step = 0.1
        values = []
        for move in (-step, 0.0, step):
            ratios = solved.ratios.copy()
            ratios[column] *= np.exp(move)
            values.append(self.solved(ratios).deviance)
        curvature = (values[0] - 2 * values[1] + values[2]) / step**2
        return float(np.sqrt(2 / curvature)) if curvature > 0 else float("inf")
