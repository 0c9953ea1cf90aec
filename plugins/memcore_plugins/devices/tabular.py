"""A measured device without a model: its curves of pulses or of currents, and their spread."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    NonIdeality,
    Parameter,
    Stage,
    fitting,
    parameter,
)
from memcore.fitting.curves import (
    IVFamily,
    Runs,
    curves_of,
    family_of,
    left_out,
    names_of,
    runs_of,
    tabulation_of_currents,
    tabulation_of_runs,
)
from memcore.modelling import (
    Curves,
    Family,
    FamilyProduct,
    Pulsed,
    PulseTables,
    Rows,
    deviations,
    pulse_tables,
    require_rows,
    taken,
    tensor,
)

#: Trains with noise are drawn pulse by pulse; after this many lengths of a curve they have arrived.
_LENGTHS: Final = 4
_SHORTEST: Final = 64


@dataclass(frozen=True, kw_only=True)
class Tabular(Pulsed):
    """Measured conductances after SET and RESET pulses, or measured currents, replayed.

    A pulse takes a cell along its measured curve, from wherever the cell stands: the curve is
    inverted, one place further is where the pulse leads.

        g -> LTP(LTP^-1(g) + 1)    or    LTD(LTD^-1(g) + 1)

    LTP and LTD are means over cycles, made monotone by centred isotonic regression where they were
    not (`departure` says how far that was); straight lines between pulses, and beyond the ends with
    the last step, up to the ends of the window: the lowest and the highest conductance of the two.

    Cells differ as the measured devices do: each is one of them for life, drawn with equal chance
    (`d2d`); the mean of all is what mappers plan with. Pulses differ by a normal draw whose
    deviation was measured over the window, less what reads add to it (`c2c` times `std_set` or
    `std_reset`); it is drawn pulse by pulse, also for many pulses at once, up to four times the
    measured train, after which cells have arrived where they stay. `read_std` and `departure` are
    a record and change nothing.

    With `iv_current`, the current of a cell is interpolated between measured curves; its
    conductance is that at `read_voltage`. Arrays are then read with these curves (the effect
    `measured_curves`), and refuse voltages beyond the measured ones; `current` keeps I/V there.
    Without pulses in the data no voltage moves a cell, and `direct` writes it.

    `Tabular.from_pulses`, `Tabular.from_iv` and `memcore.fit("tabular", ...)` make one of data. The
    default curves are an illustration. The state is the place in a cell's own window.
    """

    ltp: Rows = parameter(
        ((1e-5, 3.1e-5, 4.7e-5, 6e-5, 7e-5, 7.8e-5, 8.5e-5, 9.1e-5, 9.6e-5, 1e-4),),
        "S",
        "conductance before and after each SET pulse, a row for each device; illustration",
    )
    ltd: Rows = parameter(
        ((1e-4, 7.2e-5, 5.2e-5, 3.8e-5, 2.8e-5, 2.1e-5, 1.7e-5, 1.4e-5, 1.2e-5, 1e-5),),
        "S",
        "conductance before and after each RESET pulse, a row for each device; illustration",
    )
    std_set: tuple[float, ...] = parameter(
        (),
        "S",
        "standard deviation of a SET pulse at equally spaced conductances of the window",
        at_least=0,
    )
    std_reset: tuple[float, ...] = parameter(
        (), "S", "standard deviation of a RESET pulse, likewise", at_least=0
    )
    iv_voltage: tuple[float, ...] = parameter(
        (), "V", "voltages of the measured currents, ascending, 0 among them"
    )
    iv_current: Rows = parameter(
        (), "A", "measured currents, a row for each state by ascending conductance"
    )
    read_voltage: float = parameter(
        0.2, "V", "voltage at which currents tell the conductance; a round number"
    )
    x0: Parameter = parameter(0.0, "1", "position of fresh cells, 0 at the lowest conductance")
    c2c: float = parameter(1.0, "1", "factor of the deviation of pulses; 0 for none")
    d2d: bool = parameter(
        True, "1", "whether each cell is one of the measured devices, or all are their mean"
    )
    read_std: float = parameter(
        0.0, "S", "standard deviation of a read in the data; a record without effect", at_least=0
    )
    departure: float = parameter(
        0.0,
        "1",
        "rms distance of the data from monotone curves, over the window; a record without effect",
        at_least=0,
    )
    which: Tensor | None = parameter(
        None, "1", "index of the measured device that each cell is; drawn"
    )

    _tables: ClassVar[PulseTables | None] = None
    _family: ClassVar[Family | None] = None
    _std: ClassVar[tuple[Curves, ...]] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("std_set", "std_reset", "iv_voltage"):
            self._set(name, _numbers(name, getattr(self, name)))
        for name in ("ltp", "ltd", "iv_current"):
            rows = getattr(self, name)
            rows = rows if isinstance(rows, Iterable) else (rows,)
            self._set(name, tuple(_numbers(name, row) for row in rows))
        require_rows(self.ltp, "ltp")
        require_rows(self.ltd, "ltd", falling=True)
        if len(self.ltp) != len(self.ltd):
            raise ConfigError(
                f"Tabular: {len(self.ltp)} rows of ltp and {len(self.ltd)} of ltd; expected one of "
                "each for every device"
            )
        if not self.ltp and not self.iv_current:
            raise ConfigError("Tabular: neither ltp and ltd nor iv_current; expected measured data")
        self._set("_std", deviations(self.std_set, self.std_reset))
        if self.ltp:
            self._set("_tables", pulse_tables(self.ltp, self.ltd))
        if self.iv_current or self.iv_voltage:
            self._set("_family", Family.of(self.iv_voltage, self.iv_current, self.read_voltage))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    # -- of data -----------------------------------------------------------------------------------

    @classmethod
    def from_pulses(cls, ltp: Tensor, ltd: Tensor, **parameters: Any) -> Self:
        """The device of measured runs of pulses.

        With several cycles of a device the deviation of pulses is known, too; with one only the
        curve is, and cycle-to-cycle spread counts as device-to-device spread.

        Args:
            ltp: S before the first SET pulse and after each, [devices, cycles, pulses + 1], or
                without the first one or two dimensions if there is one device or one cycle. NaN
                where nothing was read.
            ltd: the same of RESET pulses, whose number may differ.
            parameters: `v_set`, `t_set` and others.

        Raises:
            ConfigError: the data do not fit.
        """
        return cls(**{**curves_of(Runs.of(ltp, ltd))._asdict(), **parameters})

    @classmethod
    def from_iv(
        cls, voltage: Tensor, current: Tensor, *, read_voltage: float, **parameters: Any
    ) -> Self:
        """The device of currents measured in several states.

        Voltages of one sign only: the other side is taken as the mirror image.

        Args:
            voltage: V, [samples], or [states, samples] if they differ.
            current: A, [states, samples].
            read_voltage: V, at which the current tells the conductance.
            parameters: others.

        Raises:
            ConfigError: the data do not fit.
        """
        made = _of_currents(IVFamily.of(voltage, current, read_voltage))
        return cls(**{**made, "read_voltage": read_voltage, **parameters})

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        columns: Mapping[str, str],
        units: Mapping[str, str],
        dialect: fitting.Dialect | None = None,
        **parameters: Any,
    ) -> Self:
        """The device of a text file, as `memcore.fit` reads it.

        Args:
            path: path of the file.
            columns: headings by meaning: direction, and conductance, resistance or current,
                perhaps pulse and device; or ltp and ltd; or voltage, current and curve.
            units: units by meaning, such as `{"conductance": "uS"}`; none is guessed.
            dialect: how the file is written; None for commas and decimal points.
            parameters: `v_set`, `t_set`, `read_voltage` and others.

        Raises:
            ConfigError: a column, a unit or a number is missing or does not fit.
        """
        written = vars(dialect) if dialect is not None else {}
        volts = parameters.get("read_voltage")
        records = fitting.load_records(path, columns, units, volts, **written)
        made = cls(**parameters).tabulated(records).device
        assert isinstance(made, cls)
        return made

    def tabulated(self, records: fitting.Records) -> fitting.Tabulation:
        """What `memcore.fit` asks for: this device with the records in place of its curves."""
        pulses = [record for record in records if isinstance(record, fitting.PulseData)]
        if pulses:
            runs = runs_of(pulses)
            known = curves_of(runs, names_of(pulses))._asdict()
            made = dataclasses.replace(self, **known, iv_voltage=(), iv_current=())
            told = tabulation_of_runs(made, runs, made._tables_of_pulses(), made.departure)
            return dataclasses.replace(told, warnings=(*left_out(pulses), *told.warnings))
        curves = [record for record in records if isinstance(record, fitting.IVCurve)]
        if not curves:
            raise ConfigError(
                "Tabular takes pulses or currents over voltages; for conductances of two states "
                "expected the device on_off"
            )
        measured = family_of(curves, self.read_voltage)
        made = dataclasses.replace(self, **_of_currents(measured), std_set=(), std_reset=())
        family = made._family_of_currents()
        return tabulation_of_currents(
            made, curves, family, self.read_voltage, mirrored=measured.mirrored
        )

    @property
    def programmer(self) -> str:  # type: ignore[override]
        """Pulses, if any were measured."""
        return "direct" if self._tables is None else super().programmer

    # -- the window --------------------------------------------------------------------------------

    def conductance_range(self) -> tuple[Parameter, Parameter]:
        if self._tables is None:
            return self._family_of_currents().window
        if self.which is None:
            return self._tables.window
        return taken(self._tables.low, self.which), taken(self._tables.high, self.which)

    def current(self, state: Tensor, voltage: Tensor) -> Tensor:
        g = self.conductance(state)
        if self._family is None:
            return g * voltage
        return self._family.at(g, voltage + torch.zeros_like(g))

    def effects(self) -> tuple[NonIdeality, ...]:
        return (MeasuredCurves(cell=self),) if self._family is not None else ()

    def sample(self, shape: Sequence[int], ctx: Context) -> Self:
        drawn = super().sample(shape, ctx)
        if not self.d2d or len(self.ltp) < 2:
            return drawn
        draw = ctx.random.child("which").uniform(shape, device=ctx.torch_device)
        which = (draw * len(self.ltp)).long().clamp(max=len(self.ltp) - 1)
        return dataclasses.replace(drawn, which=which)

    def nominal(self) -> Self:
        plan = super().nominal()
        return dataclasses.replace(plan, d2d=False) if self.d2d and len(self.ltp) > 1 else plan

    # -- pulses ------------------------------------------------------------------------------------

    @property
    def additive(self) -> bool:
        return True

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        tables = self._tables_of_pulses()
        curves = tables.curves.to(w)
        which = tables.mean if self.which is None else self.which
        row = which + torch.where(up, 0, len(tables.low))
        come = torch.where(up, w, 1 - w)
        moved = curves.at(row, curves.place(row, come) + count).clamp(max=1)
        return torch.where(up, moved, 1 - moved)

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        return self.flow(w, up, torch.ones_like(w)) - w

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        low, high = (tensor(end, w) for end in self.conductance_range())
        rising, falling = (
            curve.to(w).at(0, w.clamp(0, 1) * (curve.values.shape[1] - 1)) for curve in self._std
        )
        return self.c2c * torch.where(up, rising, falling) / (high - low)

    @property
    def noisy(self) -> bool:
        return self.c2c > 0 and any(std > 0 for std in (*self.std_set, *self.std_reset))

    @property
    def most_pulses(self) -> float:
        longest = self._longest  # also refuses pulses where none were measured
        return longest if self.noisy else inf

    @property
    def singles(self) -> int:  # type: ignore[override]
        """All pulses, if they are noisy: what a pulse adds depends on where it begins."""
        return self._longest if self.noisy else 0

    @property
    def _longest(self) -> int:
        return max(_SHORTEST, _LENGTHS * self._tables_of_pulses().curves.values.shape[1])

    def _tables_of_pulses(self) -> PulseTables:
        if self._tables is None:
            raise NotImplementedError(
                "this Tabular holds currents only and no voltage moves it; write it with "
                "programmer='direct', or measure its pulses"
            )
        return self._tables

    def _family_of_currents(self) -> Family:
        assert self._family is not None  # `__post_init__` wants pulses or currents
        return self._family


@dataclass(frozen=True, kw_only=True)
class MeasuredCurves(NonIdeality):
    """Cells whose currents are interpolated between the measured curves."""

    stage = Stage.MVM
    cell: Tabular = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del array
        return FamilyProduct(self.cell._family_of_currents()).to(ctx.torch_device)


def _numbers(name: str, values: Any) -> tuple[float, ...]:
    try:
        return tuple(map(float, values))
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"Tabular: {name}={values!r:.80}; expected rows of numbers") from None


def _of_currents(family: IVFamily) -> dict[str, Any]:
    """Parameters of a device of measured currents."""
    return {
        "ltp": (),
        "ltd": (),
        "iv_voltage": family.voltage,
        "iv_current": family.current,
        "departure": family.departure,
    }
