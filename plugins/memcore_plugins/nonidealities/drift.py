"""Conductances that fall with a power of time."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from memcore import Aging, ArrayInfo, Context, NonIdeality, Normal, Parameter, Stage, parameter
from memcore.modelling import VOLT_PER_KELVIN, drawn

_LEAST = 1e-7  #: share of g0 below which the logarithm stops


@dataclass(frozen=True, kw_only=True)
class Drift(NonIdeality):
    """Structural relaxation, a straight line in the logarithms of conductance and time:

        G(t) = G (1 + t / t0)^-nu(G),   nu(G) = nu - k ln(G / g0)

    with t since programming and an exponent of its own for each cell if nu is a distribution: it is
    drawn once, so that a cell follows one trajectory. A sum below 0 counts as 0, no drift.

    Power law: Boybat et al., NVMTS (2018), where nu is about 0.1 for the amorphous phase; how it
    falls with G: Oh et al. (2019). t0 is the time of the first read after programming: 20 s in
    Nandakumar et al., ICECS (2019), and Joshi et al., Nat. Commun. 11:2473 (2020), with nu = 0.1
    and a spread of 0.05 if the state is left out: `nu=Normal(0.1, 0.05)`. A t0 far below the first
    read (1e-12 s is found in public code) takes most of the conductance away in the first second.

    Resistive cells drift elsewhere, `towards` an end of the nominal window or its middle by the
    factor (1 + t / t0)^+-nu, and stop there. At "random" a third of the cells goes to each end and
    a third stays. Sun and Yu, IEEE J. Emerg. Sel. Topics Circuits Syst. 9:570 (2019).
    """  # noqa: D415

    stage = Stage.AGE

    nu: Parameter = parameter(
        0.1,
        "1",
        "drift exponent at the conductance g0; Boybat 2018, amorphous phase",
        at_least=0,
        at_most=100,
    )
    k: float = parameter(
        0.0, "1", "decrease of the exponent with ln G, 0 for none; Oh 2019", at_least=0, at_most=100
    )
    g0: float | None = parameter(
        None, "S", "conductance at which nu holds; None for the highest nominal one", above=0
    )
    t0: float = parameter(
        20.0, "s", "time of the first read after programming; Joshi 2020", above=0
    )
    activation: float = parameter(
        0.0,
        "eV",
        "activation energy of the drift at other temperatures; 0 for none",
        at_least=0,
        at_most=10,
    )

    towards: str | None = parameter(
        None,
        "1",
        "where conductances drift to and stop, an end or the middle of the window, or at random; "
        "None for a fall without end",
        choices=("lowest", "highest", "middle", "random"),
    )

    neutral: ClassVar = {"nu": 0.0, "k": 0.0}
    fitted: ClassVar = {"nu": Normal, "t0": None}

    def anchored(self, conductance: Tensor, window: tuple[float, float] | None) -> Self:
        """The same with a g0, the geometric mean of the cells if no device was given."""
        if self.g0 is not None:
            return self
        middle = float(conductance.log().mean().exp())
        return replace(self, g0=middle if window is None else window[1])

    @property
    def feels_temperature(self) -> bool:  # type: ignore[override]
        return self.activation > 0

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        window = array.nominal.nominal_range()
        nu = drawn(self.nu, "nu", array, ctx)
        law = _PowerLaw(self, nu, self.g0 or window[1], ctx.temperature)
        return law if self.towards is None else _Stopping(law, self._target(window, array, ctx))

    def _target(self, window: tuple[float, float], array: ArrayInfo, ctx: Context) -> Tensor:
        """Where cells stop; NaN where they stay from the beginning."""
        low, high = window
        ends = {"lowest": low, "highest": high, "middle": 0.5 * (low + high)}
        device = ctx.torch_device
        if self.towards != "random":
            return torch.tensor(ends[self.towards or "lowest"], dtype=ctx.dtype, device=device)
        draw = ctx.random.child("towards").uniform(array.shape, device=device)
        third = (3 * draw).floor().long().clamp(max=2)
        return torch.tensor([low, math.nan, high], dtype=ctx.dtype, device=device)[third]


class _PowerLaw(Aging):
    """`g (1 + t / t0)^-nu` with an exponent that falls with ln g."""

    nu: Tensor

    def __init__(self, drift: Drift, nu: Tensor, g0: float, temperature: float) -> None:
        super().__init__()
        self.register_buffer("nu", nu)
        self.k, self.g0, self.t0 = drift.k, g0, drift.t0
        self.activation, self.temperature = drift.activation, temperature

    def acceleration(self, temperature: Tensor) -> Tensor:
        colder = 1 / self.temperature - 1 / temperature
        return (colder * (self.activation / VOLT_PER_KELVIN)).exp()

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        return g * self.log_factor(g, seconds).exp()

    def log_factor(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Logarithm of the factor by which conductances fall, 0 or below."""
        nu = self.nu - self.k * (g / self.g0).clamp(min=_LEAST).log() if self.k else self.nu
        return -nu.clamp(min=0) * (seconds / self.t0).log1p().to(g.dtype)


class _Stopping(Aging):
    """The same power of time, up or down, until a target is reached."""

    target: Tensor

    def __init__(self, law: _PowerLaw, target: Tensor) -> None:
        super().__init__()
        self.law = law
        self.register_buffer("target", target)

    def acceleration(self, temperature: Tensor) -> Tensor:
        return self.law.acceleration(temperature)

    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        target = torch.where(self.target.isnan(), g, self.target.to(g.dtype))
        size = self.law.log_factor(g, seconds).exp()
        return torch.where(target < g, torch.maximum(g * size, target), (g / size).minimum(target))
