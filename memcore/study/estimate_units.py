"""How long the chips of a study will take, measured on a few images before they begin."""

import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import nn

from memcore.study.estimate import WORTH, is_read, second, tell
from memcore.study.evaluation import chip_of, chip_seed
from memcore.study.in_place import InPlace, train_in_place
from memcore.study.placement import placed
from memcore.study.planning import Unit
from memcore.study.sweeps import Point
from memcore.study.training import forward
from memcore.study.work import Bench

_IMAGES: Final = 32


def tell_units(bench: Bench, units: Sequence[Unit]) -> None:
    """Say how long units take one after the other, where somebody reads it and it takes long.

    One chip of each sweep is written, takes a step if chips are trained in place, and reads a few
    images. Chips that hold a compressed network are not told.

    Args:
        bench: network and data.
        units: units that are not known yet.
    """
    points = bench.content.points
    if not is_read() or any(point.compress for point in points):
        return
    trained = any(point.in_place for point in points)
    if not trained and _reading(bench, bench.model) * len(units) < WORTH:  # a chip reads no faster
        return
    first = {point.sweep: number for number, point in reversed([*enumerate(points)])}
    seconds = {sweep: _unit(bench, number) for sweep, number in first.items()}
    asked = [points[unit.point] for unit in units]
    lasting = (seconds[each.sweep] for each in asked)
    total = sum(
        alone + _steps(bench, each) * step
        for each, (alone, step) in zip(asked, lasting, strict=True)
    )
    tell(f"evaluating {len(units)} chips one after the other", total)


def _unit(bench: Bench, point: int) -> tuple[float, float]:
    """Seconds of a unit of a point without its training in place, and of one step of that."""
    general, config = bench.content.study.study, bench.content.configs[point]
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the run itself tells them
        chip = chip_of(bench.model, config, bench.dataset, general, chip_seed(general, 0))
        alone = time.perf_counter() - begin
        step = _step(bench, chip, bench.content.points[point].in_place)
        return alone + _reading(bench, chip), step


def _step(bench: Bench, chip: nn.Module, recipe: InPlace | None) -> float:
    """Seconds of a step of training in place, which changes the chip."""
    if recipe is None:
        return 0.0
    few = replace(bench.dataset, train=bench.dataset.train.head(recipe.batch))
    once = recipe.model_copy(update={"epochs": 1})
    seed, device = chip_seed(bench.content.study.study, 0), bench.content.study.study.device
    return second(lambda: train_in_place(chip, few, once, seed, device, bench.metric.loss))


def _steps(bench: Bench, point: Point) -> int:
    """Steps of training in place of a chip of a point."""
    if point.in_place is None:
        return 0
    return point.in_place.epochs * max(1, len(bench.dataset.train) // point.in_place.batch)


@torch.no_grad()
def _reading(bench: Bench, network: nn.Module) -> float:
    """Seconds in which a network reads all test images, from a few of them."""
    general = bench.content.study.study
    test, device = bench.dataset.test.head(general.samples), placed(general.device)
    few = test.images[: min(_IMAGES, general.batch)]
    return second(lambda: forward(network, bench.dataset, few, device)) * len(test) / len(few)
