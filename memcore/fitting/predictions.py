"""Predictions of a device for measured data, for many sets of parameters at once.

Sets of parameters become cells of one array, so that a Jacobian costs one simulation.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args, get_type_hints

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.simulate import simulate
from memcore.errors import ConfigError
from memcore.fitting.measurements import Data, IVData, PulseData, is_positive
from memcore.random import Stream

Values = Mapping[str, float]

#: Intervals between samples that differ by less than this share count as equal.
UNIFORM: Final = 0.01
_MOST_STEPS: Final = 10_000_000  #: of a resampled waveform
_FEWEST: Final = 10  #: points of a grid
_AT_ONCE: Final = 1 << 24  #: values of a record
#: What a model raises for parameters outside its range.
_REFUSED: Final = (ConfigError, ArithmeticError, ValueError)


class Model(ABC):
    """A device under the conditions of a measurement.

    Attributes:
        nominal: the device, each distribution at its nominal value.
        measured: measured values, float64 [samples].
        unit: unit of the measured values.
        notes: remarks for the user.
    """

    unit: str
    notes: tuple[str, ...] = ()

    def __init__(self, nominal: Memristor, measured: Tensor) -> None:
        self.nominal, self.measured = nominal, measured
        hints = get_type_hints(type(nominal))
        self._per_cell = {name for name, hint in hints.items() if Tensor in get_args(hint)}

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of steps of a prediction, which the memory depends on."""

    @abstractmethod
    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        """The predicted values, [samples, cells]."""

    def predict(self, rows: Sequence[Values], seed: int = 0) -> Tensor:
        """The prediction for each set of parameters, [rows, samples]; NaN if a set is refused."""
        predicted = torch.full((len(rows), len(self.measured)), torch.nan, dtype=torch.float64)
        groups: dict[tuple[float, ...], list[int]] = {}
        for index, row in enumerate(rows):
            if self.accepts(row):
                shared = tuple(v for name, v in row.items() if name not in self._per_cell)
                groups.setdefault(shared, []).append(index)
        most = max(1, _AT_ONCE // max(1, self.steps))
        for group in groups.values():
            for part in (group[k : k + most] for k in range(0, len(group), most)):
                predicted[part] = self._together([rows[i] for i in part], seed)
        return predicted

    def accepts(self, row: Values) -> bool:
        """Whether the device can have these parameters."""
        return accepts(self.nominal, row)

    def _together(self, rows: Sequence[Values], seed: int) -> Tensor:
        """Predictions for sets that differ only in what may differ from cell to cell."""
        own = {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64)
            if name in self._per_cell and len(rows) > 1
            else value
            for name, value in rows[0].items()
        }
        try:
            device = dataclasses.replace(self.nominal, **own)  # type: ignore[type-var]
            with torch.no_grad():
                return self._response(device, len(rows), seed).double().T
        except _REFUSED:
            if len(rows) == 1:
                return torch.full((1, len(self.measured)), torch.nan, dtype=torch.float64)
            return torch.cat([self._together([row], seed) for row in rows])

    def require_repeatable(self, row: Values) -> None:
        """Refuse a device that draws at random.

        Raises:
            ConfigError: naming the device.
        """
        first, other = (self.predict([row], seed) for seed in (0, 1))
        if not bool(first.isfinite().all()):
            raise ConfigError(
                f"{type(self.nominal).__name__} gives no finite {self.unit} for these data with "
                "the parameters to start from; expected a better start=..."
            )
        if not torch.equal(first, other):
            raise ConfigError(
                f"{type(self.nominal).__name__} draws at random, which cannot be fitted; set its "
                "noise to 0, for instance fixed={'c2c': 0.0}"
            )


def accepts(device: Memristor, row: Values) -> bool:
    """Whether a device can be made with some parameters replaced."""
    try:
        dataclasses.replace(device, **row)  # type: ignore[type-var]
    except _REFUSED:
        return False
    return True


class IVModel(Model):
    """The current under a measured voltage, which is held from each sample to the next one.

    Args:
        nominal: the device.
        data: measured data.
        resample: whether to accept uneven samples, with a step of their median interval, or the
            step in s.
        substeps: number of steps between two samples; with more than one the voltage changes
            linearly.
    """

    unit = "A"

    def __init__(
        self, nominal: Memristor, data: IVData, resample: bool | float, substeps: int
    ) -> None:
        super().__init__(nominal, data.measured)
        self.voltage: Tensor = data.voltage
        step, uneven = _interval(data.time, resample)
        self.dt = step / substeps
        if uneven:
            self._at = ((data.time - data.time[0]) / self.dt).round().long()
        else:
            self._at = torch.arange(len(data.time)) * substeps
        self.notes = _shared(self._at, resample)
        self._applied = _waveform(data, self.dt, self._at, uneven, substeps)

    @property
    def steps(self) -> int:
        return len(self._applied)

    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        trace = simulate(device, self._applied, self.dt, shape=(cells,), seed=seed)
        states = trace.state[self._at].movedim(1, 0)
        return device.current(states, self.voltage.view(-1, 1)).expand(-1, cells)


