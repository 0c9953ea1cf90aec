"""Evaluating a unit: a function of a plan and a unit alone, wherever it is called."""

import platform
import secrets
import threading
import warnings
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from memcore.errors import MemcoreError, NotFiniteError, StudyError
from memcore.study import checkpoints, data, environment, metrics
from memcore.study.compressing import Smaller
from memcore.study.config import Study
from memcore.study.data import Dataset
from memcore.study.evaluation import chip_seed, evaluate_chip
from memcore.study.files import read_json
from memcore.study.metrics import Metric, Score
from memcore.study.network import Networks
from memcore.study.placement import placed
from memcore.study.planning import Described, Unit, described
from memcore.study.store import RESOLVED, Subject
from memcore.study.units import Units


@dataclass(frozen=True)
class Bench:
    """What all units of a study share, loaded once in each process.

    Attributes:
        model: digital network, in evaluation mode.
        dataset: data set.
        metric: metric.
        content: study in detail.
        smaller: what makes networks smaller for the points that want that.
    """

    model: nn.Module
    dataset: Dataset
    metric: Metric
    content: Described
    smaller: Smaller

    def network(self, point: int) -> nn.Module:
        """The digital network of a point, compressed if the point says so."""
        content = self.content
        return self.smaller.of(self.model, content.configs[point], content.points[point].compress)


@dataclass(frozen=True)
class Plan:
    """A study that is ready to be evaluated, unit by unit, in any process.

    Attributes:
        subject: hashes of the study, the weights and the data, by which a process knows whether it
            sees the same.
        study: study, with a complete recipe.
        out: results folder.
        bench: what is loaded already; left out when the plan is sent to another process.
    """

    subject: Subject
    study: Study = field(compare=False, repr=False)
    out: Path = field(compare=False)
    bench: Bench | None = field(default=None, compare=False, repr=False)

    @property
    def units(self) -> tuple[Unit, ...]:
        """All units, point by point."""
        return tuple(_bench(self).content.units())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "bench": None}


@dataclass(frozen=True)
class Result:
    """What one unit gives.

    Attributes:
        unit: unit.
        score: score of its chip.
        kept: whether its file is written already.
        warnings: what was warned of, by class.
    """

    unit: Unit
    score: Score
    kept: bool = False
    warnings: tuple[tuple[type[Warning], str], ...] = ()


def evaluate(plan: Plan, unit: Unit) -> Result:
    """Evaluate one unit.

    The result depends on the plan and the unit alone, not on the process, on other units or on
    how often it is called; nothing is written.

    Args:
        plan: plan, as `memcore.study.plan` makes it.
        unit: unit of the plan.

    Raises:
        NotFiniteError: the chip has no finite value.
        StudyError: the unit cannot be evaluated, or this process sees another study than the one
            that made the plan: other versions, code, weights or data.
    """
    bench, general = _bench(plan), plan.study.study
    point, config = bench.content.points[unit.point], bench.content.configs[unit.point]
    recipe = point.in_place
    try:
        if recipe is not None and recipe.start == "initial":
            networks = Networks(plan.study, plan.out, placed(general.device))
            model = networks.blank(chip_seed(general, unit.chip)).eval()
        else:
            model = bench.network(unit.point)
        score = evaluate_chip(
            model,
            config,
            bench.dataset,
            general,
            bench.metric,
            point.life,
            unit.chip,
            recipe,
        )
    except NotFiniteError as error:
        raise NotFiniteError(f"{point}: {error}") from error
    except MemcoreError as error:
        raise StudyError(f"{point}: {error}") from error
    return Result(unit, score)


@dataclass(frozen=True)
class Work:
    """What an executor calls for every unit: evaluates it and keeps the result.

    The file is written by the process that evaluated it where that sees the results folder, so that
    a result outlives the run that asked for it; else the run writes it.
    """

    plan: Plan

    def __call__(self, unit: Unit) -> Result:
        """Evaluate a unit, unless its file is there from an earlier attempt."""
        there = _sees_folder(self.plan) and kept(self.plan, unit)
        if there:
            return Result(unit, there, kept=True)
        result = _with_warnings(self.plan, unit)
        return replace(result, kept=_sees_folder(self.plan) and keep(self.plan, result))


def _with_warnings(plan: Plan, unit: Unit) -> Result:
    """Evaluate a unit, and take its warnings along to the run; a thread leaves them as they are."""
    if threading.current_thread() is not threading.main_thread():
        return evaluate(plan, unit)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = evaluate(plan, unit)
    told = tuple((each.category, str(each.message)) for each in caught)
    return replace(result, warnings=told)


def keep(plan: Plan, result: Result) -> bool:
    """Write the file of a result, unless the study was finished in the meantime."""
    point = _bench(plan).content.points[result.unit.point]
    mark = f".{secrets.token_hex(4)}"
    return Units(plan.out).write(point, result.unit.chip, plan.subject, result.score, mark)


def kept(plan: Plan, unit: Unit) -> Score | None:
    """The result of a unit that is in its file already."""
    point = _bench(plan).content.points[unit.point]
    return Units(plan.out).read(point, plan.subject, [unit.chip], quiet=True).get(unit.chip)


@lru_cache(maxsize=4)
def _sees_folder(plan: Plan) -> bool:
    """Whether this process sees the results folder of the run, not another one of its name."""
    record = read_json(plan.out / RESOLVED)
    return isinstance(record, dict) and record.get("identity") == plan.subject.identity


def _bench(plan: Plan) -> Bench:
    return plan.bench or _loaded(plan)


@lru_cache(maxsize=1)
def _loaded(plan: Plan) -> Bench:
    """Load what a plan needs, and make sure that it is what the plan was made of.

    Raises:
        StudyError: something differs.
    """
    general = plan.study.study
    content = described(plan.study)
    dataset = data.dataset(general.data, plan.study.folder)
    metric = metrics.metric(general.metric, plan.study.folder)
    model = Networks(plan.study, plan.out, placed(general.device)).loaded()
    identity = content.record()["identity"]
    here = Subject(identity, checkpoints.digest(model), checkpoints.digest_dataset(dataset))
    if here != plan.subject:
        words = {"identity": "plugins, code or versions", "model": "weights", "data": "data"}
        differ = [
            told
            for name, told in words.items()
            if getattr(here, name) != getattr(plan.subject, name)
        ]
        versions = ", ".join(f"{name} {each}" for name, each in environment.versions().items())
        raise StudyError(
            f"a worker on {platform.node()} has other {' and other '.join(differ)} than the run "
            f"({versions} there); expected the same environment and files for all workers"
        )
    smaller = Smaller(dataset, general.seed, placed(general.device), metric.loss)
    return Bench(model, dataset, metric, content, smaller)
