"""What a run would say of crossbars, asked of one small layer before a study is written."""

import warnings
from typing import Final

import torch
from torch import nn

from memcore.contracts.forms import Count
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.walk import unique_matrices
from memcore.random import Stream
from memcore.study.chips import chip
from memcore.study.data import Dataset, Split
from memcore.study.life import Life, waiting
from memcore.study.measured import MONTH

#: What shall pass where an effect waits for a count, as a setting of `[study]`.
_PASSING: Final[dict[Count, dict[str, float]]] = {
    "seconds": {"age": MONTH},
    "cycles": {"cycles": 1e6},
    "reads": {"reads": 1e6},
}
_INPUTS: Final = 16
_SAMPLES: Final = 8


def tried(config: CrossbarConfig) -> Life:
    """Write a small layer as a run writes a network, let time pass, and read it.

    Args:
        config: the crossbars.

    Returns:
        What must pass so that no effect waits in vain; nothing if none waits.

    Raises:
        ConfigError: the parts of the configuration do not go together.
    """
    inputs = Stream(0).child("trial").normal((_SAMPLES, _INPUTS))
    split = Split(inputs, torch.zeros(_SAMPLES, dtype=torch.int64, device="cpu"))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # a run says them of the network
        network = chip(_layer(), config, Dataset(split, split), _SAMPLES, "cpu", 0)
        life = _life(network, config)
        life.pass_over(network)
        network(inputs)
    return life


def _layer() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(_INPUTS, 4)


def _life(network: nn.Module, config: CrossbarConfig) -> Life:
    if not waiting([config]):
        return Life()
    (matrix,) = unique_matrices(network)
    clocks = matrix.crossbar.cells.effects.clocks
    return Life(**{key: value for clock in clocks for key, value in _PASSING[clock].items()})
