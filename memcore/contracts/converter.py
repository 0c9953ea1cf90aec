"""`Converter`: the contract of a DAC or an ADC."""

from abc import abstractmethod

from torch import Tensor, nn

from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.records import Context


class Converter(Contract):
    """A DAC or an ADC."""

    kind = "converters"

    @property
    def of_all_values(self) -> bool:
        """Whether `observe` must see the values of all batches together, as quantiles do.

        Otherwise it sees one batch after another, and the ranges of all are joined.
        """
        return False

    @property
    def resolution(self) -> int:
        """Bits of one result, for costs: the parameter `bits`; 0 if there is none."""
        return int(getattr(self, "bits", 0))

    @property
    def differs(self) -> bool:
        """Whether converters differ from each other, False by default.

        Then the ADCs of each lane, or of each part, are bound on their own, with the bit lines that
        they convert in `ctx.lines`, and the form may be a `Transfer`.
        """
        return False

    @property
    def counts_open(self) -> bool:
        """Whether it tells sums of one-bit cells, for which it must know how many lines are open.

        It is an ADC then, whose `bind` is told in `ctx.unit` of the cells and returns a `Sums`
        form, whatever the range. Inputs are applied bit by bit, and `rows_at_once` of the
        configuration says how many rows a sum has.
        """
        return False

    @hookspec
    @abstractmethod
    def observe(self, values: Tensor) -> Tensor | None:
        """The range to cover, [2] (lowest, highest), for values of any shape.

        A fixed range is returned whatever the values; otherwise no values give None.
        """

    def agree(self, ranges: Tensor, gain: Tensor) -> Tensor:
        """The ranges of all lanes once each has seen its own values; as they are by default.

        Args:
            ranges: lowest and highest value of each lane, [lanes, 2].
            gain: weight for one siemens in each lane, the largest magnitude of a column, [lanes].
        """
        del gain
        return ranges

    @hookspec
    @abstractmethod
    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        """The quantiser of a range, as a `UniformLevels`, `Lookup`, `Transfer` or `Sums` form.

        Args:
            full_scale: [2], the lowest and the highest value to represent.
            ctx: for converters that differ from each other: where they draw their errors, and in
                `ctx.lines` the bit lines that they convert; None for a single one, such as a DAC.
        """
