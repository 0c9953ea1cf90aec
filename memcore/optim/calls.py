"""`PulseCall`: one call of pulses, and the pieces of the arrays that take them together."""

import dataclasses
from collections.abc import Iterator
from typing import Final, NamedTuple

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.pulses import has_law
from memcore.ops.pulse_order import Draw

#: Cells that take pulses together, which stay in a cache.
_TOGETHER: Final = 1 << 17


class PulseCall(NamedTuple):
    """One call of pulses.

    Args:
        most: no cell takes more in one direction.
        call: its number, by which draws are keyed.
        ctx: context of all calls.
    """

    most: float
    call: int
    ctx: Context

    @property
    def draw(self) -> Draw:
        """What says which pulses come first."""
        return Draw(self.ctx.random.key_of("order"), self.call)

    def context_for(self, device: Memristor) -> Context:
        """That of this call."""
        if not has_law(device):
            return self.ctx.child(self.call)
        return dataclasses.replace(self.ctx, random=self.ctx.random.of_step(self.call))


def pieces(rows: int, lines: int) -> Iterator[slice]:
    """Rows of cells that take pulses together."""
    height = max(1, _TOGETHER // lines)
    for start in range(0, rows, height):
        yield slice(start, min(rows, start + height))
