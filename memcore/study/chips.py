"""Virtual chips of a network whose converters are calibrated on training images."""

import copy
import warnings

import torch
from torch import Tensor, nn

from memcore.errors import NoEffectWarning
from memcore.nn.calibration import calibrate
from memcore.nn.feeding import run
from memcore.nn.kinds import kind_of
from memcore.study.data import Dataset
from memcore.study.layered import Arrays, converted, each


def chip(
    model: nn.Module, config: Arrays, dataset: Dataset, count: int, device: str, seed: int
) -> nn.Module:
    """A memristive copy of a network, in evaluation mode; a plain one if it has no layers for it.

    Args:
        model: the digital network; left as it is.
        config: configuration of the crossbars.
        dataset: data set, of which training images set the ranges of converters.
        count: number of these images.
        device: torch device of the network.
        seed: seed of the chip.
    """
    if not any(kind_of(module) for module in model.modules()):
        return copy.deepcopy(model).eval()  # a compression has put look-ups in place of the layers
    network = converted(model, config, seed).eval()
    calibrated(network, config, dataset, count, device)
    return network


def calibrated(
    network: nn.Module, config: Arrays, dataset: Dataset, count: int, device: str
) -> None:
    """Set the ranges of the converters of a memristive network, if it has any."""
    if all(entry.dac is None and entry.adc is None for entry in each(config)):
        return
    inputs = dataset.prepare(dataset.train.images[:count].to(torch.device(device)))
    with warnings.catch_warnings():
        # Converters of a fixed range need no calibration; the file says so itself.
        warnings.filterwarnings("ignore", "no layer has a converter", NoEffectWarning)
        if isinstance(inputs, Tensor):
            calibrate(network, inputs)
        else:
            calibrate(network, [inputs], forward=run)
