"""Which channels a network has: who makes them, who reads them, what they hold when dead.

A signal follows the graph of a network from the layer that makes its channels to the layers that
read them. What is not understood opens the channels: they then stay as they are.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from memcore.compression.rows import ACTIVATIONS
from memcore.errors import ConversionError

_CONVOLUTIONS: Final = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS: Final = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_ELEMENTWISE: Final = (*ACTIVATIONS, nn.Identity)
_DROPOUTS: Final = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
_MAX_POOLS: Final = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVERAGE_POOLS: Final = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_ADAPTIVE: Final = (
    *(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d),
    *(nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d),
)
_FUNCTIONS: Final = {
    *(F.relu, F.relu6, F.leaky_relu, F.elu, F.gelu, F.silu, F.hardtanh, F.hardswish, F.softplus),
    *(torch.relu, torch.sigmoid, torch.tanh, F.sigmoid, F.tanh, F.mish, F.selu, F.hardsigmoid),
}
_METHODS: Final = {"relu", "sigmoid", "tanh", "contiguous"}
_POOLING: Final = {
    *(F.max_pool1d, F.max_pool2d, F.max_pool3d),
    *(F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d),
}
_ADDING: Final = {operator.add, operator.iadd, torch.add}


@dataclass(eq=False)
class Group:
    """Channels that go together.

    Attributes:
        width: number of channels.
        makers: layers whose filters they are.
        readers: layers that take them in.
        norms: batch norms between.
        open: why none of them may go, "" if they may.
    """

    width: int
    makers: list[str] = field(default_factory=list)
    readers: list["Reader"] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    open: str = ""
    into: "Group | None" = None

    def root(self) -> "Group":
        """The group that this one became part of."""
        return self if self.into is None else self.into.root()

    def join(self, other: "Group") -> None:
        """Become one with another group."""
        one, two = self.root(), other.root()
        if one is two:
            return
        one.makers += two.makers
        one.readers += two.readers
        one.norms += two.norms
        one.open = one.open or two.open
        two.into = one


@dataclass(frozen=True, eq=False)
class Signal:
    """Channels on their way.

    Attributes:
        group: the channels.
        dead: what a channel holds here whose filters are clear, float64 [width].
        flat: whether channels lie in the last dimension, each with its positions side by side.
    """

    group: Group
    dead: Tensor
    flat: bool


@dataclass(frozen=True, eq=False)
class Reader:
    """A layer that reads channels: `dead` is what clear channels hold there."""

    name: str
    dead: Tensor


def groups_of(model: nn.Module) -> list[Group]:
    """The groups of channels of a network, in evaluation mode.

    Raises:
        ConversionError: the network cannot be traced.
    """
    try:
        graph = fx.Tracer().trace(model)
    except Exception as error:  # whatever the code of the network raises when it is traced
        raise ConversionError(
            f"{type(model).__name__} cannot be traced, so nobody knows which layer reads which: "
            f"{type(error).__name__}: {error}; expected a forward pass without conditions on values"
        ) from error
    walk = _Walk(model, graph)
    for node in graph.nodes:
        walk.visit(node)
    return list(dict.fromkeys(group.root() for group in walk.groups))


class _Walk:
    """One way through the graph."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(model.named_modules())
        self.signals: dict[fx.Node, Signal] = {}
        self.groups: list[Group] = []
        called = [node.target for node in graph.nodes if node.op == "call_module"]
        self.again = {name for name in called if called.count(name) > 1}

    def visit(self, node: fx.Node) -> None:
        """Follow the channels through one operation, or open them where they are lost."""
        inputs = [each for each in node.all_input_nodes if each in self.signals]
        signal = self.signals[inputs[0]] if inputs else None
        found: Signal | None = None
        if node.op == "call_module":
            found = self._module(str(node.target), signal)
        elif _asks_a_size(node):
            return
        elif signal is not None:
            found = self._function(node, signal)
        if found is None:
            for each in inputs:
                _open(self.signals[each], node.target)
            return
        self.signals[node] = found
        if inputs and self._is_in_place(node):
            self.signals[inputs[0]] = found

    def _is_in_place(self, node: fx.Node) -> bool:
        """Whether an operation writes over its input, which others may read later."""
        if node.op == "call_module":
            return bool(getattr(self.modules[str(node.target)], "inplace", False))
        return node.target is operator.iadd or bool(node.kwargs.get("inplace", False))

    def _module(self, name: str, signal: Signal | None) -> Signal | None:
        module = self.modules[name]
        if type(module) in (nn.Linear, *_CONVOLUTIONS):
            return self._layer(name, module, signal)
        if signal is None:
            return None
        if type(module) in _NORMS:
            return self._norm(name, module, signal)
        if type(module) in _ELEMENTWISE:
            return replace(signal, dead=module(signal.dead.clone()))
        if type(module) in _DROPOUTS:
            return signal
        if type(module) in (*_MAX_POOLS, *_ADAPTIVE) and not signal.flat:
            return signal
        if type(module) in _AVERAGE_POOLS and not signal.flat and _is_plain_average(module):
            return signal
        if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
            return _flattened(signal)
        return None

    def _layer(self, name: str, module: nn.Module, signal: Signal | None) -> Signal | None:
        flat = type(module) is nn.Linear
        weight: Tensor = module.weight  # type: ignore[assignment]
        odd = name in self.again or int(getattr(module, "groups", 1)) != 1
        if signal is not None:
            width = signal.group.root().width
            fits = weight.shape[1] % width == 0 if flat else weight.shape[1] == width
            if fits and signal.flat == flat and not odd:
                signal.group.root().readers.append(Reader(name, signal.dead))
            else:
                _open(signal, name)
        if odd:
            return None
        bias: Tensor | None = module.bias  # type: ignore[assignment]
        dead = weight.new_zeros(len(weight)) if bias is None else bias
        group = Group(len(weight), [name])
        self.groups.append(group)
        return Signal(group, dead.detach().double(), flat)

    def _norm(self, name: str, module: nn.Module, signal: Signal) -> Signal | None:
        features = int(module.num_features)  # type: ignore[arg-type]
        width = signal.group.root().width
        mean, variance = module.running_mean, module.running_var
        # A norm behind flattening has features of single positions.
        if name in self.again or features != width or mean is None or variance is None:
            return None
        signal.group.root().norms.append(name)
        scale = (variance.double() + module.eps).rsqrt()  # type: ignore[operator]
        dead = (signal.dead - mean.double()) * scale  # type: ignore[operator]
        if module.affine:
            dead = dead * module.weight.double() + module.bias.double()  # type: ignore[operator]
        return replace(signal, dead=dead.detach())

    def _function(self, node: fx.Node, signal: Signal) -> Signal | None:
        if node.op == "call_function" and node.target in _ADDING:
            return self._added(node)
        if len([each for each in node.all_input_nodes if each in self.signals]) > 1:
            return None
        if _is_elementwise(node):
            dead = _called(node, signal.dead)
            return replace(signal, dead=dead)
        if node.op == "call_function" and node.target is F.dropout:
            return signal
        if node.op == "call_function" and node.target in _POOLING and not signal.flat:
            return signal
        if _is_flattening(node):
            return _flattened(signal)
        return None

    def _added(self, node: fx.Node) -> Signal | None:
        both = [self.signals.get(each) for each in node.args if isinstance(each, fx.Node)]
        one, two = both if len(both) == 2 else (None, None)
        if one is None or two is None or one.flat != two.flat or node.kwargs:
            return None
        if one.group.root().width != two.group.root().width:
            return None
        one.group.join(two.group)
        return replace(one, dead=one.dead + two.dead)


