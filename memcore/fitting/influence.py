"""Which parameters a search has to move: those that change a prediction, by themselves.

A pulse amplitude of a device that counts pulses changes nothing; of a length and two speeds that
only enter as ratios, one can be held. Both keep the value of the start.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from memcore.fitting.problem import Numbers, Problem
from memcore.fitting.space import SearchAxis

_LOOKED_AT: Final = 64  #: places of which the best ones are taken
_PLACES: Final = 10  #: places at which influences are measured
_BLIND: Final = 1e-8  #: share of the largest influence below which there is none
#: The same of a combination, of which difference quotients are no better where a state saturates.
_REDUNDANT: Final = 1e-5
_PART: Final = 0.1  #: of a combination; smaller contributions are no reason to hold a parameter


def divided(problem: Problem, seed: int) -> tuple[list[SearchAxis], list[SearchAxis]]:
    """The parameters to move, and those without any influence where it was looked for."""
    axes = problem.axes
    slopes = _slopes(problem, seed)
    size = np.linalg.norm(slopes, axis=0)
    used = size > _BLIND * max(float(size.max()), np.finfo(float).tiny)
    if not used.any():
        return list(axes), []
    moving = [axis for axis, u in zip(axes, used, strict=True) if u]
    held = _held(slopes[:, used] / size[used], moving)
    idle = [axis for axis, u in zip(axes, used, strict=True) if not u]
    return [axis for k, axis in enumerate(moving) if k not in held], idle


def acts(problem: Problem, values: Mapping[str, float], axis: SearchAxis) -> bool:
    """Whether a parameter changes the prediction where the others have some values."""
    place = np.array([a.place(values.get(a.name, a.start)) for a in problem.axes])
    size = np.linalg.norm(problem.jacobian(place), axis=0)
    own = size[[a.name for a in problem.axes].index(axis.name)]
    return bool(own > _BLIND * size.max())


def _slopes(problem: Problem, seed: int) -> Numbers:
    """Slopes of the residuals at good places of the whole range and at the start."""
    low, high = problem.region
    random = np.random.default_rng(seed).uniform(size=(_LOOKED_AT, len(low)))
    places = low + (high - low) * random
    order = np.argsort(problem.cost(places), kind="stable")[:_PLACES]
    found = []
    for place in (np.clip(problem.start, *problem.limits), *places[order]):
        if np.isfinite(problem.residuals(place)).all():
            slope = problem.jacobian(place)
            found.append(slope / max(float(np.linalg.norm(slope)), np.finfo(float).tiny))
    return np.concatenate(found)


def _held(slopes: Numbers, axes: Sequence[SearchAxis]) -> set[int]:
    """One parameter of each combination that changes nothing: one that the data do not scale."""
    _, singular, directions = np.linalg.svd(slopes, full_matrices=False)
    blind = directions[singular <= _REDUNDANT * singular[0]].copy()
    free = np.array([not axis.scaled for axis in axes])
    held: set[int] = set()
    for k in range(len(blind)):
        size = np.abs(blind[k])
        wanted = (size > _PART * size.max()) & free
        pivot = int(np.argmax(np.where(wanted, 1 + size, size)))
        blind[k] /= blind[k, pivot]
        for other in range(k + 1, len(blind)):
            blind[other] -= blind[other, pivot] * blind[k]
        held.add(pivot)
    return held
