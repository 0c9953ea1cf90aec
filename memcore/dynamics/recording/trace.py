"""Runs a device's `step` once on tensors without data and notes its elementwise operations."""

import copy
import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from memcore.contracts.device import Memristor
from memcore.contracts.records import Context
from memcore.dynamics.recording import operators
from memcore.dynamics.recording.graph import DURATION, PARAMETER, STATE, VOLTAGE, Graph, Index
from memcore.errors import RecordingError
from memcore.random import Stream

#: What becomes of a state, (device, state, voltage, ctx) -> state.
Change = Callable[[Memristor, Tensor, Tensor, Context], Tensor]


#: Numbers of a table, whose places single precision tells apart.
_LARGEST: Final = 1 << 24


@dataclass
class Recording:
    """A recorded step, or a recorded power.

    Attributes:
        graph: all values.
        outputs: the new state, one value for each variable, or the power.
        parameters: parameters of each cell, [*cells], by their index in the graph.
        names: names of those that are fields of the device, which come first.
        keys: keys of the streams of random numbers, and the round of each, by their index in the
            graph.
    """

    graph: Graph
    outputs: list[int]
    parameters: list[Tensor]
    names: list[str]
    keys: list[tuple[int, int]]


def record(
    device: Memristor, state: Tensor, voltage: Tensor, dt: float | None, ctx: Context
) -> Recording:
    """Record `device.step` for one step of all cells.

    Args:
        device: device with every distribution drawn.
        state: state [k, *cells], of which only shape and dtype matter.
        voltage: voltages [*cells], of which only shape and dtype matter.
        dt: duration of the step in s; None records it as one more input.
        ctx: context, whose stream says which random numbers a step draws.

    Raises:
        RecordingError: the step does more than elementwise arithmetic on the cells.
    """
    recorder = _Recorder(voltage.shape, voltage.dtype)
    duration: Any = recorder.given(DURATION, ()) if dt is None else dt

    def step(device: Memristor, state: Tensor, voltage: Tensor, ctx: Context) -> Tensor:
        return device.step(state, voltage, duration, ctx)

    return _changed(recorder, step, device, state, ctx)


def record_change(
    change: Change, device: Memristor, state: Tensor, voltage: Tensor, ctx: Context
) -> Recording:
    """Record what anything makes of the states of all cells.

    Args:
        change: called with the device, the state, the voltages and the context; it returns a state.
        device: as for `record`.
        state: as for `record`.
        voltage: as for `record`, or whatever else each cell is given.
        ctx: as for `record`.

    Raises:
        RecordingError: it does more than elementwise arithmetic on the cells.
    """
    return _changed(_Recorder(voltage.shape, voltage.dtype), change, device, state, ctx)


def _changed(
    recorder: "_Recorder", change: Change, device: Memristor, state: Tensor, ctx: Context
) -> Recording:
    stream = RecordedStream(ctx.random.seed, ctx.random.path, recorder=recorder)
    where = dataclasses.replace(ctx, random=stream, torch_device=torch.device("meta"))

    def run(traced: Memristor, state: Tensor, voltage: Tensor) -> Tensor:
        return change(traced, state, voltage, where)

    recording, moved = _recorded(recorder, device, state, run)
    if moved.shape != state.shape or len(recording.outputs) != state.shape[0]:
        raise RecordingError(f"step returns {tuple(moved.shape)} for a state {tuple(state.shape)}")
    return recording


#: Power in W of cells of a device in a state [k, *cells] at voltages [*cells], and what else
#: belongs to each cell.
Power = Callable[..., Tensor]


def record_power(
    device: Memristor, state: Tensor, voltage: Tensor, power: Power, given: int = 0
) -> Recording:
    """Record the power of all cells.

    Args:
        device: as for `record`.
        state: as for `record`.
        voltage: as for `record`.
        power: function from the device, states, voltages and as many more tensors [*cells] as are
            given, to powers [*cells].
        given: number of these; they are parameters after those of the device.

    Raises:
        RecordingError: the power takes more than elementwise arithmetic on the cells.
    """
    recorder = _Recorder(voltage.shape, voltage.dtype)
    recording, watt = _recorded(recorder, device, state, power, given)
    if watt.shape != voltage.shape:
        raise RecordingError(f"a power {tuple(watt.shape)} of cells {tuple(voltage.shape)}")
    return recording


