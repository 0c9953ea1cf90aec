"""Devices that are published in units of a weight: their bounds, steps and conductance."""

from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor

from memcore._tensor import as_tensor
from memcore.contracts.distributions import Distribution
from memcore.contracts.parameters import Parameter, parameter
from memcore.errors import ConfigError
from memcore.modelling.pulsed import Pulsed
from memcore.modelling.state import choose, tensor

#: Drawn steps keep their sign: they are at least this share of the mean step.
_LEAST: Final = 0.01


def _at_least(value: Any, least: float) -> Any:
    return value.clamp(min=least) if isinstance(value, Tensor) else max(value, least)


@dataclass(frozen=True, kw_only=True)
class Weighted(Pulsed):
    """Bounds, steps, asymmetry and noise as the field writes them, in units of a weight w.

        G = g_zero + g_unit w
        s_up = dw_min (gain + min(up_down, 0) + imbalance)
        s_down = dw_min (gain - max(up_down, 0) - imbalance)

    A subclass says in `change` and `flow` (or in `line`, if it is an `AffinePulsed` as well) what
    becomes of these steps away from w = 0; `scales` gives s_up or s_down for the direction of each
    cell. Distributions of `gain`, `imbalance`, `up_down`, `w_max` and `w_min` make cells differ.
    """

    dw_min: Parameter = parameter(0.01, "weight", "mean step of a pulse; a round number", above=0)
    gain: Parameter = parameter(
        1.0, "1", "factor of the steps of a cell; a distribution spreads them", above=0
    )
    up_down: Parameter = parameter(
        0.0, "1", "asymmetry: below 0 steps up are smaller, above 0 steps down are"
    )
    imbalance: Parameter = parameter(
        0.0, "1", "difference of steps up and down of a cell; usually a distribution"
    )
    w_max: Parameter = parameter(1.0, "weight", "highest position", above=0)
    w_min: Parameter = parameter(-1.0, "weight", "lowest position", at_most=0, below="w_max")
    c2c: float = parameter(
        0.0, "1", "cycle-to-cycle noise of a pulse, relative to its step", at_least=0
    )
    write_std: float = parameter(
        0.0,
        "1",
        "noise of what is read about the position, relative to dw_min; new with each pulse",
        at_least=0,
    )
    g_zero: Parameter = parameter(3e-5, "S", "conductance at w = 0; a round number", above=0)
    g_unit: Parameter = parameter(
        1e-5, "S/weight", "conductance of a weight of 1; a round number", above=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_conducting()

    def _require_conducting(self) -> None:
        device = self
        if any(isinstance(value, Distribution) for value in vars(self).values()):
            device = self.nominal()
        lowest = as_tensor(device.conductance_range()[0])
        if not lowest.is_meta and lowest.numel() and not bool((lowest > 0).all()):
            raise ConfigError(
                f"{type(self).__name__}: g_zero={self.g_zero!r}, g_unit={self.g_unit!r} and "
                f"w_min={self.w_min!r} give a lowest conductance of {float(lowest.min()):.3g} S; "
                "expected > 0: raise g_zero, or give the distribution of w_min a min"
            )

    @property
    def ends(self) -> tuple[Parameter, Parameter]:
        return self.w_min, self.w_max

    @property
    def variables(self) -> int:
        return 2 if self.write_std else 1

    @property
    def write_noise(self) -> Parameter:
        return self.dw_min * self.write_std

    @property
    def reference(self) -> Parameter:
        """The weight that is subtracted before a cell is read."""
        return 0.0

    @property
    def relative_scales(self) -> tuple[Any, Any]:
        """The scales of steps up and down over `dw_min`, at least 1 % of the mean."""
        higher = self.gain - _at_least(-self.up_down, 0.0) + self.imbalance
        lower = self.gain - _at_least(self.up_down, 0.0) - self.imbalance
        return _at_least(higher, _LEAST), _at_least(lower, _LEAST)

    def scales(self, w: Tensor, up: Tensor) -> Tensor:
        """The step s_up or s_down in the direction of each cell, > 0, in weights."""
        higher, lower = self.relative_scales
        return choose(up, higher, lower, w) * tensor(self.dw_min, w)

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        return self.c2c * self.scales(w, up)

    def conductance(self, state: Tensor) -> Tensor:
        g: Tensor = self.g_zero + self.g_unit * (self.position(state) - self.reference)
        return g

    def state_of(self, conductance: Tensor) -> Tensor:
        return self.state_at((conductance - self.g_zero) / self.g_unit + self.reference)

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        low, high = (self.g_zero + self.g_unit * (w - self.reference) for w in self.ends)
        return low, high
