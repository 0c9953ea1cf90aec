"""Predictions of a device for measured data, for many sets of parameters at once.

Sets of parameters become cells of one array, so that a Jacobian costs one simulation.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, get_args, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore.contracts import ranges
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.load import Load
from memcore.dynamics.simulate import Repeated
from memcore.errors import ConfigError
from memcore.fitting.measurements import Data, IVData, PulseData, is_positive
from memcore.fitting.waveform import Conditions, interval, shared, waveform
from memcore.random import Stream

Values = Mapping[str, float]
Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Columns = Mapping[str, Numbers]

_STRAIGHT: Final = 4  #: steps between two samples on a straight line, at most
_FINE: Final = 1000  #: samples from which one step between two is enough
_HANDICAP: Final = 10.0  #: of held voltages
_AT_LIMIT: Final = 0.01  #: share by which a current may be below a limit that it is at
_SAME: Final = 1e-6  #: relative difference below which two predictions are one
_AT_ONCE: Final = 1 << 24  #: values of a record
#: What a model raises for parameters outside its range.
_REFUSED: Final = (ConfigError, ArithmeticError, ValueError)


class Model(ABC):
    """A device under the conditions of a measurement.

    Attributes:
        nominal: the device, each distribution at its nominal value.
        measured: measured values, float64 [samples].
        unit: unit of the measured values.
        compared: which samples count, bool [samples].
        notes: remarks for the user.
    """

    unit: str
    #: Variances of a sample by which it must be better than others, to be taken.
    handicap = 0.0
    costly = False  #: whether a prediction takes far longer than the steps of the device
    #: Whether parameters that compensate for each other may lead to another valley, as behind a
    #: threshold, so that it is worth to walk along them.
    winding = False
    notes: tuple[str, ...] = ()

    def __init__(self, nominal: Memristor, measured: Tensor) -> None:
        self.nominal, self.measured = nominal, measured
        self.compared = torch.ones_like(measured, dtype=torch.bool)
        hints = get_type_hints(type(nominal))
        self._per_cell = {name for name, hint in hints.items() if Tensor in get_args(hint)}

    def swift(self) -> "Model":
        """A model of the same data that is less exact and faster."""
        return self

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of steps of a prediction, which the memory depends on."""

    @abstractmethod
    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        """The predicted values, [samples, cells]."""

    def predict(self, rows: Sequence[Values], seed: int = 0) -> Tensor:
        """The prediction for each set of parameters, [rows, samples]; NaN if a set is refused."""
        names = rows[0] if rows else ()
        columns = {name: np.array([row[name] for row in rows]) for name in names}
        return self.predict_columns(columns, len(rows), seed)

    def predict_columns(self, columns: Columns, count: int, seed: int = 0) -> Tensor:
        """The same of a number of sets, whose values of each parameter are a column [rows]."""
        within = self._within(columns, count)
        groups = self._groups(columns, np.flatnonzero(within))
        most = max(1, _AT_ONCE // max(1, self.steps))
        if within.all() and len(groups) == 1 and count <= most:
            return self._together(columns, count, seed)
        predicted = self._refused(count)
        for group in groups:
            for part in (group[k : k + most] for k in range(0, len(group), most)):
                found = self._together(_rows(columns, part), len(part), seed)
                predicted[torch.from_numpy(part)] = found
        return predicted

    def _refused(self, count: int) -> Tensor:
        """Predictions of sets that the device refuses."""
        size = (count, len(self.measured))
        return torch.full(size, torch.nan, dtype=torch.float64, device="cpu")

    def _groups(self, columns: Columns, rows: Indices) -> list[Indices]:
        """Those of some sets that are alike in what may not differ from cell to cell."""
        alike = [column[rows] for name, column in columns.items() if name not in self._per_cell]
        if not len(rows) or all((column == column[0]).all() for column in alike):
            return [rows] if len(rows) else []
        groups: dict[tuple[float, ...], list[int]] = {}
        for row, values in zip(rows.tolist(), np.stack(alike, 1).tolist(), strict=True):
            groups.setdefault(tuple(values), []).append(row)
        return [np.array(group) for group in groups.values()]

    def accepts(self, row: Values) -> bool:
        """Whether the device can have these parameters."""
        return accepts(self.nominal, row)

    def _within(self, columns: Columns, count: int) -> npt.NDArray[np.bool_]:
        """Whether the parameters of each set are in their ranges, also as far as these are others.

        What a device checks of parameters together it does when the whole group is made.
        """
        if not columns or not count:
            return np.ones(count, dtype=bool)
        return ranges.within(self.nominal, columns)

    def _together(self, columns: Columns, count: int, seed: int) -> Tensor:
        """Predictions for sets that differ only in what may differ from cell to cell."""
        own = {
            name: torch.from_numpy(column)
            if name in self._per_cell and count > 1
            else float(column[0])
            for name, column in columns.items()
        }
        try:
            device = dataclasses.replace(self.nominal, **own)  # type: ignore[type-var]
            with torch.no_grad():
                return self._response(device, count, seed).double().T
        except _REFUSED:
            return self._one_by_one(columns, count, seed)

    def _one_by_one(self, columns: Columns, count: int, seed: int) -> Tensor:
        """The same where some sets are refused: the others together, NaN for these."""
        predicted = self._refused(count)
        if count == 1:
            return predicted
        single = [_rows(columns, np.array([k])) for k in range(count)]
        accepted = [
            k for k in range(count) if self.accepts({n: float(v[0]) for n, v in single[k].items()})
        ]
        if len(accepted) < count:
            if accepted:
                some = _rows(columns, np.array(accepted))
                predicted[accepted] = self._together(some, len(accepted), seed)
            return predicted
        return torch.cat([self._together(row, 1, seed) for row in single])

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


def _rows(columns: Columns, rows: Indices) -> dict[str, Numbers]:
    """Some of the sets."""
    return {name: column[rows] for name, column in columns.items()}


def accepts(device: Memristor, row: Values) -> bool:
    """Whether a device can be made with some parameters replaced."""
    try:
        dataclasses.replace(device, **row)  # type: ignore[type-var]
    except _REFUSED:
        return False
    return True


class IVModel(Model):
    """The current under a measured voltage.

    Args:
        nominal: the device.
        data: measured data.
        resample: whether to accept uneven samples, with a step of their median interval, or the
            step in s.
        conditions: what happens between two samples.
    """

    unit = "A"
    winding = True

    def __init__(
        self, nominal: Memristor, data: IVData, resample: bool | float, conditions: Conditions
    ) -> None:
        super().__init__(nominal, data.measured)
        self.voltage: Tensor = data.voltage
        self.compared = data.compared
        self.conditions = conditions
        self._given = data, resample
        lowered = conditions.limit if conditions.lowered else None
        self._load = Load(conditions.series, lowered)
        self.costly = conditions.lowered
        # A staircase moves thresholds by up to one of its steps.
        self.handicap = 0.0 if conditions.linear else _HANDICAP
        step, uneven = interval(data.time, resample)
        self.dt = step / conditions.substeps
        if uneven:
            self._at = ((data.time - data.time[0]) / self.dt).round().long()
        else:
            self._at = torch.arange(len(data.time), device="cpu") * conditions.substeps
        self._uneven = uneven
        self.notes = shared(self._at, resample)
        self._applied = waveform(data, self.dt, self._at, uneven, conditions)
        # Of even samples no other states are recorded than those at the samples.
        every = 1 if uneven else conditions.substeps
        self._simulated = Repeated(self._applied, self.dt, stride=every, load=self._load)
        if conditions.limit is not None:
            self.compared = data.compared & (
                data.current.abs() < (1 - _AT_LIMIT) * conditions.limit
            )

    def swift(self) -> Model:
        return IVModel(self.nominal, *self._given, dataclasses.replace(self.conditions, substeps=1))

    @property
    def steps(self) -> int:
        return len(self._applied)

    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        recorded = self._simulated.states(device, cells, seed)
        states = (recorded[self._at] if self._uneven else recorded).movedim(1, 0)
        source = self.voltage.view(-1, 1)
        across = self._load.across(device, states, source) if self._load else source
        current = device.current(states, across).expand(-1, cells)
        limit = self.conditions.limit
        return current if limit is None else current.clamp(-limit, limit)


class PulseModel(Model):
    """The conductance after pulses.

    Reads in one direction are predicted together where a device takes many pulses at once as well
    as one by one.

    Args:
        nominal: the device.
        data: measured data.
    """

    unit = "S"

    def __init__(self, nominal: Memristor, data: PulseData) -> None:
        super().__init__(nominal, data.measured)
        self.count: Tensor = data.count
        self._runs = [[int(count)] for count in self.count.tolist()]
        single = self.predict([{}])[0]
        self._runs = _runs(self.count)
        together = self.predict([{}])[0]
        if not torch.allclose(single, together, rtol=_SAME, atol=0):
            self._runs = [[int(count)] for count in self.count.tolist()]

    @property
    def steps(self) -> int:
        return len(self.count)

    def _response(self, device: Memristor, cells: int, seed: int) -> Tensor:
        ctx = Context(random=Stream(seed).child("fit"))
        state = device.initial_state((cells,), ctx.child("initial")).double()
        conductances = []
        for k, run in enumerate(self._runs):
            count = (
                torch.tensor(run, dtype=torch.int64, device="cpu")
                .cumsum(0)
                .view(-1, 1)
                .expand(-1, cells)
            )
            states = state.unsqueeze(1).expand(-1, len(run), -1)
            if any(run):
                states = device.pulses(states, count, ctx.child("pulse", k))
            conductances.append(device.conductance(states).expand(len(run), cells))
            state = states[:, -1]
        return torch.cat(conductances)


def _runs(count: Tensor) -> list[list[int]]:
    """The numbers of pulses, read by read, cut where their direction changes."""
    runs: list[list[int]] = []
    for number in map(int, count.tolist()):
        if runs and sum(runs[-1]) * number > 0:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def models_of(
    nominal: Memristor,
    data: Data,
    *,
    resample: bool | float = False,
    substeps: int | None = None,
    load: Load | None = None,
) -> list[Model]:
    """The models that may predict such data, one for each way to understand them.

    Args:
        nominal: the device.
        data: measured data.
        resample: whether to accept uneven samples, or a step in s.
        substeps: number of steps between samples, 1 for a held voltage; None to try both a held
            voltage and straight lines.
        load: what stands between the source and the cell.

    Raises:
        ConfigError: the samples are uneven, or the device knows no pulses.
    """
    if not isinstance(data, IVData):
        return [PulseModel(nominal, data)]
    if substeps is not None and (
        not isinstance(substeps, int) or isinstance(substeps, bool) or substeps < 1
    ):
        raise ConfigError(f"substeps={substeps!r}; expected an integer >= 1")
    if not isinstance(resample, bool) and not is_positive(resample):
        raise ConfigError(f"resample={resample!r}; expected True, False or seconds > 0")
    load = load or Load()
    straight = 1 + min(_STRAIGHT - 1, _FINE // len(data.measured))
    between = [(1, False), (straight, True)] if substeps is None else [(substeps, substeps > 1)]
    lowered = (False, True) if load.limit is not None else (False,)
    return [
        IVModel(
            nominal,
            data,
            resample,
            Conditions(
                substeps=steps, linear=line, series=load.series, limit=load.limit, lowered=low
            ),
        )
        for low in lowered
        for steps, line in between
    ]


def refusing_pulses(call: Callable[[], Any]) -> Any:
    """The result of a call; a device without dynamics is an error of the user.

    Raises:
        ConfigError: with what the device says.
    """
    try:
        return call()
    except NotImplementedError as error:
        raise ConfigError(f"this device cannot be fitted to such data: {error}") from None
