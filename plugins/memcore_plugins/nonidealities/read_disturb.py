"""Reads that move the cells."""

import copy
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from memcore import (
    Aging,
    ArrayInfo,
    ConfigError,
    Context,
    Memristor,
    NoEffectWarning,
    NonIdeality,
    Stage,
    parameter,
)

#: Reads after which a cell that moves at all has moved.
_MANY = 1e12


@dataclass(frozen=True, kw_only=True)
class ReadDisturb(NonIdeality):
    """Each read is a weak pulse on every cell: n reads are one pulse of n times their duration,

        x = x(G),   x' = step(x, voltage, n duration),   G' = G + G(x') - G(x)

    with the dynamics of the device itself. Reads are told by `memcore.age(model, reads=n)`;
    programming the cells again starts the count again. All cells are taken to see the full voltage
    at every read, the worst case; its sign counts, for reads that SET or that RESET.

    A device with a threshold above the voltage does not move, and a `NoEffectWarning` says so. One
    without dynamics needs `rate`: then each read takes this share of the way that is left to the
    end of the cell's window, G' = G_end + (G - G_end) exp(-n rate). No published rate is general.
    """  # noqa: D415

    stage = Stage.AGE

    voltage: float | None = parameter(
        None,
        "V",
        "voltage of a read; None for the read_voltage of the CrossbarConfig",
        within=(-100, 100),
    )
    duration: float = parameter(
        1e-7, "s", "duration of a read; a round number", at_least=0, at_most=1e3
    )
    rate: float | None = parameter(
        None,
        "1",
        "share of the remaining way that each read takes, instead of the dynamics",
        at_least=0,
    )
    towards: Literal["lrs", "hrs"] = parameter(
        "lrs", "1", "end of the window to which `rate` leads"
    )

    neutral: ClassVar = {"duration": 0.0, "rate": None}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate is None and self.towards != "lrs":
            raise ConfigError(
                f"ReadDisturb: towards={self.towards!r} without rate=; the dynamics of a device "
                "lead where the sign of the voltage does: give rate=, or the opposite voltage"
            )

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        if self.rate is not None:
            low, high = array.device.conductance_range()
            end = high if self.towards == "lrs" else low
            to = torch.as_tensor(end, dtype=ctx.dtype, device=ctx.torch_device)
            return _Relaxing(to.clone(), self.rate)
        voltage = array.read_voltage if self.voltage is None else self.voltage
        self._warn_if_nothing_moves(voltage, array, ctx)
        return _Pulsed(array.device, voltage, self.duration, ctx)

    def _warn_if_nothing_moves(self, voltage: float, array: ArrayInfo, ctx: Context) -> None:
        low, high = array.nominal.nominal_range()
        g = torch.linspace(low, high, 5, dtype=torch.float64, device="cpu")
        state = array.nominal.state_of(g)
        volts = torch.full_like(g, voltage)
        try:
            after = array.nominal.step(state, volts, _MANY * self.duration, ctx)
        except NotImplementedError as error:
            raise ConfigError(
                f"read_disturb: {type(array.device).__name__} has no pulse dynamics; give rate=, "
                "the share of the way to `towards` that a read takes, or use a dynamic device such "
                "as 'yakopcic'"
            ) from error
        before = array.nominal.conductance(state)
        if torch.equal(array.nominal.conductance(after), before):
            warnings.warn(
                f"read_disturb: {voltage:g} V do not move a {type(array.device).__name__}, "
                "however often it is read; the effect has none",
                NoEffectWarning,
                stacklevel=3,
            )


class _Relaxing(Aging):
    """`end + (g - end) exp(-rate reads)`."""

    clock = "reads"
    end: Tensor

    def __init__(self, end: Tensor, rate: float) -> None:
        super().__init__()
        self.register_buffer("end", end)
        self.rate = rate

    def forward(self, g: Tensor, reads: Tensor) -> Tensor:
        moved = -(-self.rate * reads).expm1().to(g.dtype)
        return g + (self.end.to(g.dtype) - g) * moved


class _Pulsed(Aging):
    """One pulse as long as all reads together.

    The tensors of a sampled device are buffers here, so that they follow `.to()`.
    """

    clock = "reads"

    def __init__(self, device: Memristor, voltage: float, duration: float, ctx: Context) -> None:
        super().__init__()
        self.device = copy.copy(device)
        self.voltage, self.duration, self.ctx = voltage, duration, ctx
        self.names = tuple(name for name, v in vars(device).items() if isinstance(v, Tensor))
        for name in self.names:
            self.register_buffer(f"cell_{name}", getattr(device, name), persistent=False)
            object.__setattr__(self.device, name, None)

    def forward(self, g: Tensor, reads: Tensor) -> Tensor:
        device = copy.copy(self.device)
        for name in self.names:
            object.__setattr__(device, name, getattr(self, f"cell_{name}"))
        span: Any = self.duration * reads
        if not (torch.compiler.is_compiling() or reads.is_meta):
            span = float(span)
        before = device.state_of(g)
        after = device.step(before, torch.full_like(g, self.voltage), span, self.ctx)
        moved = device.conductance(after) - device.conductance(before)
        return (g + moved).clamp(min=0).to(g.dtype)