def _recorded(
    recorder: "_Recorder", device: Memristor, state: Tensor, run: Power, given: int = 0
) -> tuple[Recording, Tensor]:
    """What a function of the device, states and voltages does, and its result."""
    traced, parameters = _with_recorded_parameters(device, recorder)
    inputs = recorder.given(STATE, state.shape), recorder.given(VOLTAGE, recorder.cells)
    more = [recorder.given(PARAMETER, recorder.cells, len(parameters) + n) for n in range(given)]
    try:
        # In inference mode, composite operators would arrive here in one piece.
        with torch.inference_mode(False), torch.no_grad(), recorder:
            result = run(traced, *inputs, *more)
    except RecordingError:
        raise
    except Exception as error:  # a step may do anything; run as it is, it will say what is wrong
        reason = str(error).partition("\n")[0][:160]
        raise RecordingError(f"{type(error).__name__}: {reason}") from error
    outputs = recorder.rows_of(result)
    values = list(parameters.values())
    return Recording(recorder.graph, outputs, values, list(parameters), recorder.keys), result


def _with_recorded_parameters(
    device: Memristor, recorder: "_Recorder"
) -> tuple[Memristor, dict[str, Tensor]]:
    """A copy of the device whose per-cell parameters are recorded, without validation."""
    traced = copy.copy(device)
    tensors: dict[str, Tensor] = {}
    for name, value in vars(device).items():
        if not isinstance(value, Tensor):
            continue
        if value.numel() == 1:
            object.__setattr__(traced, name, value.reshape(()).cpu().to(recorder.dtype))
            continue
        meta = torch.empty(recorder.cells, dtype=recorder.dtype, device="meta")
        recorder.bind(meta, [recorder.graph.leaf(PARAMETER, len(tensors))])
        tensors[name] = value.to(recorder.dtype).expand(recorder.cells).contiguous()
        object.__setattr__(traced, name, meta)
    return traced, tensors


