"""The contracts: what a device, a non-ideality, a mapper, a programmer, a converter must offer.

Each contract is an abstract class whose methods are pluggy hook specifications. A plugin subclasses
one as an ordinary frozen dataclass; overriding a method marks it as an implementation, and pluggy
names an argument that the specification does not have. Nothing here runs in a forward pass:
`bind` resolves a plugin into plain forms or modules at conversion.

Tensors everywhere: conductances [arrays, rows, cols] in siemens, rows being word lines (inputs) and
columns bit lines (outputs). Every number is in SI units.
"""

import dataclasses
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar, Self

import pluggy
import torch
from torch import Tensor, nn

from memcore.distributions import Distribution
from memcore.errors import ConfigError
from memcore.forms import Gaussian
from memcore.layout import Layout
from memcore.parameters import Parameter, Preset
from memcore.records import Context, Cost, Events, Mapped, Programmed, Stage
from memcore.wires import Wires

PROJECT = "memcore"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, kw_only=True)
class ArrayInfo:
    """The physical arrays of one layer, handled together, never tile by tile in Python.

    Args:
        arrays: how many: tiles x slices x polarities.
        rows: word lines of one array.
        cols: bit lines of one array.
        device: the cells, with every distribution drawn: parameters are numbers or tensors
            that broadcast to [arrays, rows, cols].
        nominal: the same device with every distribution at its nominal value.
        name: the layer's qualified name.
        parts: of the weights that have arrays of their own, such as a positive and a negative one;
            the arrays of one part come one after another.
        present: S, what the cells conduct when a rewrite begins, [arrays, rows, cols]; None if they
            are fresh, and for programmers that are not `incremental`.
        stuck: S, what the cells conduct that no pulse moves, NaN for all others, [arrays, rows,
            cols]; None if there are none. Only programmers are told.
        noises: of a read of each cell. Only programmers are told, for their verify reads.
        wires: of the arrays, None if nothing that is configured has any. Only programmers are told.
        layout: where the lines lie that `wires` are about, and which parts share word lines.
        read_voltage: V, of the largest input, as configured; 0.2 V where inputs are given in V.
    """

    arrays: int
    rows: int
    cols: int
    device: "Memristor"
    nominal: "Memristor"
    name: str = ""
    parts: int = 1
    present: Tensor | None = None
    stuck: Tensor | None = None
    noises: tuple[Gaussian, ...] = ()
    wires: Wires | None = None
    layout: Layout = dataclasses.field(default_factory=Layout, compare=False)
    read_voltage: float = 0.2

    @property
    def shape(self) -> tuple[int, int, int]:
        """[arrays, rows, cols]."""
        return (self.arrays, self.rows, self.cols)

    def with_ideal_lines(self) -> "ArrayInfo":
        """The same cells in arrays whose wires take nothing and are not shared."""
        return dataclasses.replace(self, wires=None, layout=Layout())

    def read_variance(self, conductance: Tensor) -> Tensor:
        """S^2, of a read of [arrays, rows, cols] S right after writing."""
        variance = torch.zeros_like(conductance)
        now = torch.zeros((), dtype=torch.float64, device=conductance.device)
        for noise in self.noises:
            noise.settle(conductance, now)
            variance = variance + noise.variance(conductance)
        return variance


class Contract(ABC):
    """Base of the contracts; a plugin never subclasses it directly."""

    api: ClassVar[int] = 1  #: the version of the contract that a plugin was written for
    kind: ClassVar[str]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in specifications(cls):
            if name in vars(cls) and not _is_specification(vars(cls)[name]):
                hookimpl(vars(cls)[name])


def contract_of(cls: type) -> type[Contract] | None:
    """The contract that a plugin class fulfils, None if it is no plugin."""
    return next((base for base in cls.__mro__ if Contract in getattr(base, "__bases__", ())), None)


def specifications(cls: type) -> list[str]:
    """The names of the hooks of a plugin's contract."""
    contract = contract_of(cls)
    if contract is None:
        return []
    return [name for name, value in vars(contract).items() if _is_specification(value)]


def _is_specification(value: Any) -> bool:
    return inspect.isfunction(value) and hasattr(value, f"{PROJECT}_spec")


