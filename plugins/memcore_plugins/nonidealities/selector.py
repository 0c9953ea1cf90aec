"""An exponential selector in each cell."""

from dataclasses import dataclass

from torch import nn

from memcore import ArrayInfo, Context, NonIdeality, Parameter, Solved, Stage, circuit, parameter
from memcore.modelling import drawn


@dataclass(frozen=True, kw_only=True)
class ExponentialSelector(NonIdeality):
    """1S1R cells: a selector I = I0 sinh(U / V0) in series with each memristor.

    The circuit is solved for each read, together with the wires of `ir_drop` and the curves of
    `nonlinear_iv` where the configuration has them. Reads lose to the selector what it needs to
    carry their current, V0 asinh(I / I0). The defaults are no published selector: give the numbers
    of yours, or those of `memcore.circuit.Selector.from_half_bias_ratio`.
    """

    stage = Stage.MVM

    i0: Parameter = parameter(1e-6, "A", "scale I0 of the current", above=0)
    v0: Parameter = parameter(0.03, "V", "scale V0 of the voltage", above=0)

    @property
    def brings(self) -> frozenset[str]:
        return frozenset({"series"})

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        selector = circuit.Selector(
            i0=drawn(self.i0, "i0", array, ctx), v0=drawn(self.v0, "v0", array, ctx)
        )
        return Solved(series=selector)
