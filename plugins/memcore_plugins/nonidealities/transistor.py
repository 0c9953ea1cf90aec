"""An access transistor in each cell."""

from dataclasses import dataclass

from torch import nn

from memcore import ArrayInfo, Context, NonIdeality, Parameter, Solved, Stage, circuit, parameter
from memcore.modelling import drawn


@dataclass(frozen=True, kw_only=True)
class AccessTransistor(NonIdeality):
    """1T1R cells: a transistor of square law between each memristor and its bit line.

    The circuit is solved for each read, together with the wires of `ir_drop` and the curves of
    `nonlinear_iv` where the configuration has them; `memcore.circuit.Transistor` has the formulas.
    A read takes from the conductance of a cell what its transistor resists: 1 / B (V_G - V_T) at
    small voltages. The defaults are no published transistor: give the numbers of yours.

    Inputs below 0 V lower the source of the transistors: with a gate line they open further.
    """

    stage = Stage.MVM

    gate: float = parameter(1.6, "V", "potential of the gate lines")
    follows_source: bool = parameter(
        False, "1", "whether the gate potential is against the source rather than against ground"
    )
    threshold: Parameter = parameter(0.5, "V", "threshold voltage without body effect")
    gain: Parameter = parameter(1e-3, "A/V^2", "gain mu C_ox W / L", above=0)
    modulation: float = parameter(0.0, "1/V", "channel-length modulation", at_least=0)
    body_effect: float = parameter(0.0, "V^0.5", "coefficient of the body effect", at_least=0)
    surface_potential: float = parameter(
        0.7, "V", "surface potential in strong inversion, of the body effect", above=0
    )

    @property
    def brings(self) -> frozenset[str]:
        return frozenset({"series"})

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        gate = {"gate_voltage" if self.follows_source else "gate_line": self.gate}
        transistor = circuit.Transistor(
            **gate,
            threshold=drawn(self.threshold, "threshold", array, ctx),
            gain=drawn(self.gain, "gain", array, ctx),
            modulation=self.modulation,
            body_effect=self.body_effect,
            surface_potential=self.surface_potential,
        )
        return Solved(series=transistor)
