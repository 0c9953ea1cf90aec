"""Whether cells still are what pulses have left there, when a training goes on."""

from typing import NamedTuple, NoReturn

import torch
from torch import Tensor

from memcore.crossbar.cells import Cells
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError


class Left(NamedTuple):
    """What cells conduct, and their gain.

    Args:
        held: [arrays, rows, cols] S.
        gain: of the arrays.
    """

    held: Tensor
    gain: Tensor

    @classmethod
    def of(cls, cells: Cells) -> "Left":
        """Of some cells now."""
        return cls(cells.held.clone(), cells.gain.clone())

    def is_in(self, cells: Cells) -> bool:
        """Whether it is that of some cells still."""
        return torch.equal(self.held, cells.held) and torch.equal(self.gain, cells.gain)

    def put_back(self, crossbar: Crossbar) -> None:
        """Let cells conduct it, whatever their states say."""
        cells = crossbar.cells
        cells.keep()
        cells.programmed.copy_(self.held)
        cells.gain.copy_(self.gain)
        crossbar.refresh()

    def refuse(self, cells: Cells) -> NoReturn:
        """Say that cells are others than those that an optimiser has moved.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            f"the cells of {cells.name or 'the layer'} were loaded or written since the last "
            "step, and their states in the optimiser are others; expected its state of the same "
            "time, optimizer.load_state_dict(...), or a new InSitu, which goes on from these cells"
        )


def require_beside(cells: Cells, state: Tensor) -> None:
    """Refuse cells of another precision or device than their states.

    Raises:
        ConfigError: the network was moved since.
    """
    held = cells.held
    if (held.dtype, held.device) != (state.dtype, state.device):
        raise ConfigError(
            f"the cells of {cells.name or 'the layer'} became {held.dtype} on {held.device}, and "
            f"their states in the optimiser are {state.dtype} on {state.device}; expected an "
            "InSitu that is made after the network was moved"
        )