class PulseModel(Model):
    """The conductance after pulses.

    Args:
        nominal: the device.
        data: measured data.
    """

    unit = "S"

    def __init__(self, nominal: Memristor, data: PulseData) -> None:
        super().__init__(nominal, data.measured)
        self.count: Tensor = data.count

    @property
    def steps(self) -> int:
        return len(self.count)

    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        ctx = Context(random=Stream(seed).child("fit"))
        state = device.initial_state((cells,), ctx.child("initial")).double()
        conductances = []
        for k, count in enumerate(self.count.tolist()):
            if count:
                pulses = torch.full((cells,), int(count), dtype=torch.int64)
                state = device.pulses(state, pulses, ctx.child("pulse", k))
            conductances.append(device.conductance(state).expand(cells))
        return torch.stack(conductances)


def model_of(
    nominal: Memristor, data: Data, *, resample: bool | float = False, substeps: int = 1
) -> Model:
    """The model that predicts such data.

    Raises:
        ConfigError: the samples are uneven, or the device knows no pulses.
    """
    if isinstance(data, IVData):
        if not isinstance(substeps, int) or isinstance(substeps, bool) or substeps < 1:
            raise ConfigError(f"substeps={substeps!r}; expected an integer >= 1")
        if not isinstance(resample, bool) and not is_positive(resample):
            raise ConfigError(f"resample={resample!r}; expected True, False or seconds > 0")
        return IVModel(nominal, data, resample, substeps)
    return PulseModel(nominal, data)


def refusing_pulses(call: Callable[[], Any]) -> Any:
    """The result of a call; a device without dynamics is an error of the user.

    Raises:
        ConfigError: with what the device says.
    """
    try:
        return call()
    except NotImplementedError as error:
        raise ConfigError(f"this device cannot be fitted to such data: {error}") from None


def _interval(time: Tensor, resample: bool | float) -> tuple[float, bool]:
    """The duration of a step in s, and whether the samples are uneven."""
    step = time.diff()
    median = float(step.median())
    worst = float((step / median - 1).abs().max())
    asked = not isinstance(resample, bool)
    if worst <= UNIFORM and not asked:
        return float(time[-1] - time[0]) / len(step), False
    if not resample:
        raise ConfigError(
            f"the samples are uneven: intervals from {float(step.min()):.4g} to "
            f"{float(step.max()):.4g} s, median {median:.4g} s; expected at most "
            f"{100 * UNIFORM:g} % between them, or resample=True for steps of the median, or "
            "resample=seconds"
        )
    return float(resample) if asked else median, True


def _shared(at: Tensor, resample: bool | float) -> tuple[str, ...]:
    """Refuse a grid too coarse for the samples; say so if most of them share its points."""
    samples, points = len(at), 1 + int((at.diff() > 0).sum())
    grid = f"resample={resample!r} puts {samples} samples on {points} points of its grid"
    if points < min(_FEWEST, samples // 2 + 1):
        raise ConfigError(f"{grid}; expected fewer seconds, or True for the median interval")
    return (f"{grid}: their times are rounded to these",) if points < samples / 2 else ()


def _waveform(data: IVData, dt: float, at: Tensor, uneven: bool, substeps: int) -> Tensor:
    """The voltage of every step: the last sample's, or on the line to the next one."""
    voltage: Tensor = data.voltage
    total = int(at[-1]) + 1
    if total > _MOST_STEPS:
        raise ConfigError(
            f"{total} steps of {dt:.3g} s span these data, at most {_MOST_STEPS} may; expected a "
            "coarser resample=seconds, or a part of the record"
        )
    steps = torch.arange(total)
    if uneven or substeps == 1:
        return voltage[torch.searchsorted(at, steps, right=True) - 1]
    left = (steps // substeps).clamp(max=len(voltage) - 2)
    share = (steps - left * substeps + 0.5) / substeps
    first, second = voltage[left], voltage[left + 1]
    line: Tensor = first + (second - first) * share.clamp(max=1)
    return line