class Memristor(Contract):
    """A device model: a frozen dataclass of parameters; all state lives in tensors.

    State is [k, *cells], one row per state variable, so that `x, t = state` reads like the paper.
    No method writes into its arguments. Distributions are drawn (`sample`) or replaced
    (`nominal`) before any of the others is called.
    """

    kind = "devices"
    polarity: ClassVar[int] = 1  #: sign of the voltage that SETs, that is, raises the conductance
    presets: ClassVar[Mapping[str, Preset]] = {}  #: published parameter sets by name
    set_pulse: ClassVar[tuple[float, float] | None] = None  #: the pulse that SETs, V and s
    reset_pulse: ClassVar[tuple[float, float] | None] = None  #: the pulse that RESETs, V and s

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """The device with a published parameter set, some of it replaced by `overrides`.

        Raises:
            ConfigError: there is no such set.
        """
        if name not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise ConfigError(f"{cls.__qualname__} has no preset {name!r}; it has: {known}")
        return cls(**{**cls.presets[name].parameters, **overrides})

    @hookspec
    @abstractmethod
    def conductance(self, state: Tensor) -> Tensor:
        """Small-signal conductance, [*cells] S, finite and positive."""

    @hookspec
    @abstractmethod
    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        """The state after `dt` seconds at a constant voltage [*cells] V; stable for any dt."""

    @hookspec
    @abstractmethod
    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        """The state of fresh cells, [k, *shape]."""

    @hookspec
    @abstractmethod
    def state_of(self, conductance: Tensor) -> Tensor:
        """The state [k, *cells] with a given conductance, for ideal programming.

        A conductance outside the window of a cell gives the nearest end of the window.
        """

    @hookspec
    def pulses(self, state: Tensor, count: Tensor, ctx: Context) -> Tensor:
        """The state after `count` identical pulses [*cells], towards SET where it is positive.

        Counts may differ from cell to cell. By default `set_pulse` and `reset_pulse` are applied
        one by one, each with a context of its own; a device that knows where many pulses lead
        overrides this.

        Raises:
            NotImplementedError: the device has no `set_pulse` and `reset_pulse`.
        """
        if self.set_pulse is None or self.reset_pulse is None:
            raise NotImplementedError(
                f"{type(self).__name__} does not say what a programming pulse is; give the class "
                "set_pulse and reset_pulse = (volts, seconds), or apply step() with a voltage"
            )
        for n in range(int(count.abs().max()) if count.numel() else 0):
            for sign, (voltage, seconds) in ((1, self.set_pulse), (-1, self.reset_pulse)):
                push = torch.where(sign * count > n, voltage, 0.0).to(state.dtype)
                state = torch.where(
                    push != 0, self.step(state, push, seconds, ctx.child("pulse", n)), state
                )
        return state

    @hookspec
    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        """Current through the cell, [*cells] A; ohmic unless overridden."""
        return self.conductance(state) * voltage

    @hookspec
    def conductance_range(self) -> tuple[Parameter, Parameter]:
        """The lowest and the highest conductance in S, `1/r_off` and `1/r_on` by default."""
        values = vars(self)
        if "r_on" not in values or "r_off" not in values:
            raise NotImplementedError(
                f"{type(self).__name__} has no parameters r_on and r_off; "
                "override conductance_range()"
            )
        return 1 / values["r_off"], 1 / values["r_on"]

    def nominal_range(self) -> tuple[float, float]:
        """The lowest and the highest nominal conductance in S, which a mapper plans with."""
        lowest, highest = map(float, self.nominal().conductance_range())  # type: ignore[arg-type]
        if not 0 < lowest < highest < math.inf:
            raise ConfigError(
                f"{type(self).__name__} has conductances from {lowest:g} to {highest:g} S; "
                "expected 0 < lowest < highest: look at its parameters, r_on < r_off for instance"
            )
        return lowest, highest

    def effects(self) -> "tuple[NonIdeality, ...]":
        """What cells of this kind do by nature: programming error, drift, noise of a read.

        These act before the configured effects of the same stage, in this order.
        """
        return ()

    @hookspec
    def sample(self, shape: Sequence[int], ctx: Context) -> Self:
        """The same device with each distribution drawn per cell, [*shape]."""
        drawn = {
            field.name: value.sample(ctx.random.child(field.name), shape, device=ctx.torch_device)
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), Distribution)
        }
        return dataclasses.replace(self, **drawn) if drawn else self  # type: ignore[type-var]

    def nominal(self) -> Self:
        """The same device with each distribution replaced by its nominal value."""
        values = {
            field.name: value.nominal
            for field in dataclasses.fields(self)  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), Distribution)
        }
        return dataclasses.replace(self, **values) if values else self  # type: ignore[type-var]

    def _repr_html_(self) -> str:
        """For notebooks: the parameters with units and sources, and the loop."""
        # By name: contracts do not depend on what is shown of them.
        html: str = import_module("memcore.notebook").device_html(self)
        return html


