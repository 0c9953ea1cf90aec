"""How long the training of a study will take, measured on one step before it begins."""

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from torch import nn

from memcore.study.progress import lasting
from memcore.study.training import LOG, Training

WORTH: Final = 20.0  #: seconds; what is over before is not worth a line


def tell_training(work: Training, model: nn.Module) -> None:
    """Say how long a training takes, where somebody reads it and it takes long.

    One step is timed on a copy of the network, so that the training itself sees nothing of it.

    Args:
        work: training.
        model: network before its training.
    """
    if not is_read() or work.recipe.epochs == 0:
        return
    size = work.recipe.batch
    few = replace(work.dataset, train=work.dataset.train.head(size))
    recipe = work.recipe.model_copy(update={"epochs": 1})
    short = replace(work, dataset=few, recipe=recipe, snapshot=None)
    step = second(lambda: short.run(copy.deepcopy(model)))
    tell("the training", step * work.recipe.epochs * -(-len(work.dataset.train) // size))


def is_read() -> bool:
    """Whether anybody reads what is told."""
    return LOG.isEnabledFor(logging.INFO)


def second(act: Callable[[], object]) -> float:
    """Seconds of the second of two calls: the first one pays for what is done once."""
    act()
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def tell(what: str, seconds: float) -> None:
    """Say how long something takes, if that is long."""
    if seconds >= WORTH:
        LOG.info("%s takes about %s here", what, lasting(seconds))
