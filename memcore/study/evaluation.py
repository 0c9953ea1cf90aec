"""Judging the digital network and its virtual chips."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from memcore.errors import MemcoreError, StudyError
from memcore.random import Stream
from memcore.study.chips import chip
from memcore.study.config import General
from memcore.study.data import Dataset, Split
from memcore.study.layered import Arrays
from memcore.study.life import Life
from memcore.study.metrics import Metric, Score
from memcore.study.training import forward


def chip_seeds(general: General) -> list[int]:
    """The seed of each virtual chip; chip k is the same at every point and for any `chips`."""
    return [Stream(general.seed).child("chip", k).key for k in range(general.chips)]


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
    device = torch.device(general.device)
    for start in range(0, len(test), general.batch):
        targets = test.labels[start : start + general.batch].to(device)
        outputs = forward(model, dataset, test.images[start : start + general.batch], device)
        if not torch.isfinite(outputs).all():
            raise StudyError(
                f"the network's outputs are not finite for {len(targets)} test images; expected "
                "finite numbers: look at the weights, and at the device's conductances"
            )
        yield outputs, targets


def evaluate_chips(
    model: nn.Module,
    config: Arrays,
    dataset: Dataset,
    general: General,
    metric: Metric,
    life: Life,
    advance: Callable[[], None] = lambda: None,
) -> list[Score]:
    """What each virtual chip achieves that the model is programmed onto.

    Args:
        model: the digital network, in evaluation mode; left as it is.
        config: configuration of the crossbars.
        dataset: data set, of which test images are judged; converters are calibrated on training
            images only.
        general: number of chips and their seed, samples, batch and torch device.
        metric: metric of the study.
        life: what each chip lives through after it was written and calibrated.
        advance: function that is called after each chip.
    """
    scores = []
    for seed in chip_seeds(general):
        network = chip_of(model, config, dataset, general, seed)
        life.pass_over(network)
        test = dataset.test.head(general.samples)
        scores.append(judged(network, dataset, test, general, metric))
        advance()
    return scores


def chip_of(
    model: nn.Module, config: Arrays, dataset: Dataset, general: General, seed: int
) -> nn.Module:
    """The virtual chip of a seed, written and calibrated."""
    return chip(model, config, dataset, general.calibration, general.device, seed)