class NonIdeality(Contract):
    """One way in which real arrays differ from ideal ones."""

    kind = "nonidealities"
    stage: ClassVar[Stage]
    #: The parameters that switch the effect off, if it can be switched off.
    neutral: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @hookspec
    @abstractmethod
    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        """Draw what is fixed for these arrays and return a form, or any module with its forward.

        By stage: PROGRAM `forward(g)`; AGE `forward(g, elapsed)`, seconds since programming or what
        an `Aging` form counts; READ `forward(g, stream)` with g
        [1 or reads, arrays, rows, cols]; MVM `forward(v, g)` with v [reads, arrays, rows], to
        currents [reads, arrays, cols]; CURRENT `forward(i, stream)`.
        `Affine`, `UniformLevels`, `Lookup` and subclasses of `Steady` take no stream in any stage.
        A product that is linear in the voltages is best an `Effective` form, which costs nothing at
        a read.
        """

    def exact(self) -> "NonIdeality | None":
        """What this approximates, if it does: `memcore.diagnose` says how well."""
        return None

    @hookspec
    def stuck_cells(self, array: ArrayInfo, ctx: Context) -> Tensor | None:
        """S of the cells that no pulse moves, NaN for all others, [arrays, rows, cols].

        None if there are none. Programmers are told, and at the end of `Stage.PROGRAM` the cells
        have these conductances whatever else acts there.
        """
        del array, ctx
        return None


class Mapper(Contract):
    """From a weight matrix to conductances and from currents back to weights."""

    kind = "mappers"

    @hookspec
    @abstractmethod
    def map(self, weight: Tensor, device: Memristor, ctx: Context) -> Mapped:
        """Target conductances of `weight` [groups, rows, cols] on the nominal `device`."""

    @hookspec
    @abstractmethod
    def combine(self, current: Tensor) -> Tensor:
        """The net current of an output from those of its parts, [parts, ...] -> [...].

        Linear: it is also applied to conductances.
        """

    @hookspec
    def decode(self, current: Tensor, mapped: Mapped) -> Tensor:
        """Currents [parts, ..., cols] per volt to outputs [..., cols] in the weight's domain."""
        return self.combine(current) * mapped.gain


class Programmer(Contract):
    """A routine that writes target conductances into cells."""

    kind = "programmers"
    #: Whether a rewrite starts from what the cells conduct, `array.present`, or from fresh cells.
    incremental: ClassVar[bool] = False
    #: Whether pulses lose voltage in the lines, `array.wires`.
    through_wires: ClassVar[bool] = False

    @hookspec
    @abstractmethod
    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        """Write `target` [arrays, rows, cols] S into the cells of `array`.

        Pulses do not move those of `array.stuck`.
        """


class Converter(Contract):
    """A DAC or an ADC."""

    kind = "converters"

    @hookspec
    @abstractmethod
    def observe(self, values: Tensor) -> Tensor | None:
        """The range to cover, [2] (lowest, highest), for values of any shape.

        A fixed range is returned whatever the values; otherwise no values give None.
        """

    @hookspec
    @abstractmethod
    def bind(self, full_scale: Tensor, ctx: Context) -> nn.Module:
        """The quantiser of a range, as a `UniformLevels` or `Lookup` form.

        Args:
            full_scale: [2], the lowest and the highest value to represent.
            ctx: for converters that differ from each other.
        """


class CostModel(Contract):
    """Energy, time and area of what the arrays did."""

    kind = "costs"

    @hookspec
    @abstractmethod
    def estimate(self, events: Events, array: ArrayInfo) -> Cost:
        """The cost of `events` on `array`; zero events cost no energy and no time."""


CONTRACTS: dict[str, type[Contract]] = {
    contract.kind: contract
    for contract in (Memristor, NonIdeality, Mapper, Programmer, Converter, CostModel)
}
