"""`Memristor`: the contract of a device model."""

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor

from memcore._display import DISPLAYS
from memcore._text import hint
from memcore.contracts.contract import Contract, hookspec
from memcore.contracts.distributions import Distribution
from memcore.contracts.parameters import Parameter, Preset
from memcore.contracts.presets import PresetsBeside
from memcore.contracts.records import Context
from memcore.contracts.units import MOST_SIEMENS, too_conductive
from memcore.errors import ConfigError

#: S, below which arithmetic in single precision ends and no device is.
_LEAST = 1e-30

if TYPE_CHECKING:
    from memcore.contracts.effect import NonIdeality


class Memristor(Contract):
    """A device model: a frozen dataclass of parameters; all state lives in tensors.

    State is [k, *cells], one row per state variable, so that `x, t = state` reads like the paper.
    No method writes into its arguments. Distributions are drawn (`sample`) or replaced
    (`nominal`) before any of the others is called.
    """

    kind = "devices"
    polarity: ClassVar[int] = 1  #: sign of the voltage that SETs, that is, raises the conductance
    #: Published parameter sets by name: the device files `<module>/*.toml` beside the model, read
    #: when they are asked for; a class may give a mapping instead.
    presets: ClassVar[Mapping[str, Preset]] = PresetsBeside()  # type: ignore[assignment]
    set_pulse: ClassVar[tuple[float, float] | None] = None  #: the pulse that SETs, V and s
    reset_pulse: ClassVar[tuple[float, float] | None] = None  #: the pulse that RESETs, V and s
    #: Name of the routine that writes these cells if a configuration names none; a device whose
    #: physics is in its pulses names one that sends them.
    programmer: ClassVar[str] = "direct"

    @classmethod
    def preset(cls, name: str, **overrides: Any) -> Self:
        """The device with a published parameter set, some of it replaced by `overrides`.

        The sets are in `presets`: device files named like the preset in a folder named like the
        module of the class, `vteam/magic.toml` for `vteam.py`, or a mapping of the class.

        Raises:
            ConfigError: there is no such set, or it does not fit the device.
        """
        if name not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise ConfigError(f"{cls.__qualname__} has no preset {name!r}; it has: {known}")
        published = cls.presets[name].parameters
        names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for key in published:
            if key not in names:
                raise ConfigError(
                    f"preset {name!r} of {cls.__qualname__} sets {key!r}, which is no parameter of "
                    f"it{hint(key, names)}"
                )
        return cls(**{**published, **overrides})

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
        try:
            lowest, highest = map(float, self.nominal().conductance_range())  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
            raise ConfigError(
                f"{type(self).__name__} has no nominal range of conductances: {error}; expected "
                "parameters that are numbers or distributions, not a tensor of values"
            ) from error
        if MOST_SIEMENS < highest < math.inf:
            raise ConfigError(too_conductive(f"the conductance of {type(self).__name__}", highest))
        if not _LEAST <= lowest < highest < math.inf:
            raise ConfigError(
                f"{type(self).__name__} has conductances from {lowest:g} to {highest:g} S; "
                f"expected {_LEAST:g} S <= lowest < highest: look at its parameters, "
                "r_on < r_off for instance"
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
        return DISPLAYS["device"](self)
