"""The operators of PyTorch as operations of the native simulator."""

import math
from collections.abc import Callable
from typing import Any, Final

from torch import Tensor

from memcore.dynamics.recording.graph import Graph, Index
from memcore.errors import RecordingError

Rule = Callable[..., int]


def _value(graph: Graph, operand: Any) -> int:
    """The index of an operand: numbers that are no index become constants."""
    return operand if isinstance(operand, Index) else graph.constant(operand)


def _plain(operation: str) -> Rule:
    def rule(graph: Graph, *operands: Any) -> int:
        return graph.apply(operation, *(_value(graph, o) for o in operands))

    return rule


def _sum(operation: str, reverse: bool = False) -> Rule:
    def rule(graph: Graph, a: Any, b: Any, alpha: float = 1) -> int:
        first, second = _value(graph, a), _value(graph, b)
        if reverse:
            first, second = second, first
        if alpha != 1:
            second = graph.apply("mul", second, graph.constant(alpha))
        return graph.apply(operation, first, second)

    return rule


def _clamp(graph: Graph, x: Any, min: Any = None, max: Any = None) -> int:
    x = _value(graph, x)
    if min is not None and max is not None:
        return graph.apply("clamp", x, _value(graph, min), _value(graph, max))
    if min is not None:
        return graph.apply("maximum", x, _value(graph, min))
    return graph.apply("minimum", x, _value(graph, max)) if max is not None else int(x)


def _clamp_min(graph: Graph, x: Any, bound: Any) -> int:
    return _clamp(graph, x, bound, None)


def _clamp_max(graph: Graph, x: Any, bound: Any) -> int:
    return _clamp(graph, x, None, bound)


def _same(graph: Graph, x: Any, *_: Any, **__: Any) -> int:
    return _value(graph, x)


def _filled(number: float) -> Rule:
    def rule(graph: Graph, *_: Any, **__: Any) -> int:
        return graph.constant(number)

    return rule


def _full_like(graph: Graph, _: Any, number: float, **__: Any) -> int:
    return graph.constant(number)


def _fill(graph: Graph, _: Any, number: Any) -> int:
    return _value(graph, number)


def _copy(graph: Graph, _: Any, source: Any, *__: Any) -> int:
    return _value(graph, source)


def _rsqrt(graph: Graph, x: Any) -> int:
    return graph.apply("reciprocal", graph.apply("sqrt", _value(graph, x)))


def _square(graph: Graph, x: Any) -> int:
    x = _value(graph, x)
    return graph.apply("mul", x, x)


def _scaled(operation: str, before: float = 1.0, after: float = 1.0) -> Rule:
    def rule(graph: Graph, x: Any) -> int:
        inner = graph.apply("mul", _value(graph, x), graph.constant(before))
        return graph.apply("mul", graph.apply(operation, inner), graph.constant(after))

    return rule


def _add_product(operation: str) -> Rule:
    def rule(graph: Graph, x: Any, a: Any, b: Any, value: float = 1) -> int:
        term = graph.apply(operation, _value(graph, a), _value(graph, b))
        return graph.apply("add", _value(graph, x), graph.apply("mul", term, graph.constant(value)))

    return rule


def _lerp(graph: Graph, start: Any, end: Any, weight: Any) -> int:
    start = _value(graph, start)
    distance = graph.apply("sub", _value(graph, end), start)
    return graph.apply("add", start, graph.apply("mul", distance, _value(graph, weight)))


def _isnan(graph: Graph, x: Any) -> int:
    return graph.apply("ne", _value(graph, x), _value(graph, x))


def _isinf(graph: Graph, x: Any) -> int:
    return graph.apply("eq", graph.apply("abs", _value(graph, x)), graph.constant(math.inf))


def _equals(number: float) -> Rule:
    def rule(graph: Graph, x: Any) -> int:
        return graph.apply("eq", _value(graph, x), graph.constant(number))

    return rule


