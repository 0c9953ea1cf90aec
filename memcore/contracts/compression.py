"""`CompressionPass`: the contract of what makes a network smaller, so that it fits its arrays."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.settings import ArraySettings


@dataclass(frozen=True, kw_only=True)
class Compressed:
    """What a pass made of a network.

    Args:
        model: the smaller network; may be the one that was handed in.
        notes: what was done to a layer, or why it was left, by qualified name.
    """

    model: nn.Module
    notes: Mapping[str, str] = field(default_factory=dict)


class CompressionPass(Contract):
    """One step on the way from a trained network to a smaller one.

    The training loop is the user's: `prepare` once, `penalty` added to every loss, `update` after
    every epoch, `finalize` once, and `hold` after every step of a training that follows. What a
    pass knows lies in buffers of its state, so that `state.state_dict()` is all there is to resume.
    `memcore.compress` calls all of it in this order.
    """

    kind = "compressions"

    @property
    def epochs(self) -> int:
        """Epochs of training between `prepare` and `finalize` that the pass wants."""
        return 0

    @property
    def retraining(self) -> int:
        """Epochs of training after `finalize` that the pass wants."""
        return 0

    @hookspec
    @abstractmethod
    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        """Begin: the state, a module without parameters whose buffers are all that changes.

        Args:
            model: the network, whose layers may be replaced in place.
            config: the arrays that it should fit: their shape, the levels of cells, the mapping.
            inputs: batches of typical inputs, None if there are none.
        """

    @hookspec
    def penalty(self, model: nn.Module, state: nn.Module) -> Tensor | None:
        """What to add to the loss of a batch; None, by default, for nothing."""
        del model, state
        return None

    @hookspec
    def update(self, model: nn.Module, state: nn.Module) -> dict[str, float]:
        """Look at the weights after an epoch; returns figures for a log."""
        del model, state
        return {}

    @hookspec
    @abstractmethod
    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        """End: put the network where it should be."""

    @hookspec
    def hold(self, model: nn.Module, state: nn.Module) -> None:
        """After `finalize`, put back what a step of an optimiser moved; nothing by default."""
        del model, state
