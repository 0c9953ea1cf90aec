"""The metastable switch: many two-state switches that thermal energy and voltage flip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from memcore import Context, Memristor, Parameter, parameter
from memcore.modelling import VOLT_PER_KELVIN, as_state, filled, fraction

#: The exponential of the Schottky branch stops growing here, so that currents stay finite.
_LARGEST_EXPONENT: Final = 80.0


@dataclass(frozen=True, kw_only=True)
class Mms(Memristor):
    """A fraction x of the switches is on; each flips with a rate that the voltage biases.

        dx/dt = (P_on (1 - x) - P_off x) / tau
        P_on  = s((v - v_on) / v_T),    P_off = 1 - s((v + v_off) / v_T),    s = logistic
        i     = phi v (x / r_on + (1 - x) / r_off)
                + (1 - phi) alpha (e^(beta_f v) - e^(-beta_r v)),        v_T = k T / q

    Nugent and Molter, "AHaH computing", PLoS ONE 9:e85175 (2014), doi
    10.1371/journal.pone.0085175; all defaults as in public implementations
    of it. The Schottky branch
    has one alpha in both directions, without which the loop would not be pinched. The equation is
    linear in x, so a constant voltage is integrated exactly. With a finite number of `switches`
    their binomial noise is added (in its normal form, drawn from `ctx.random`).

    Valid for a volatile device: with the defaults x decays to 1/2 within seconds at 0 V, and a
    read at 0.1 V drives it to 0.9996. The temperature is the device's own parameter.
    """

    feels_temperature: ClassVar[bool | None] = False  #: but for its own parameter, temperature

    r_on: Parameter = parameter(
        500.0, "ohm", "resistance with all switches on", above=0, below="r_off"
    )
    r_off: Parameter = parameter(1500.0, "ohm", "resistance with all switches off", above=0)
    v_on: Parameter = parameter(0.27, "V", "voltage at which switches turn on")
    v_off: Parameter = parameter(0.27, "V", "minus the voltage at which switches turn off")
    tau: Parameter = parameter(1e-4, "s", "time constant of a switch", above=0)
    temperature: Parameter = parameter(298.5, "K", "temperature of the switches", above=0)
    phi: Parameter = parameter(
        1.0, "1", "ohmic share of the current, 1 without a Schottky branch", within=(0, 1)
    )
    alpha: Parameter = parameter(0.8e-3, "A", "scale of the Schottky current", above=0)
    beta_f: Parameter = parameter(4.0, "1/V", "forward exponent of the Schottky current", above=0)
    beta_r: Parameter = parameter(4.0, "1/V", "reverse exponent of the Schottky current", above=0)
    x0: Parameter = parameter(0.0, "1", "share of switches that are on at first", within=(0, 1))
    switches: int | None = parameter(
        None, "1", "number of switches; None for so many that they do not fluctuate", at_least=1
    )

    def conductance(self, state: Tensor) -> Tensor:
        x = state[0]
        ohmic = x / self.r_on + (1 - x) / self.r_off
        return self.phi * ohmic + self._schottky_conductance

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        x = state[0]
        ohmic = voltage * (x / self.r_on + (1 - x) / self.r_off)
        forward = (self.beta_f * voltage).clamp(max=_LARGEST_EXPONENT).expm1()
        reverse = (-self.beta_r * voltage).clamp(max=_LARGEST_EXPONENT).expm1()
        return self.phi * ohmic + (1 - self.phi) * self.alpha * (forward - reverse)

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        x = state[0]
        thermal = VOLT_PER_KELVIN * self.temperature
        on = logsigmoid((voltage - self.v_on) / thermal)
        off = logsigmoid(-(voltage + self.v_off) / thermal)
        settled = torch.sigmoid(on - off)
        kept = torch.exp(-(on.exp() + off.exp()) * dt / self.tau)
        mean = settled + (x - settled) * kept
        if self.switches is None:
            return as_state(mean)
        # Binomial: a switch that was on is on with probability p, one that was off with q.
        p, q = settled + (1 - settled) * kept, settled * (1 - kept)
        variance = (x * p * (1 - p) + (1 - x) * q * (1 - q)) / self.switches
        noise = ctx.random.normal(mean.shape, device=mean.device, dtype=mean.dtype)
        return as_state((mean + variance.clamp(min=0).sqrt() * noise).clamp(0, 1))

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return filled(shape, self.x0, ctx)

    def state_of(self, conductance: Tensor) -> Tensor:
        return as_state(fraction(conductance, *self.conductance_range()))

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        shift = self._schottky_conductance
        return self.phi / self.r_off + shift, self.phi / self.r_on + shift

    @property
    def _schottky_conductance(self) -> float | Tensor:
        return (1 - self.phi) * self.alpha * (self.beta_f + self.beta_r)
