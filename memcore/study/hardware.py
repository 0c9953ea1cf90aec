"""Training the network of a study through its hardware: the table `[train.crossbar]`."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from memcore.errors import MemcoreError, StudyError
from memcore.nn.conversion import revert_
from memcore.nn.verbs import program
from memcore.random import Stream
from memcore.study.chips import calibrated
from memcore.study.data import Dataset
from memcore.study.embedding import expand_devices
from memcore.study.layered import arrays, converted, require_layers

#: Training images that set the ranges of converters before each epoch.
_CALIBRATION: Final = 128


def settled(
    crossbar: Mapping[str, Any], own: Mapping[str, Any], folder: Path, label: str
) -> dict[str, Any]:
    """The crossbars of a training: what its table says, and otherwise those of the study.

    Args:
        crossbar: table `[crossbar]`.
        own: table `[train.crossbar]`.
        folder: folder of the study file, where device files are found.
        label: name of the study in messages.

    Raises:
        StudyError: a setting does not fit.
    """
    merged = copy.deepcopy({**crossbar, **own})
    try:
        expand_devices(merged, folder)
        arrays(merged)
    except MemcoreError as error:
        raise StudyError(f"{label}: train.crossbar: {error}") from error
    return merged


@dataclass(frozen=True)
class Hardware:
    """What a network is trained through: at each step it reads cells that are written anew.

    Attributes:
        crossbar: settings of the crossbars, all of them.
        dataset: data set, of which training images set the ranges of converters.
        seed: random seed of the training.
        device: torch device to compute on.
    """

    crossbar: Mapping[str, Any]
    dataset: Dataset
    seed: int
    device: str

    def around(self, model: nn.Module) -> nn.Module:
        """A memristive copy of a digital network, which a training moves in its place."""
        config = arrays(self.crossbar)
        require_layers(model, config)
        return converted(model, config, Stream(self.seed).key_of("training", "chip"))

    def begin(self, network: nn.Module) -> None:
        """Write the present weights and find the ranges of the converters, before each epoch."""
        program(network)
        network.eval()
        calibrated(network, arrays(self.crossbar), self.dataset, _CALIBRATION, self.device)

    def take(self, model: nn.Module, network: nn.Module) -> None:
        """Give a digital network what was trained."""
        model.load_state_dict(revert_(network).state_dict())