def _nan_to_num(
    graph: Graph,
    x: Any,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> int:
    finite = _value(graph, x)
    highest = graph.largest if posinf is None else posinf
    lowest = -graph.largest if neginf is None else neginf
    for test, number in ((_equals(math.inf), highest), (_equals(-math.inf), lowest)):
        finite = graph.apply("where", test(graph, x), graph.constant(number), finite)
    return graph.apply("where", _isnan(graph, x), graph.constant(nan or 0.0), finite)


def _logaddexp(graph: Graph, a: Any, b: Any) -> int:
    a, b = _value(graph, a), _value(graph, b)
    distance = graph.apply("abs", graph.apply("sub", a, b))
    tail = graph.apply("log1p", graph.apply("exp", graph.apply("neg", distance)))
    apart = graph.apply("add", graph.apply("maximum", a, b), tail)
    equal = graph.apply("add", a, graph.constant(math.log(2)))  # also where both are infinite
    return graph.apply("where", graph.apply("eq", a, b), equal, apart)


def _divide(graph: Graph, a: Any, b: Any, rounding_mode: str | None = None) -> int:
    quotient = graph.apply("div", _value(graph, a), _value(graph, b))
    return quotient if rounding_mode is None else graph.apply(rounding_mode, quotient)


ELEMENTWISE: Final[dict[str, Rule]] = {
    **{name: _plain(name) for name in ("neg", "abs", "reciprocal", "sqrt", "exp", "expm1", "log")},
    **{name: _plain(name) for name in ("log1p", "sinh", "cosh", "tanh", "asinh", "sin")},
    **{name: _plain(name) for name in ("cos", "atan", "erf", "sigmoid", "sign", "floor", "round")},
    **{name: _plain(name) for name in ("pow", "maximum", "minimum", "where", "ceil")},
    **{name: _plain(name) for name in ("lt", "le", "gt", "ge", "eq", "ne", "trunc")},
    **{name: _plain(name) for name in ("logical_and", "logical_or", "logical_xor", "logical_not")},
    **{f"bitwise_{name}": _plain(f"logical_{name}") for name in ("and", "or", "xor", "not")},
    **{name: _plain(f"logical_{name}") for name in ("and", "or", "xor")},
    "mul": _plain("mul"),
    "add": _sum("add"),
    "sub": _sum("sub"),
    "rsub": _sum("sub", reverse=True),
    "div": _divide,
    "clamp": _clamp,
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
    "square": _square,
    "rsqrt": _rsqrt,
    "exp2": _scaled("exp", before=0.6931471805599453),
    "log2": _scaled("log", after=1.4426950408889634),
    "log10": _scaled("log", after=0.4342944819032518),
    "log_sigmoid_forward": _plain("log_sigmoid"),
    "sgn": _plain("sign"),
    "relu": lambda graph, x: _clamp(graph, x, 0.0),
    "lerp": _lerp,
    "addcmul": _add_product("mul"),
    "addcdiv": _add_product("div"),
    "isnan": _isnan,
    "isinf": _isinf,
    "nan_to_num": _nan_to_num,
    "logaddexp": _logaddexp,
    "isposinf": _equals(math.inf),
    "isneginf": _equals(-math.inf),
    "clone": _same,
    "to_copy": _same,
    "contiguous": _same,
    "fill": _fill,
    "zero": _filled(0.0),
    "copy": _copy,
    "zeros_like": _filled(0.0),
    "ones_like": _filled(1.0),
    "full_like": _full_like,
    "new_zeros": _filled(0.0),
    "new_ones": _filled(1.0),
}

#: Those whose result is a truth value.
PREDICATES: Final = frozenset(
    {"lt", "le", "gt", "ge", "eq", "ne", "isnan", "isinf", "isposinf", "isneginf"}
    | {f"{kind}_{name}" for kind in ("logical", "bitwise") for name in ("and", "or", "xor", "not")}
    | {"and", "or", "xor"}
)

#: Those whose result is a truth value if the operand is one.
KEEPERS: Final = frozenset({"mul", "clone", "to_copy", "contiguous", "fill", "zero", "copy"}) | {
    f"{name}_like" for name in ("zeros", "ones", "full")
}

#: Makers of tensors from numbers alone, with what fills them.
FILLED: Final[dict[str, Callable[[Any], float]]] = {
    "zeros": lambda _: 0.0,
    "ones": lambda _: 1.0,
    "full": lambda args: args[1],
    "scalar_tensor": lambda args: args[0],
}


def _identity(recorder: Any, result: Tensor, x: Tensor, *_: Any, **__: Any) -> list[int]:
    rows: list[int] = recorder.rows_of(x)
    if len(rows) > 1 and result.shape != x.shape:
        raise RecordingError(f"a view {tuple(result.shape)} of {tuple(x.shape)}")
    return rows


def _leading(recorder: Any, x: Tensor, dim: int, extra: int = 0) -> list[int]:
    """The rows of a tensor [rows, *cells], for a view along its first dimension only."""
    if dim % (x.dim() + extra) != 0 or (not extra and tuple(x.shape) == recorder.cells):
        raise RecordingError(f"a view along dimension {dim} of {tuple(x.shape)}")
    rows: list[int] = recorder.rows_of(x)
    return rows


def _select(recorder: Any, _: Tensor, x: Tensor, dim: int, index: int) -> list[int]:
    return [_leading(recorder, x, dim)[index]]


def _slice(
    recorder: Any,
    result: Tensor,
    x: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> list[int]:
    if result.shape == x.shape:
        return _identity(recorder, result, x)
    return _leading(recorder, x, dim)[slice(start, end, step)]


def _unbind(recorder: Any, _: Any, x: Tensor, dim: int = 0) -> list[list[int]]:
    return [[row] for row in _leading(recorder, x, dim)]


def _unsqueeze(recorder: Any, _: Tensor, x: Tensor, dim: int) -> list[int]:
    if tuple(x.shape) != recorder.cells:
        raise RecordingError(f"a new dimension of {tuple(x.shape)}")
    return _leading(recorder, x, dim, extra=1)


def _squeeze(recorder: Any, result: Tensor, x: Tensor, dim: int = 0) -> list[int]:
    return _identity(recorder, result, x) if result.shape == x.shape else _leading(recorder, x, dim)


def _stack(recorder: Any, tensors: list[Tensor], dim: int = 0) -> list[int]:
    if dim % (tensors[0].dim() + 1) != 0 or tuple(tensors[0].shape) != recorder.cells:
        raise RecordingError(f"a stack of {tuple(tensors[0].shape)} along dimension {dim}")
    return [row for x in tensors for row in recorder.rows_of(x)]


def _cat(recorder: Any, tensors: list[Tensor], dim: int = 0) -> list[int]:
    return [row for x in tensors for row in _leading(recorder, x, dim)]


JOINS: Final[dict[str, Callable[..., list[int]]]] = {"stack": _stack, "cat": _cat}

VIEWS: Final[dict[str, Callable[..., Any]]] = {
    **dict.fromkeys(("alias", "detach", "expand", "lift_fresh", "lift_fresh_copy"), _identity),
    **dict.fromkeys(("view", "_unsafe_view", "reshape", "_reshape_alias"), _identity),
    "select": _select,
    "slice": _slice,
    "unbind": _unbind,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
}