@dataclass(frozen=True)
class RecordedStream(Stream):
    """Notes which random numbers are drawn instead of drawing them."""

    recorder: "_Recorder" = field(kw_only=False, default=None, compare=False, repr=False)  # type: ignore[assignment]

    def normal(self, shape: Sequence[int], **options: Any) -> Tensor:
        return self._draw("normal", shape, **options)

    def uniform(self, shape: Sequence[int], **options: Any) -> Tensor:
        return self._draw("uniform", shape, **options)

    def bernoulli(self, p: float, shape: Sequence[int], **options: Any) -> Tensor:
        return self._draw("uniform", shape, **options) < p

    def at(self, reads: Tensor) -> Any:
        del reads
        raise RecordingError("the step draws by read index")

    def _draw(
        self,
        kind: str,
        shape: Sequence[int],
        *,
        round: int = 0,
        elements: Tensor | None = None,
        device: object = None,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor:
        del device, dtype
        if elements is not None:
            raise RecordingError("the step draws for some cells only")
        return self.recorder.random(kind, tuple(shape), (self.key, round))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Knows for every tensor which values its rows are; a tensor is [*cells] or [rows, *cells]."""

    def __init__(self, cells: Sequence[int], dtype: torch.dtype) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cells, self.dtype = tuple(cells), dtype
        self.graph, self.keys = Graph(torch.finfo(dtype).max), list[tuple[int, int]]()
        self._rows: dict[int, tuple[Tensor, list[int]]] = {}
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}
        self._aliased: set[int] = set()
        self._making = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Otherwise the first recording imports all of torch._dynamo, which takes seconds.
        return False

    def bind(self, tensor: Tensor, rows: list[int]) -> None:
        """Say what a tensor is; it is kept, so that its identity stays its own."""
        self._rows[id(tensor)] = (tensor, rows)

    def given(self, kind: str, shape: Sequence[int], first: int = 0) -> Tensor:
        """An input of the step, whose rows are numbered from `first`."""
        tensor = torch.empty(tuple(shape), dtype=self.dtype, device="meta")
        rows = shape[0] if kind == STATE else 1
        self.bind(tensor, [self.graph.leaf(kind, first + i) for i in range(rows)])
        self._aliased.add(id(tensor))
        return tensor

    def random(self, kind: str, shape: tuple[int, ...], key: tuple[int, int]) -> Tensor:
        """Random numbers, one per cell; the same key and round are the same number."""
        if math.prod(shape) != math.prod(self.cells) or not self._is_layout(shape, 1):
            raise RecordingError(f"random numbers {shape} for cells {self.cells}")
        if key not in self.keys:
            self.keys.append(key)
        self._making = True  # this is called by the step, so the next line is seen as its own
        tensor = torch.empty(shape, dtype=self.dtype, device="meta")
        self._making = False
        self.bind(tensor, [self.graph.leaf(kind, self.keys.index(key))])
        return tensor

    def rows_of(self, operand: Any) -> list[int]:
        """The values of an operand, which may be a number."""
        if not isinstance(operand, Tensor):
            return [self.graph.constant(operand)]
        if id(operand) in self._rows:
            return self._rows[id(operand)][1]
        if operand.numel() == 1 and operand.device.type == "cpu":
            return [self.graph.constant(operand.item())]
        raise RecordingError(f"a tensor {tuple(operand.shape)} on {operand.device} from elsewhere")

    def _is_layout(self, shape: Sequence[int], rows: int) -> bool:
        return tuple(shape) == self.cells or tuple(shape) == (rows, *self.cells)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if self._making:
            return func(*args, **kwargs)
        name = func._schema.name.removeprefix("aten::")
        if not any(id(a) in self._rows for a in _tensors(args)):
            return self._apart(name, func, args, kwargs)
        if name == "_to_copy" and kwargs.get("dtype") == torch.int64:
            return self._whole(args[0])
        if name == "index":
            return self._looked_up(*args)
        if name in operators.JOINS:
            return self._new(operators.JOINS[name](self, *args, **kwargs), self.dtype, stacked=True)
        if name in operators.VIEWS:
            return self._view(operators.VIEWS[name], func, args, kwargs)
        in_place = name.endswith("_") and not name.endswith("__")
        rule = operators.ELEMENTWISE.get(name.rstrip("_") if in_place else name.strip("_"))
        if rule is None or "out" in kwargs:
            raise RecordingError(f"operator {func}")
        dtype = self._dtype_of(name.strip("_"), args, kwargs)
        rows = self._each_row(rule, args, kwargs, to_bool=dtype == torch.bool)
        if in_place:
            return self._replace(func, args[0], rows, dtype)
        shapes = [a.shape for a in args if isinstance(a, Tensor)]
        result = self._new(rows, dtype, shape=_broadcast(shapes))
        return (result, result) if name == "log_sigmoid_forward" else result

    def _whole(self, x: Tensor) -> Tensor:
        """Integers, which only a table takes, and truncates."""
        return self._new(self.rows_of(x), torch.int64, shape=x.shape)

    def _looked_up(self, table: Tensor, places: Sequence[Tensor | None]) -> Tensor:
        """The numbers of a table at the place of each cell."""
        place, table = places[0], self._tables.get(id(table), (table, table))[1]
        if len(places) != 1 or place is None or table.dim() != 1 or id(place) not in self._rows:
            raise RecordingError(f"an index into {tuple(table.shape)}")
        if table.is_meta or place.dtype != torch.int64 or not 0 < table.numel() <= _LARGEST:
            raise RecordingError(f"numbers of a tensor {tuple(table.shape)} by {place.dtype}")
        leaf = self.graph.table(tuple(table.tolist()))
        rows = [self.graph.apply("lookup", row, leaf) for row in self.rows_of(place)]
        return self._new(rows, self.dtype, shape=place.shape)

    def _new(
        self, rows: list[int], dtype: torch.dtype, *, shape: Any = None, stacked: bool = False
    ) -> Tensor:
        shape = (len(rows), *self.cells) if stacked else shape
        if not self._is_layout(shape, len(rows)) and math.prod(shape) != 1:
            raise RecordingError(f"a result {tuple(shape)} for cells {self.cells}")
        result = torch.empty(shape, dtype=dtype, device="meta")
        self.bind(result, rows)
        return result

    def _replace(self, func: Any, target: Tensor, rows: list[int], dtype: torch.dtype) -> Tensor:
        if id(target) in self._aliased:
            raise RecordingError(f"{func} writes into a tensor that has views")
        if target.dtype != dtype or len(self.rows_of(target)) != len(rows):
            raise RecordingError(f"{func} changes the kind of a tensor")
        self.bind(target, rows)
        return target

    def _dtype_of(self, name: str, args: Any, kwargs: Any) -> torch.dtype:
        """The dtype of an elementwise result; numbers that are no tensors adapt to it."""
        dtypes = {a.dtype for a in _tensors(args) if id(a) in self._rows}
        if kwargs.get("dtype") is not None:
            dtypes = {kwargs["dtype"]}
        elif name in operators.PREDICATES:
            return torch.bool
        elif name == "where":
            chosen = [a for a in args[1:] if isinstance(a, Tensor) and id(a) in self._rows]
            dtypes = {a.dtype for a in chosen if a.dim()} or {self.dtype}  # of no single numbers
        elif dtypes == {torch.bool} and name not in operators.KEEPERS:
            tensors = any(a.is_floating_point() for a in _tensors(args))
            if not tensors and not any(isinstance(a, float) for a in args):
                raise RecordingError(f"{name} of truth values")
            dtypes = {self.dtype}
        if not dtypes <= {self.dtype, torch.bool}:
            raise RecordingError(f"{name} makes {dtypes} of {self.dtype}")
        return self.dtype if self.dtype in dtypes else torch.bool

    def _apart(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """An operation on numbers only."""
        if name in operators.FILLED:
            result = func(*args, **kwargs)
            rows = 1 if tuple(result.shape) == self.cells or not result.dim() else result.shape[0]
            if result.is_meta:
                number = self.graph.constant(operators.FILLED[name](args))
                return self._new([number] * rows, result.dtype, shape=result.shape)
            if result.numel() == 1:
                return result
            raise RecordingError(f"{func} makes {tuple(result.shape)}")
        known = name in operators.VIEWS or name.strip("_") in operators.ELEMENTWISE
        if known and not any(t.is_meta for t in _tensors(args)):
            result = func(*args, **kwargs)
            if name == "_to_copy" and result.is_meta:  # a table, which goes where the cells are
                self._tables[id(result)] = (result, args[0].to(result.dtype))
            return result
        raise RecordingError(f"operator {func}")

    def _each_row(
        self, rule: Callable[..., int], args: Any, kwargs: Any, to_bool: bool
    ) -> list[int]:
        operands = [self.rows_of(a) if isinstance(a, Tensor) else a for a in args]
        count = max(len(rows) for rows in operands if isinstance(rows, list))
        options = {
            k: Index(self.rows_of(v)[0]) if isinstance(v, Tensor) else v
            for k, v in kwargs.items()
            if k not in {"dtype", "layout", "device", "pin_memory", "non_blocking", "memory_format"}
        }
        rows = []
        for i in range(count):
            row = [Index(o[i if len(o) > 1 else 0]) if isinstance(o, list) else o for o in operands]
            rows.append(rule(self.graph, *row, **options))
        if to_bool and any(isinstance(a, Tensor) and a.dtype != torch.bool for a in args[:1]):
            rows = [self.graph.truth(row) for row in rows]
        return rows

    def _view(self, rule: Callable[..., Any], func: Any, args: Any, kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        viewed = rule(self, result, *args, **kwargs)
        single = isinstance(result, Tensor)
        pairs = [(result, viewed)] if single else zip(result, viewed, strict=True)
        for tensor, rows in pairs:
            if not self._is_layout(tensor.shape, len(rows)):
                raise RecordingError(f"{func} makes {tuple(tensor.shape)} for cells {self.cells}")
            self.bind(tensor, rows)
            self._aliased.add(id(tensor))
        self._aliased.update(id(t) for t in _tensors(args))
        return result


def _broadcast(shapes: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The common shape; torch.broadcast_shapes imports sympy on its first call."""
    try:
        return np.broadcast_shapes(*map(tuple, shapes))
    except ValueError as error:
        raise RecordingError(f"shapes {shapes} that do not broadcast") from error


def _tensors(args: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    for arg in args:
        if isinstance(arg, Tensor):
            tensors.append(arg)
        elif isinstance(arg, (list, tuple)):
            tensors += _tensors(arg)
    return tensors
