"""`UpdateRule`: the contract of a way to train weights where they are, by pulses."""

from abc import abstractmethod
from typing import ClassVar, Literal, Protocol

from torch import Tensor, nn

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context

#: Which cells of a weight take pulses, see `UpdateRule.pair`.
Pair = Literal["reference", "push_pull", "one_sided"]


class PulsedWeights(Protocol):
    """One weight matrix [groups, outputs, inputs] on cells that pulses move."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Groups, outputs and inputs."""

    @property
    def granularity(self) -> float:
        """Mean change of a weight by one pulse in the middle of its window, in weights.

        Where cells of different outputs have gains of their own, it is the mean of all, and rules
        are handed errors and reads in units in which it is that of each output.
        """

    def pulse(self, up: Tensor, down: Tensor, slots: int | None = None) -> None:
        """Apply numbers of pulses [groups, outputs, inputs] that raise and that lower weights.

        Where a weight has both, it is drawn which come first: a pair of opposite pulses moves a
        cell whose steps up and down differ, so they are never subtracted.

        Args:
            up: whole numbers of pulses that raise a weight.
            down: whole numbers of pulses that lower it.
            slots: time slots that they take, a SET and a RESET pulse each, or two SET pulses where
                pairs are one-sided; by default as many as the most pulses of one weight, all
                weights at the same time.
        """

    def read(self, x: Tensor) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], as the arrays are read."""

    def renew(self, share: float) -> None:
        """Reset pairs of cells of which one is close to its end, and write what they stood for.

        Cells are looked at once for it, with the age and the noise that a read finds.

        Args:
            share: of the window: a pair is renewed if its higher cell is above this share, and
                its lower cell above what is left of the window.
        """


class UpdateRule(Contract):
    """How inputs and errors of a layer become pulses on its cells."""

    kind = "updates"
    #: Cell arrays for each weight matrix, of which the last one is the network's; a rule whose
    #: parameters say how many makes it a property.
    arrays: ClassVar[int] = 1
    #: Which cells of a weight take pulses: that of an offset mapping alone (`"reference"`), both of
    #: a differential one in opposite directions (`"push_pull"`), or one of both, towards SET only
    #: (`"one_sided"`). None leaves it to the mapping.
    pair: ClassVar[Pair | None] = None

    @property
    def shares(self) -> tuple[float, ...]:
        """How much of each array the network reads: by default the last one alone.

        The last share is 1. Inputs reach all arrays whose share is not 0, and their outputs are
        added up digitally, each times its share.
        """
        return (*(0.0 for _ in range(self.arrays - 1)), 1.0)

    @property
    def counts_batches(self) -> bool:
        """Whether the module counts how often it is called, once for each step.

        Then vectors cannot be handed to it one by one, `InSitu(order="exact")` is refused.
        """
        return False

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

        If the module has a method `figures()`, a report shows the numbers that it returns by name.
        """
