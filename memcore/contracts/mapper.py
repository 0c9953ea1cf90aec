"""`Mapper`: the contract of the way from weights to conductances and back."""

from abc import abstractmethod

from torch import Tensor

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context, Mapped


class Mapper(Contract):
    """From a weight matrix to conductances and from currents back to weights."""

    kind = "mappers"

    @hookspec
    @abstractmethod
    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        """Target conductances of `weight` [groups, rows, cols] on the nominal `device`."""

    @hookspec
    @abstractmethod
    def combine(self, current: Tensor) -> Tensor:
        """The net current of an output from those of its parts, [parts, ...] -> [...].

        Linear: it is also applied to conductances.
        """

    @hookspec
    def decode(self, current: Tensor, mapped: Mapped) -> Tensor:
        """Currents [parts, ..., cols] per volt to outputs [..., cols] in the weight's domain."""
        return self.combine(current) * mapped.gain
