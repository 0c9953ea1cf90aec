"""Judging the digital network and its virtual chips."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from memcore.errors import MemcoreError, NotFiniteError, StudyError
from memcore.random import Stream
from memcore.study.chips import chip
from memcore.study.config import General
from memcore.study.data import Dataset, Split
from memcore.study.in_place import InPlace, train_in_place
from memcore.study.layered import Arrays
from memcore.study.life import Life
from memcore.study.metrics import Metric, Score
from memcore.study.placement import placed
from memcore.study.training import forward


def chip_seed(general: General, number: int) -> int:
    """The seed of a virtual chip, the same at every point and for any number of chips."""
    return Stream(general.seed).key_of("chip", number)


@torch.no_grad()
def judged(
    model: nn.Module, dataset: Dataset, test: Split, general: General, metric: Metric
) -> Score:
    """What a metric says about the outputs of a network.

    Raises:
        StudyError: an output is not finite, or does not fit the targets.
    """
    try:
        return metric.judge(_outputs(model, dataset, test, general))
    except MemcoreError:
        raise
    except (RuntimeError, ValueError, TypeError, LookupError) as error:  # torch's own
        raise StudyError(
            f"the metric {metric.name!r} cannot judge these outputs: {error}; expected real "
            "numbers in the shape that it needs"
        ) from error


def _outputs(
    model: nn.Module, dataset: Dataset, test: Split, general: General
) -> Iterator[tuple[Tensor, Tensor]]:
    device = placed(general.device)
    for start in range(0, len(test), general.batch):
        targets = test.labels[start : start + general.batch].to(device)
        outputs = forward(model, dataset, test.images[start : start + general.batch], device)
        if not torch.isfinite(outputs).all():
            raise NotFiniteError(
                f"the network's outputs are not finite for {len(targets)} test images; expected "
                "finite numbers: look at the weights, and at the device's conductances"
            )
        yield outputs, targets


def evaluate_chip(
    model: nn.Module,
    config: Arrays,
    dataset: Dataset,
    general: General,
    metric: Metric,
    life: Life,
    number: int,
    in_place: InPlace | None = None,
) -> Score:
    """What a virtual chip achieves that the model is programmed onto.

    Args:
        model: the digital network, in evaluation mode; left as it is.
        config: configuration of the crossbars.
        dataset: data set, of which test images are judged; converters are calibrated on training
            images only.
        general: seed, samples, batch and torch device.
        metric: metric of the study.
        life: what the chip lives through after it was written and calibrated.
        number: number of the chip, from 0.
        in_place: how the chip is trained on its own cells before its life, if it is.
    """
    seed = chip_seed(general, number)
    network = chip_of(model, config, dataset, general, seed)
    if in_place is not None:
        train_in_place(network, dataset, in_place, seed, general.device, metric.loss)
    life.pass_over(network)
    return judged(network, dataset, dataset.test.head(general.samples), general, metric)


def chip_of(
    model: nn.Module, config: Arrays, dataset: Dataset, general: General, seed: int
) -> nn.Module:
    """The virtual chip of a seed, written and calibrated."""
    device = placed(general.device)
    return chip(model, config, dataset, general.calibration, str(device), seed)
