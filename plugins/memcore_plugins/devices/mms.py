"""The metastable switch: many two-state switches that thermal energy and voltage flip."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from memcore import ConfigError, Context, Memristor, Parameter, parameter
from memcore_plugins.devices._parameters import (
    as_state,
    filled,
    fraction,
    number,
    positive,
    require,
    require_ascending,
    unit_interval,
)

VOLT_PER_KELVIN: Final = 1.380649e-23 / 1.602176634e-19  #: k/q

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
    10.1371/journal.pone.0085175; defaults as in public implementations of it. The Schottky branch
    has one alpha in both directions, without which the loop would not be pinched. The equation is
    linear in x, so a constant voltage is integrated exactly. With a finite number of `switches`
    their binomial noise is added (in its normal form, drawn from `ctx.random`).

    Valid for a volatile device: with the defaults x decays to 1/2 within seconds at 0 V, and a
    read at 0.1 V drives it to 0.9996. The temperature is the device's own parameter.
    """

    r_on: Parameter = parameter(500.0, "ohm", "all switches on; public implementations")
    r_off: Parameter = parameter(1500.0, "ohm", "all switches off; public implementations")
    v_on: Parameter = parameter(0.27, "V", "voltage of turning on; public implementations")
    v_off: Parameter = parameter(0.27, "V", "minus the voltage of turning off; same")
    tau: Parameter = parameter(1e-4, "s", "time constant; public implementations")
    temperature: Parameter = parameter(298.5, "K", "of the switches; public implementations")
    phi: Parameter = parameter(1.0, "1", "ohmic part of the current, 1 without Schottky branch")
    alpha: Parameter = parameter(0.8e-3, "A", "Schottky amplitude; public implementations")
    beta_f: Parameter = parameter(4.0, "1/V", "Schottky exponent forward; public implementations")
    beta_r: Parameter = parameter(4.0, "1/V", "Schottky exponent reverse; public implementations")
    x0: Parameter = parameter(0.0, "1", "part of the switches that is on in fresh cells")
    switches: int | None = parameter(
        None, "1", "how many; None: so many that they do not fluctuate"
    )

    def __post_init__(self) -> None:
        names = ["r_on", "r_off", "tau", "temperature", "alpha", "beta_f", "beta_r"]
        require(self, positive, "a number > 0", names)
        require(self, unit_interval, "a number in [0, 1]", ["x0", "phi"])
        require(self, number, "a number", ["v_on", "v_off"])
        require_ascending(self, "r_on", "r_off")
        if self.switches is not None and self.switches < 1:
            raise ConfigError(f"Mms: switches={self.switches!r}; expected a number >= 1 or None")

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
