"""Devices that are published in units of a weight: their bounds, steps and conductance."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from memcore import ConfigError, Distribution, Parameter, parameter
from memcore_plugins.devices._parameters import number, positive, require, require_ascending
from memcore_plugins.devices._pulsed import Pulsed, choose, tensor

#: Drawn bounds and steps keep their sign: nearer to 0 than this share of their mean is redrawn.
_LEAST = 0.01


def _above(scale: Any) -> Any:
    return scale.clamp(min=_LEAST) if isinstance(scale, Tensor) else max(scale, _LEAST)


@dataclass(frozen=True, kw_only=True)
class Weighted(Pulsed):
    """Bounds, steps, asymmetry and noise as the field writes them, in units of a weight w.

    G = g_zero + g_unit w
    s_up = dw_min (gain + min(up_down, 0) + imbalance)
    s_down = dw_min (gain - max(up_down, 0) - imbalance)
    """

    dw_min: Parameter = parameter(0.01, "weight", "mean step of a pulse; a round number")
    gain: Parameter = parameter(1.0, "1", "of the steps of a cell; a distribution spreads them")
    up_down: float = parameter(0.0, "1", "asymmetry; below 0 smaller steps up, above 0 down")
    imbalance: Parameter = parameter(0.0, "1", "up minus down of a cell; a distribution")
    w_max: Parameter = parameter(1.0, "weight", "highest position, above 0")
    w_min: Parameter = parameter(-1.0, "weight", "lowest position, at most 0")
    c2c: float = parameter(0.0, "1", "noise of a pulse, cycle to cycle, over its step")
    write_std: float = parameter(
        0.0, "1", "of what is read about the position, new with each pulse; over dw_min"
    )
    g_zero: Parameter = parameter(3e-5, "S", "conductance at w = 0; a round number")
    g_unit: Parameter = parameter(1e-5, "S/weight", "conductance of a weight of 1; a round number")

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, positive, "a number > 0", ["dw_min", "gain", "w_max", "g_zero", "g_unit"])
        require(self, lambda w: w <= 0, "a number <= 0", ["w_min"])
        require(self, number, "a number", ["imbalance", "up_down"])
        require(self, lambda value: value >= 0, "a number >= 0", ["write_std"])
        require_ascending(self, "w_min", "w_max")
        self._require_conducting()

    def _require_conducting(self) -> None:
        device = self
        if any(isinstance(value, Distribution) for value in vars(self).values()):
            device = self.nominal()
        lowest = torch.as_tensor(device.conductance_range()[0])
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
    def additive(self) -> bool:
        return False

    @property
    def variables(self) -> int:
        return 2 if self.write_std else 1

    @property
    def write_noise(self) -> Parameter:
        return self.dw_min * self.write_std

    @property
    def reference(self) -> Parameter:
        """The weight that is subtracted before reading."""
        return 0.0

    @property
    def relative_scales(self) -> tuple[Any, Any]:
        """The scales of steps up and down over `dw_min`, at least 1 % of the mean."""
        higher = self.gain + min(self.up_down, 0.0) + self.imbalance
        lower = self.gain - max(self.up_down, 0.0) - self.imbalance
        return _above(higher), _above(lower)

    def scales(self, w: Tensor, up: Tensor) -> Tensor:
        """The scale of the step in the direction of each cell, > 0."""
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
