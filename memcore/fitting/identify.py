"""What the data tell about each parameter, and the parameters that they do not determine."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from memcore.fitting.problem import Numbers
from memcore.fitting.space import SearchAxis

#: A direction in which the data change by less than this share of the largest is not seen at all:
#: difference quotients are no better.
_BLIND: Final = 1e-8
#: A parameter is not determined if its uncertainty is beyond this: a factor of e on a logarithmic
#: scale, its own size on a linear one, half the range of a share.
_HUGE: Final = 1.0
_PART: Final = 0.1  #: of a combination; smaller contributions are not named
_MIXED: Final = 1e-3  #: a smaller component in a blind direction is rounding


@dataclass(frozen=True, eq=False)
class Judgement:
    """The uncertainties, and the parameters that are not determined.

    Attributes:
        uncertainty: standard uncertainties in units of the search, [parameters]; inf for a
            parameter without effect.
        sides: the same downwards and upwards, [2, parameters].
        identifiable: whether the data determine each parameter.
        unused: parameters that change nothing.
        combinations: parameters that can move together without effect, with a sentence for each.
    """

    uncertainty: Numbers
    sides: Numbers
    identifiable: tuple[bool, ...]
    unused: tuple[str, ...]
    combinations: tuple[str, ...]

    def widened(
        self, least: Sequence[tuple[float, float]], axes: Sequence[SearchAxis]
    ) -> "Judgement":
        """The same with uncertainties that are at least as large.

        Args:
            least: uncertainties downwards and upwards in units of the search, [parameters].
            axes: the parameters.
        """
        sides = np.maximum(self.sides, np.array(least).T)
        spread = sides.max(0)
        known = tuple(
            bool(k and s / _unit(axis) <= _HUGE)
            for k, s, axis in zip(self.identifiable, spread, axes, strict=True)
        )
        lost = [a.name for a, k, now in zip(axes, self.identifiable, known, strict=True) if k > now]
        said = (
            f"{', '.join(lost)} can go far while the others follow: the data give a limit at most",
        )
        return replace(
            self,
            uncertainty=spread,
            sides=sides,
            identifiable=known,
            combinations=(*self.combinations, *(said if lost else ())),
        )


def judge(jacobian: Numbers, noise: float, axes: Sequence[SearchAxis]) -> Judgement:
    """Covariance `noise^2 (J^T J)^-1`, direction by direction.

    Args:
        jacobian: derivatives of the residuals, [samples, parameters].
        noise: standard deviation of a residual.
        axes: the parameters.
    """
    unit = np.array([_unit(axis) for axis in axes])
    scaled = jacobian * unit
    size = np.linalg.norm(scaled, axis=0)
    used = size > _BLIND * max(float(size.max()), np.finfo(float).tiny)
    spread = np.full(len(axes), np.inf)
    combinations: list[str] = []
    if used.any():
        names = [axis for axis, u in zip(axes, used, strict=True) if u]
        _, singular, directions = np.linalg.svd(scaled[:, used], full_matrices=False)
        blind = singular <= _BLIND * singular[0]
        share = directions[~blind] * (noise / singular[~blind])[:, None]
        spread[used] = np.sqrt((share**2).sum(0))
        spread[used] = np.where((np.abs(directions[blind]) > _MIXED).any(0), np.inf, spread[used])
        loose = blind | (noise > _HUGE * singular)
        combinations = [_sentence(row, names) for row in _reduced(directions[loose])]
    return Judgement(
        uncertainty=spread * unit,
        sides=np.stack([spread * unit] * 2),
        identifiable=tuple(bool(s <= _HUGE) for s in spread),
        unused=tuple(axis.name for axis, u in zip(axes, used, strict=True) if not u),
        combinations=tuple(filter(None, combinations)),
    )


def _unit(axis: SearchAxis) -> float:
    """A change that is large, in units of the search."""
    low, high = axis.limits
    return 0.5 * (high - low) if not axis.log and np.isfinite(high - low) else 1.0


def _reduced(directions: Numbers) -> Numbers:
    """The same space by combinations of few parameters each: Gauss and Jordan with pivots."""
    rows = directions.copy()
    for k in range(len(rows)):
        rest = np.abs(rows[k:])
        i, j = divmod(int(rest.argmax()), rest.shape[1])
        rows[[k, k + i]] = rows[[k + i, k]]
        rows[k] /= rows[k, j]
        for other in range(len(rows)):
            if other != k:
                rows[other] -= rows[other, j] * rows[k]
    return rows


def _sentence(row: Numbers, axes: Sequence[SearchAxis]) -> str:
    parts = [(axis, w) for axis, w in zip(axes, row, strict=True) if abs(w) > _PART]
    if len(parts) == 1:
        return f"{parts[0][0].name} is not determined: changing it hardly changes the prediction"
    if len(parts) == 2 and all(axis.log for axis, _ in parts):
        (first, a), (second, b) = parts
        ratio = b / a
        if abs(abs(ratio) - 1) < 0.02:
            kind = f"ratio {first.name} / {second.name}"
            kind = kind if ratio > 0 else f"product {first.name} * {second.name}"
            return f"only the {kind} is determined, not the two by themselves"
    moves = ", ".join(
        f"{axis.name} x {1.1**w:.3g}" if axis.log else f"{axis.name} {0.1 * w * _moved(axis):+.3g}"
        for axis, w in parts
    )
    names = ", ".join(axis.name for axis, _ in parts)
    return f"{names} are determined only together: {moves} hardly change the prediction"


def _moved(axis: SearchAxis) -> float:
    return _unit(axis) * axis.scale
