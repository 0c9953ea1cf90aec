"""Counting right answers, of the digital network and of its virtual chips."""

import warnings
from collections.abc import Callable

import torch
from torch import nn

from memcore.crossbar.config import CrossbarConfig
from memcore.errors import NoEffectWarning, StudyError
from memcore.nn.calibration import calibrate
from memcore.nn.conversion import convert
from memcore.random import Stream
from memcore.study.config import General
from memcore.study.data import Dataset, Split


def chip_seeds(general: General) -> list[int]:
    """The seed of each virtual chip; chip k is the same at every point and for any `chips`."""
    return [Stream(general.seed).child("chip", k).key for k in range(general.chips)]


@torch.no_grad()
def count_correct(model: nn.Module, dataset: Dataset, test: Split, general: General) -> int:
    """The number of images of `test` that the model labels right.

    Raises:
        StudyError: an output is not finite; an accuracy would then mean nothing.
    """
    device = torch.device(general.device)
    right = 0
    for start in range(0, len(test), general.batch):
        labels = test.labels[start : start + general.batch]
        images = test.images[start : start + general.batch].to(device)
        logits = model(dataset.prepare(images))
        if not torch.isfinite(logits).all():
            raise StudyError(
                f"the network's outputs are not finite for {len(labels)} test images; expected "
                "finite numbers: look at the weights, and at the device's conductances"
            )
        right += int((logits.argmax(1) == labels.to(device)).sum())
    return right


def evaluate_chips(
    model: nn.Module,
    config: CrossbarConfig,
    dataset: Dataset,
    general: General,
    advance: Callable[[], None] = lambda: None,
) -> list[int]:
    """The number of right answers of each virtual chip that the model is programmed onto.

    Args:
        model: the digital network, in evaluation mode; left as it is.
        config: configuration of the crossbars.
        dataset: data set, of which test images are counted; converters are calibrated on training
            images only.
        general: number of chips and their seed, samples, batch and torch device.
        advance: function that is called after each chip.
    """
    counts = []
    for seed in chip_seeds(general):
        counts.append(_evaluate_chip(model, config, dataset, general, seed))
        advance()
    return counts


def _evaluate_chip(
    model: nn.Module, config: CrossbarConfig, dataset: Dataset, general: General, seed: int
) -> int:
    chip = convert(model, config, seed=seed).eval()
    if config.dac is not None or config.adc is not None:
        images = dataset.train.images[: general.calibration].to(general.device)
        with warnings.catch_warnings():
            # Converters of a fixed range need no calibration; the file says so itself.
            warnings.simplefilter("ignore", NoEffectWarning)
            calibrate(chip, dataset.prepare(images))
    return count_correct(chip, dataset, dataset.test.head(general.samples), general)