def _open(signal: Signal, by: object) -> None:
    group = signal.group.root()
    name = by if isinstance(by, str) else getattr(by, "__name__", str(by))
    group.open = group.open or f"{name} takes them in a way that is not followed"


def _flattened(signal: Signal) -> Signal | None:
    """All positions side by side; where channels came last they would not stay together."""
    return None if signal.flat else replace(signal, flat=True)


def _asks_a_size(node: fx.Node) -> bool:
    if node.op == "call_method" and node.target in ("size", "dim"):
        return True
    return node.op == "call_function" and node.target is getattr and node.args[1] == "shape"


def _is_elementwise(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in _METHODS
    return node.op == "call_function" and node.target in _FUNCTIONS


def _is_flattening(node: fx.Node) -> bool:
    """Whether an operation lays all positions of a sample side by side."""
    rest = (*node.args[1:], *node.kwargs.values())
    if node.target in ("flatten", torch.flatten):
        return rest == (1,)
    if node.op != "call_method" or node.target not in ("view", "reshape") or len(rest) != 2:
        return False
    return isinstance(rest[0], fx.Node) and bool(rest[1] == -1)


def _called(node: fx.Node, dead: Tensor) -> Tensor:
    """What an elementwise function makes of the values of clear channels."""
    rest = node.args[1:]
    if node.op == "call_method":
        method: Callable[..., Tensor] = getattr(dead.clone(), str(node.target))
        return method(*rest, **node.kwargs)
    function: Any = node.target
    result: Tensor = function(dead.clone(), *rest, **node.kwargs)
    return result


def _is_plain_average(module: nn.Module) -> bool:
    padding: Any = module.padding
    padded = any(padding) if isinstance(padding, tuple) else padding != 0
    return not (padded and module.count_include_pad)
