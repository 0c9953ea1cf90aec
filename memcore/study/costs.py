"""Pricing the points of a study: one inference of the first chip by each cost model."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from memcore.contracts.cost import CostModel
from memcore.errors import MemcoreError, StudyError
from memcore.nn.feeding import run
from memcore.registry.specs import plugin
from memcore.report.cost import cost
from memcore.study.config import General, Study
from memcore.study.data import Dataset
from memcore.study.evaluation import chip_of, chip_seed
from memcore.study.files import digest_json, read_json, write_json
from memcore.study.layered import Arrays
from memcore.study.placement import placed
from memcore.study.prices import FIGURES, Price, checked, labels
from memcore.study.results import Results, name_of
from memcore.study.sweeps import Point

COSTS: Final = "costs.json"
_IMAGES: Final = 8  #: inferences that a price is the mean of; energy depends on what is read


def require_models(general: General) -> None:
    """Build each cost model of a study, so that a mistake is said before a training.

    Raises:
        StudyError: a model or a parameter does not exist or does not fit.
    """
    for spec in general.cost:
        try:
            plugin("costs", spec)
        except MemcoreError as error:
            raise StudyError(f"study.cost: {error}") from error


def with_prices(
    results: Results,
    identity: Sequence[str],
    network: tuple[Callable[[int], nn.Module], Dataset],
    todo: Sequence[Point],
    configs: Sequence[Arrays],
) -> Results:
    """The results with what an inference costs at each point; what is known is not priced again.

    Args:
        results: all points of a study.
        identity: what tells one study, network and data set from another.
        network: the digital network of a point, and the data set that it is judged on.
        todo: points of the study.
        configs: crossbars of each point.

    Raises:
        StudyError: a cost model cannot price the network; names the point.
    """
    study = results.study
    if not study.study.cost:
        return results
    (model, dataset), known, prices = network, _known(results.folder), {}
    for number, (point, config) in enumerate(zip(todo, configs, strict=True)):
        mark = _mark(study, identity, point)
        priced = _of(known, point, mark, study)
        if priced is None:
            priced = _priced(study, (model(number), dataset), point, config)
            known[point.name] = {"mark": mark, **{each.model: _plain(each) for each in priced}}
            write_json(results.folder / COSTS, known)
        prices[point.name] = priced
    return dataclasses.replace(results, prices=prices)


def with_known_prices(results: Results, identity: Sequence[str], todo: Sequence[Point]) -> Results:
    """The results with the prices that their folder holds."""
    known, prices = _known(results.folder), {}
    finished = {name_of(row) for row in results}
    for point in todo if results.study.study.cost else ():
        if point.name not in finished:
            continue
        mark = _mark(results.study, identity, point)
        priced = _of(known, point, mark, results.study)
        if priced is not None:
            prices[point.name] = priced
    return dataclasses.replace(results, prices=prices)


def _known(folder: Path) -> dict[str, Any]:
    content = read_json(folder / COSTS)
    return content if isinstance(content, dict) else {}


def _mark(study: Study, identity: Sequence[str], point: Point) -> str:
    lived = point.life.model_dump(exclude_defaults=True)
    models = [dict(spec) for spec in study.study.cost]
    recipe = [] if point.compress is None else [point.compress.model_dump(mode="json")]
    return digest_json([*identity, point.crossbar, lived, models, *recipe])


def _of(
    known: Mapping[str, Any], point: Point, mark: str, study: Study
) -> tuple[Price, ...] | None:
    content = known.get(point.name)
    if not isinstance(content, dict) or content.get("mark") != mark:
        return None
    return checked(content, labels(study.study.cost))


def _plain(price: Price) -> dict[str, float]:
    return {figure: getattr(price, figure) for figure in FIGURES}


@torch.no_grad()
def _priced(
    study: Study, network: tuple[nn.Module, Dataset], point: Point, config: Arrays
) -> tuple[Price, ...]:
    general, (model, dataset) = study.study, network
    images = dataset.test.head(_IMAGES).images.to(placed(general.device))
    inputs = dataset.prepare(images)
    try:
        chip = chip_of(model, config, dataset, general, chip_seed(general, 0))
        point.life.pass_over(chip)
        return tuple(
            _price(chip, inputs, len(images), name, plugin("costs", spec))
            for name, spec in zip(labels(general.cost), general.cost, strict=True)
        )
    except MemcoreError as error:
        raise StudyError(f"{point}: {error}") from error


def _price(chip: nn.Module, inputs: Any, count: int, name: str, estimator: CostModel) -> Price:
    if isinstance(inputs, Tensor):
        total = cost(chip, inputs, model=estimator).total
    else:
        total = cost(chip, [inputs], model=estimator, forward=run).total
    return Price(name, total.energy / count, total.time / count, total.area)
