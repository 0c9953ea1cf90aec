"""Taking out filters that carry nothing, and inputs that nothing reads."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from memcore import ArraySettings, Compressed, CompressionPass, parameter
from memcore.compression import without_unused


@dataclass(frozen=True, kw_only=True)
class RemoveUnused(CompressionPass):
    """Remove channels that are constant, or that no layer behind reads, until none is left.

    A cleared filter still emits its bias, changed by batch norm and activation; this constant goes
    into the bias of the layers behind. What the network computes stays the same. Where channels
    are added to others, all of them go or none. Ma et al., "Tiny but Accurate", ASP-DAC 2020.
    """

    borders: Literal["keep", "fold"] = parameter(
        "keep",
        "1",
        "what happens to a channel that is constant but not zero in front of zero padding, which "
        "no bias can stand for: it is kept, or folded as if there were no border",
    )

    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        del model, config, inputs
        return nn.Module()

    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        del state
        smaller, notes = without_unused(model, fold_borders=self.borders == "fold")
        return Compressed(model=smaller, notes=notes)
