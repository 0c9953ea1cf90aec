"""Line resistance as a quadratic profile along the bit lines."""

import warnings
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from memcore import ArrayInfo, ConfigError, Context, NoEffectWarning, NonIdeality, parameter
from memcore_plugins.nonidealities._wiring import Wiring
from memcore_plugins.nonidealities.ir_drop import IrDrop

#: ohm, of a segment; beyond, the powers of the loss are no numbers.
_MOST: Final = 1e9


@dataclass(frozen=True, kw_only=True)
class IrDropProfile(Wiring):
    """A bit line that loses voltage quadratically with the distance from its sense node.

        I_j = sum_i G_ij V_i [1 - c (1 - (1 - d_i / n)^2)],   c = a (a (0.05 a - 0.2) + 0.5)
        a = n r sum_i G_ij |V_i| / V_read

    with d_i segments of r between cell i and the sense node, n in all: the analytic model of IBM's
    aihwkit. It knows no word lines, drivers and sense resistances, and is no circuit's solution;
    `memcore.diagnose` says how far it is from one, which has all that are given. A warning names
    those that do not act on the outputs.
    """

    read_voltage: float | None = parameter(
        None,
        "V",
        "largest input voltage; None for the read_voltage of the CrossbarConfig",
        at_least=1e-9,
        at_most=1e3,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (most := max(self.resistances)) > _MOST:
            raise ConfigError(
                f"IrDropProfile: a segment of {most:g} ohm; expected at most {_MOST:g} ohm: the "
                "model is that of small losses, ir_drop has the others"
            )

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        self._warn_of_what_does_not_act()
        left = torch.arange(array.rows - 1, -1, -1, device=ctx.torch_device) / array.rows
        largest = array.read_voltage if self.read_voltage is None else self.read_voltage
        scale = array.rows * self.resistances[1] / largest
        return _Profile((1 - left).square(), scale)

    def _warn_of_what_does_not_act(self) -> None:
        idle = [name for name in ("word_line", "driver", "sense") if getattr(self, name)]
        if idle:
            warnings.warn(
                f"{', '.join(f'{name}={getattr(self, name)!r}' for name in idle)} of "
                "'ir_drop_profile' act on no output, only on what memcore.diagnose compares it "
                "with; expected segment or bit_line alone, or ir_drop, which has them",
                NoEffectWarning,
                stacklevel=3,
            )

    def exact(self) -> NonIdeality:
        word, bit = self.resistances
        return IrDrop(word_line=word, bit_line=bit, driver=self.driver, sense=self.sense)


class _Profile(nn.Module):
    gain: Tensor

    def __init__(self, gain: Tensor, scale: float) -> None:
        super().__init__()
        self.register_buffer("gain", gain.unsqueeze(-1))
        self.scale = scale

    def forward(self, v: Tensor, g: Tensor) -> Tensor:
        """Currents [reads, arrays, cols] A."""

        def product(lines: Tensor, cells: Tensor) -> Tensor:
            return (lines.unsqueeze(-2) @ cells).squeeze(-2)

        a = self.scale * product(v.abs(), g)
        c = a * (a * (0.05 * a - 0.2) + 0.5)
        return product(v, g) - c * product(v, g * (1 - self.gain))
