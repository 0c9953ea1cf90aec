"""Voltage waveforms through a device model: `simulate`.

The physics of a device is its plain-torch `step`. `simulate` records it once and runs it natively,
with the time loop outside the Python interpreter; where that is not possible the very same `step`
runs in a loop, and `Trace.engine` says why.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from memcore import _check, native
from memcore._csv import write_csv
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.load import NO_LOAD, Load, loaded
from memcore.dynamics.recording import Program, lower
from memcore.dynamics.recording import record as record_step
from memcore.dynamics.recording import run as kernel
from memcore.dynamics.table import table_of
from memcore.errors import ConfigError, RecordingError, ShapeError
from memcore.random import Stream
from memcore.registry.instances import devices
from memcore.registry.specs import PluginSpec, plugin

_ROUNDING = 1e-4  #: share by which rounding may carry a conductance out of its window
_AT_ONCE = 1 << 22  #: values for which the current is computed together


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """The response of devices to a waveform; rows are recorded samples.

    Sample k lies at `k dt`, its voltage lasts until `(k + 1) dt`; state and current are those at
    its beginning.

    Attributes:
        time: time of each row in s, [rows], float64.
        voltage: voltages of the source in V, [rows] if all cells share them, else [rows, *cells].
        current: currents in A, [rows, *cells].
        state: states, [rows, k, *cells].
        final: the state after the last sample, [k, *cells]: `simulate(..., state=trace.final)`
            goes on from there.
        device: the cells that were simulated, with every distribution drawn.
        engine: "native", or "python" and the reason.
        stride: number of samples from one row to the next; 1 if each sample of the waveform has its
            row.
        load: what stands between the source and the cells.
    """

    time: Tensor
    voltage: Tensor
    current: Tensor
    state: Tensor
    final: Tensor
    device: Memristor = field(repr=False)
    engine: str
    stride: int = 1
    load: Load = NO_LOAD

    @property
    def across(self) -> Tensor:
        """Voltage across the cells at every recorded sample in V, [rows, *cells]."""
        source = _for_all(self.voltage, self.state.shape[2:])
        if not self.load:
            return source.expand_as(self.current)
        return self.load.across(self.device, self.state.movedim(1, 0), source)

    @property
    def conductance(self) -> Tensor:
        """Small-signal conductance at every recorded sample, [rows, *cells] S."""
        return self.device.conductance(self.state.movedim(1, 0))

    def to_csv(self, path: str | Path) -> Path:
        """Write the trace as a text file of columns, a row for each recorded sample.

        Columns are `time` (s), `voltage` of the source (V), `current` (A), `across` (V), the
        voltage of the cells, `conductance` (S) and `state_0`, `state_1`, ... of each cell, whose
        indices come last: `current_2_5`. A voltage that all cells share has one column. Numbers
        have all their digits; a file that is there is replaced.

        Args:
            path: file to write, its name ending in .csv.

        Returns:
            The path.

        Raises:
            ConfigError: the name ends otherwise, or nothing can be written there.
        """
        return write_csv(path, *table_of(self))

    def __repr__(self) -> str:
        rows, cells = self.current.shape[0], tuple(self.current.shape[1:])
        name = type(self.device).__name__
        return f"Trace({name}, {rows} samples of cells {cells}, engine={self.engine!r})"


def simulate(
    device: PluginSpec,
    voltage: Tensor,
    dt: float,
    *,
    state: Tensor | None = None,
    shape: int | Sequence[int] = (),
    seed: int = 0,
    record: Literal["all", "last"] | int = "all",
    engine: Literal["auto", "native", "python"] = "auto",
    series: float = 0.0,
    limit: float | None = None,
) -> Trace:
    """Apply a voltage waveform to one device or to many.

    Distributions in the device are drawn per cell. Noise is keyed by cell and step: a result
    depends on the seed, not on threads, chunks or what is recorded.

    The native engine runs what the device's `step` does to float32 or float64 tensors on the CPU,
    if that is elementwise arithmetic on the cells, whoever wrote it. Anything else (other torch
    devices, gradients, decisions on values, memory of one's own) runs in a Python loop instead;
    the two agree to rounding.

    Args:
        device: the model, by instance, name, class, mapping or device file, as in
            `CrossbarConfig`.
        voltage: voltages in V, [time] for a waveform that all cells see or [time, *cells]; sample k
            is held from `k dt` to `(k + 1) dt`. Their dtype is that of the calculation.
        dt: time between two samples in s, greater than zero.
        state: state at the beginning, [k, *cells], of conductances within the window of each cell;
            by default that of fresh cells.
        shape: shape or number of the cells, where voltage and state do not tell.
        seed: random seed.
        record: samples to keep: "all", every n-th for an integer, or only the "last".
        engine: "auto", "python", or "native", which makes it an error if the native engine cannot
            run the device.
        series: resistance between the source and each cell, in ohm.
        limit: current limit of the source in A: where a cell would draw more, the voltage across
            it falls until it draws that much. A cell moves on within a step, so a step must be
            short against a switching that the limit is to stop.

    Raises:
        ConfigError: an argument does not fit, or the native engine is demanded and cannot be had.
        RegistryError: the name is unknown or its plugin is broken.

    Examples:
        >>> import memcore
        >>> vteam = memcore.devices["vteam"]()
        >>> memcore.simulate(vteam, memcore.stimuli.sine(1.0, 50e6, dt=1e-11), 1e-11)
        Trace(Vteam, 2000 samples of cells (), engine='native')
    """
    model: Memristor = device if isinstance(device, Memristor) else plugin("devices", device)
    dt = _checked_waveform(voltage, dt)
    load = Load(series, limit)
    stride = _stride(record, voltage.shape[0])
    cells = _cells(model, voltage, state, _sizes(shape))
    ctx = _context(voltage, seed)
    drawn = model.sample(cells, ctx.child("device"))
    state = _first_state(drawn, voltage, state, cells, ctx)
    run, used = _choose(engine, loaded(drawn, load), state, voltage, dt, ctx.child("step"))
    begin = voltage.shape[0] - 1 if record == "last" else 0
    if begin:
        state, _ = run(state, voltage[:begin], 0, 0)
    final, states = run(state, voltage[begin:], stride, begin)
    time = torch.arange(begin, voltage.shape[0], stride, dtype=torch.float64, device="cpu") * dt
    kept = voltage[begin::stride]
    return Trace(
        time=time.to(voltage.device),
        voltage=kept,
        current=_current(drawn, states, kept, load),
        state=states,
        final=final,
        device=drawn,
        engine=used,
        stride=stride,
        load=load,
    )


class Repeated:
    """The states of many devices under one waveform, which is checked once.

    Args:
        voltage: voltages in V that all cells see, [time], of the dtype of the calculation.
        dt: time between two samples in s.
        stride: number of samples from one recorded state to the next.
        load: what stands between the source and the cells.

    Raises:
        ConfigError: the waveform does not fit.
    """

    def __init__(self, voltage: Tensor, dt: float, *, stride: int = 1, load: Load = NO_LOAD):
        dt = _checked_waveform(voltage, dt)
        self._voltage, self._dt, self._stride, self._load = voltage, dt, stride, load

    def states(self, device: Memristor, cells: int, seed: int = 0) -> Tensor:
        """What `simulate` records of a number of cells of a device, [rows, k, cells]."""
        voltage = self._voltage
        ctx = _context(voltage, seed)
        drawn = device.sample((cells,), ctx.child("device"))
        state = _first_state(drawn, voltage, None, (cells,), ctx)
        moving = loaded(drawn, self._load)
        run, _ = _choose("auto", moving, state, voltage, self._dt, ctx.child("step"))
        return run(state, voltage, self._stride, 0)[1]


#: (state, voltage, stride or 0 for no record, index of the first step) -> (last state, record)
_Run = Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]]


def _choose(
    engine: str, device: Memristor, state: Tensor, voltage: Tensor, dt: float, ctx: Context
) -> tuple[_Run, str]:
    """The function that carries the state along, and its name."""
    if not isinstance(engine, str) or engine not in {"auto", "native", "python"}:
        raise ConfigError(f"engine={shown(engine)}; expected 'auto', 'native' or 'python'")
    reason = "asked for" if engine == "python" else _obstacle(device, state, voltage)
    if not reason:
        try:
            return partial(kernel.run, _program(device, state, voltage, dt, ctx)), "native"
        except RecordingError as error:
            reason = str(error)
    if engine == "native":
        raise ConfigError(
            f"{type(device).__name__} cannot run natively: {reason}; use engine='auto'"
        )
    return partial(_loop, device, dt, ctx), f"python: {reason}"


def _program(device: Memristor, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Program:
    """The program of a device, made once for all installed devices that differ in their cells only.

    What is written in a notebook or a script may change while its class stays the same.
    """
    cells, shared = tuple(state.shape), voltage.dim() == 1
    values = [value for value in vars(device).values() if isinstance(value, Tensor)]
    try:
        # A tensor of one value becomes a constant of the program.
        if devices.installs(type(device)) and all(value.numel() != 1 for value in values):
            made = _remembered(_Kind.of(device), cells, voltage.dtype, dt, shared, ctx)
            own = [v.to(voltage.dtype).expand(cells[1:]).contiguous() for v in values]
            return made.with_parameters(own)
    except TypeError:  # a parameter that cannot be hashed
        pass
    return _recorded(device, cells, voltage.dtype, dt, shared, ctx)


@dataclass(frozen=True)
class _Kind:
    """All of a device that its program depends on: its class and what is the same for all cells.

    Args:
        cls: class of the device.
        shared: names and values of all that is no tensor.
        own: names of the tensors, which hold a value for each cell.
    """

    cls: type[Memristor]
    shared: tuple[tuple[str, object], ...]
    own: tuple[str, ...]

    @classmethod
    def of(cls, device: Memristor) -> "_Kind":
        values = vars(device).items()
        return cls(
            type(device),
            tuple((name, value) for name, value in values if not isinstance(value, Tensor)),
            tuple(name for name, value in values if isinstance(value, Tensor)),
        )

    def device(self, cells: tuple[int, ...], dtype: torch.dtype) -> Memristor:
        """A device of this kind without the values of its cells."""
        made = object.__new__(self.cls)
        values = {name: torch.empty(cells, dtype=dtype, device="meta") for name in self.own}
        vars(made).update(self.shared, **values)
        return made


def _recorded(
    device: Memristor,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    dt: float,
    shared: bool,
    ctx: Context,
) -> Program:
    state = torch.empty(shape, dtype=dtype, device="meta")
    return lower(record_step(device, state, state[0], dt, ctx), shared=shared)


@lru_cache(maxsize=64)
def _remembered(
    kind: _Kind,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    dt: float,
    shared: bool,
    ctx: Context,
) -> Program:
    return _recorded(kind.device(shape[1:], dtype), shape, dtype, dt, shared, ctx)


def _obstacle(device: Memristor, state: Tensor, voltage: Tensor) -> str:
    """The reason why the native engine cannot be used, empty if it can."""
    if native.cpu() is None:
        return native.status().cpu.reason
    tensors = [state, voltage, *(v for v in vars(device).values() if isinstance(v, Tensor))]
    if any(t.device.type != "cpu" for t in tensors):
        return f"tensors on {voltage.device}"
    if torch.is_grad_enabled() and any(t.requires_grad for t in tensors):
        return "gradients are wanted"
    return ""


def _loop(
    device: Memristor,
    dt: float,
    ctx: Context,
    state: Tensor,
    voltage: Tensor,
    stride: int,
    first_step: int,
) -> tuple[Tensor, Tensor]:
    """The definition: one call of `step` after the other."""
    cells, kept = state.shape[1:], []
    for k, now in enumerate(voltage):
        if stride and k % stride == 0:
            kept.append(state)
        at = dataclasses.replace(ctx, random=ctx.random.of_step(first_step + k))
        try:
            state = device.step(state, now.expand(cells), dt, at)
        except NotImplementedError as error:  # a device that statistics describe
            raise ConfigError(
                f"{type(device).__name__} cannot be simulated: {error}; expected a device with "
                "dynamics"
            ) from error
    return state, torch.stack(kept) if kept else state.new_empty((0, *state.shape))


def _current(device: Memristor, states: Tensor, voltage: Tensor, load: Load) -> Tensor:
    """The currents [rows, *cells], some rows at a time."""
    cells = states.shape[2:]
    at_once = max(1, _AT_ONCE // max(1, math.prod(cells)))
    parts = []
    for some, v in zip(torch.split(states, at_once), torch.split(voltage, at_once), strict=True):
        state, source = some.movedim(1, 0), _for_all(v, cells)
        parts.append(device.current(state, load.across(device, state, source) if load else source))
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def _for_all(voltage: Tensor, cells: Sequence[int]) -> Tensor:
    """Voltages [rows] or [rows, *cells] in a shape that broadcasts with the cells."""
    return voltage if voltage.dim() > 1 else voltage.view(-1, *[1] * len(cells))


def _checked_waveform(voltage: Tensor, dt: float) -> float:
    """The time step as a float, where it and the voltages are such as can be simulated."""
    _check.tensor("voltage", voltage, "[time] or [time, *cells]", "V", any_real=True)
    if voltage.dtype not in {torch.float32, torch.float64}:
        raise ConfigError(f"voltage is {voltage.dtype}; expected a float32 or float64 tensor")
    if voltage.dim() == 0 or voltage.shape[0] == 0:
        raise ShapeError(
            f"voltage has shape {tuple(voltage.shape)}; expected [time] or [time, *cells] "
            "with at least one sample"
        )
    dt = _check.number("dt", dt, unit="s", above=0)
    if voltage.numel() and not bool(torch.isfinite(torch.stack(voltage.aminmax())).all()):
        wrong = int((~voltage.isfinite()).sum())
        raise ConfigError(
            f"{wrong} of {voltage.numel()} samples of the voltage are NaN or infinite; "
            "expected finite numbers"
        )
    return dt


def _stride(record: object, samples: int) -> int:
    if isinstance(record, str) and record == "all":
        return 1
    if isinstance(record, str) and record == "last":
        return samples
    if isinstance(record, int) and not isinstance(record, bool) and record >= 1:
        return min(record, samples)
    raise ConfigError(f"record={shown(record)}; expected 'all', 'last' or an integer >= 1")


def _sizes(shape: object) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if not all(_check.is_integer(n) and 0 <= n < 2**40 for n in sizes):
        raise ConfigError(
            f"shape={shown(shape)}; expected how many cells, or a tuple of integers >= 0"
        )
    return tuple(map(int, sizes))


def _cells(
    device: Memristor, voltage: Tensor, state: Tensor | None, shape: tuple[int, ...]
) -> tuple[int, ...]:
    """The shape of the cells, on which all that has one must agree."""
    said = {"shape": shape} if shape else {}
    if state is not None:
        _check.tensor("state", state, "[k, *cells]", "the device's units")
        if state.dim() == 0:
            raise ConfigError("state has no dimensions; expected [k, *cells]")
        said["state [k, *cells]"] = tuple(state.shape[1:])
    if voltage.dim() > 1:
        said["voltage [time, *cells]"] = tuple(voltage.shape[1:])
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{name} {cells}" for name, cells in said.items())
        raise ConfigError(f"the cells have different shapes: {listed}; expected one shape")
    cells = next(iter(said.values()), ())
    for name, value in vars(device).items():
        if isinstance(value, Tensor) and not _broadcasts(value.shape, cells):
            raise ConfigError(
                f"{type(device).__name__} has {name} for cells {tuple(value.shape)}, but the cells "
                f"simulated are {cells}; expected shape={tuple(value.shape)}"
            )
    return cells


def _broadcasts(shape: Sequence[int], cells: Sequence[int]) -> bool:
    aligned = tuple(cells)[len(cells) - len(shape) :] if len(shape) <= len(cells) else None
    return aligned is not None and all(
        size in {1, to} for size, to in zip(shape, aligned, strict=True)
    )


def _context(voltage: Tensor, seed: int) -> Context:
    """What devices are told: states begin in the dtype of the waveform."""
    random = Stream(seed).child("simulate")
    return Context(random=random, torch_device=voltage.device, dtype=voltage.dtype)


def _first_state(
    device: Memristor, voltage: Tensor, state: Tensor | None, cells: tuple[int, ...], ctx: Context
) -> Tensor:
    fresh = device.initial_state(cells, ctx.child("initial"))
    if state is None:
        return fresh.to(voltage.dtype)
    if state.shape != fresh.shape:
        raise ShapeError(
            f"state has shape {tuple(state.shape)}; expected {tuple(fresh.shape)}: "
            f"{fresh.shape[0]} variables of {type(device).__name__}"
        )
    if not bool(state.isfinite().all()):
        raise ConfigError("state has NaN or infinite values; expected finite numbers")
    state = state.to(voltage)
    _check_conductance(device, state)
    return state


@torch.no_grad()
def _check_conductance(device: Memristor, state: Tensor) -> None:
    """Refuse a state of no real cell: what it conducts is outside the cell's own window."""
    g = device.conductance(state)
    try:
        low, high = (as_tensor(end).to(g) for end in device.conductance_range())
    except NotImplementedError:  # a device of one's own that no mapper is to use
        low, high = g.new_zeros(()), g.new_full((), math.inf)
    wrong = ~((g >= low * (1 - _ROUNDING)) & (g <= high * (1 + _ROUNDING)))
    if bool(wrong.any()):
        first, least, most = (float(x.expand_as(g)[wrong][0]) for x in (g, low, high))
        raise ConfigError(
            f"the state gives {int(wrong.sum())} of {g.numel()} cells a conductance that "
            f"{type(device).__name__} cannot have: {first:.4g} S, outside {least:.4g} to "
            f"{most:.4g} S; expected device.state_of(conductance), or trace.final of cells of the "
            "same seed"
        )
