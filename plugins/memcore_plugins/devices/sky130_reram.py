"""ReRAM of the SkyWater 130 nm process: a filament whose thickness field and heat change."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import VOLT_PER_KELVIN, advance, as_state, exp, filled, fraction, log

_LARGEST_EXPONENT: Final = 80.0  #: currents stay finite in single precision


@dataclass(frozen=True, kw_only=True)
class Sky130Reram(Memristor):
    """The current tunnels from a filament of thickness d through the oxide that is left.

        i = I1 e^(-(t_ox - d)/(t_ox - d_ref)) sinh(v/V_ref)
        dd/dt = v1 (e^(-E_g/kT + x) - e^(-E_r/kT - x)),    x = gamma (a0/t_ox) q v/kT
        gamma = gamma0 + gamma1 ((t_ox - d) / 1 nm)^3, 0 at least;    T = T0 + |v i| tau_th / C_th

    Vacancies are generated (SET, v > 0) and recombine (RESET). The state is (d - d_min) /
    (d_max - d_min), 1 at the most conductive end. Equations and defaults: Verilog-A model of
    sky130_fd_pr_reram, version 2.0.3, The SkyWater PDK Authors (2020), Apache-2.0.

    The released model integrates by the steps of its simulator and lets the temperature follow
    with tau_th = 0.23 ns; here a constant voltage is integrated in sub-steps whose rate is
    exponential in d, at the temperature of the present power. That moves the time of switching by
    about tau_th: valid for pulses of nanoseconds and longer, of cells that are formed. The cell
    alone has no compliance: in the process a transistor limits its current.
    """

    feels_temperature: ClassVar[bool | None] = False  #: but for its own parameter, T0

    I1: Parameter = parameter(6.14e-5, "A", "current scale; Verilog-A 2.0.3, I_k1", above=0)
    V_ref: Parameter = parameter(0.43, "V", "curvature of the current; Verilog-A 2.0.3", above=0)
    t_ox: Parameter = parameter(5e-9, "m", "oxide thickness; Verilog-A 2.0.3, Tox", above=0)
    d_ref: Parameter = parameter(
        4.7249e-9,
        "m",
        "thickness that sets the decay of the current; Verilog-A 2.0.3, Tfilament_ref",
        above=0,
        below="t_ox",
    )
    d_min: Parameter = parameter(
        3.3e-9,
        "m",
        "thickness at the largest resistance; Verilog-A 2.0.3, Tfilament_min",
        above=0,
        below="d_max",
    )
    d_max: Parameter = parameter(
        4.9e-9,
        "m",
        "thickness at the smallest resistance; Verilog-A 2.0.3, Tfilament_max",
        above=0,
        below="t_ox",
    )
    E_g: Parameter = parameter(
        1.501, "eV", "activation energy of generation; Verilog-A 2.0.3, Eact_generation", above=0
    )
    E_r: Parameter = parameter(
        1.5, "eV", "that of recombination; Verilog-A 2.0.3, Eact_recombination", above=0
    )
    v1: Parameter = parameter(150.0, "m/s", "velocity; Verilog-A 2.0.3, velocity_k1", above=0)
    gamma0: Parameter = parameter(
        16.5, "1", "field enhancement without oxide left; Verilog-A 2.0.3, gamma_k0", above=0
    )
    gamma1: Parameter = parameter(
        -1.25, "1", "its change with the oxide left; Verilog-A 2.0.3, gamma_k1", at_most=0
    )
    a0: Parameter = parameter(0.25e-9, "m", "atomic distance; Verilog-A 2.0.3", above=0)
    T0: Parameter = parameter(
        300.0, "K", "ambient temperature; Verilog-A 2.0.3, Temperature_0", above=0
    )
    C_th: Parameter = parameter(
        3.1825e-16, "J/K", "thermal capacitance; Verilog-A 2.0.3, C_thermal", above=0
    )
    tau_th: Parameter = parameter(
        0.23e-9, "s", "thermal time constant; Verilog-A 2.0.3, tau_thermal", at_least=0
    )
    s0: Parameter = parameter(
        0.0, "1", "state of fresh cells; Verilog-A 2.0.3, Tfilament_0 = d_min", within=(0, 1)
    )
    substeps: int = parameter(8, "1", "number of sub-steps per call", above=0)

    def thickness(self, s: Tensor) -> Tensor:
        """Thickness d in m of a normalised state."""
        return self.d_min + (self.d_max - self.d_min) * s

    def _scale(self, s: Tensor) -> Tensor:
        """Current in A at sinh = 1."""
        left = self.t_ox - self.thickness(s)
        return self.I1 * torch.exp(left * (-1 / (self.t_ox - self.d_ref)))

    def conductance(self, state: Tensor) -> Tensor:
        return self._scale(state[0]) / self.V_ref

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        y = (voltage / self.V_ref).clamp(-_LARGEST_EXPONENT, _LARGEST_EXPONENT)
        return self._scale(state[0]) * torch.sinh(y)

    def temperature(self, s: Tensor, voltage: Tensor) -> Tensor:
        """T in K of the filament once it has settled."""
        heat = self.current(s.unsqueeze(0), voltage) * (self.tau_th / self.C_th)
        return self.T0 + voltage * heat

    def _push(self, s: Tensor, voltage: Tensor) -> Tensor:
        """What the field adds to generation and takes from recombination in V, the same for both.

        With E = (E_g + E_r)/2, both terms of the rate are one: 2 v1 e^(-E/kT) sinh(push/kT).
        """
        left = (self.t_ox - self.thickness(s)) * 1e9
        gamma = (self.gamma0 + self.gamma1 * left**3).clamp(min=0)
        return gamma * (self.a0 / self.t_ox) * voltage - 0.5 * (self.E_g - self.E_r)

    def log_rate(self, s: Tensor, voltage: Tensor) -> Tensor:
        """Ln |dd/dt|, d in m; d grows where the push of the field is above 0."""
        cold = 1 / (VOLT_PER_KELVIN * self.temperature(s, voltage))
        z = self._push(s, voltage).abs() * cold
        twice_sinh = z + torch.log(-torch.expm1(-2 * z))
        return log(self.v1) - 0.5 * (self.E_g + self.E_r) * cold + twice_sinh

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        s, width = state[0], log(self.d_max - self.d_min)
        direction = self._push(s, voltage).sign() * voltage.sign().abs()
        moved = advance(
            lambda s: self.log_rate(s, voltage) - width, s, direction, dt, self.substeps
        )
        return as_state(moved.clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.s0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        part = (conductance.clamp(min=0) * self.V_ref / self.I1).log()
        d = self.t_ox + (self.t_ox - self.d_ref) * part
        return as_state(fraction(d, self.d_min, self.d_max))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        decay, top = self.t_ox - self.d_ref, self.I1 / self.V_ref
        low, high = (top * exp((d - self.t_ox) / decay) for d in (self.d_min, self.d_max))
        return low, high
