"""`UpdateRule`: the contract of a way to train weights where they are, by pulses."""

from abc import abstractmethod
from typing import ClassVar, Protocol

from torch import Tensor, nn

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context


class PulsedWeights(Protocol):
    """One weight matrix [groups, outputs, inputs] on cells that pulses move."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, outputs and inputs."""

    @property
    def granularity(self) -> float:
        """Mean change of a weight by one pulse in the middle of its window, in weights."""

    def pulse(self, up: Tensor, down: Tensor) -> None:
        """Apply numbers of pulses [groups, outputs, inputs] that raise and that lower weights.

        Where a weight has both, it is drawn which come first: a pair of opposite pulses moves a
        cell whose steps up and down differ, so they are never subtracted.
        """

    def read(self, x: Tensor) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], as the arrays are read."""


class UpdateRule(Contract):
    """How inputs and errors of a layer become pulses on its cells."""

    kind = "updates"
    arrays: ClassVar[int] = 1  #: cell arrays for each weight matrix; the last one is the network's

    @hookspec
    @abstractmethod
    def bind(self, weights: tuple[PulsedWeights, ...], ctx: Context) -> nn.Module:
        """A module that trains these weights, one for each of `arrays`, with all state in buffers.

        Its `forward(x, d, lr)` takes inputs [n, groups, inputs] of n vectors, errors
        [n, groups, outputs], which are gradients of the loss with respect to the outputs, and the
        learning rate, and pulses the weights towards `w - lr * sum of d x`. Called with single
        vectors one after the other, it does what the order of the vectors asks for; called with
        many, it may sum their pulses of each direction. Draws are keyed by the number of the
        vector, so that the size of a batch makes no difference to them.
        """
