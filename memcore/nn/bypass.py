"""Which weights a network multiplies past the arrays that hold them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from memcore._text import some
from memcore.contracts.layer import Layer
from memcore.errors import NoEffectWarning, warn
from memcore.nn.extent import Extent
from memcore.nn.walk import require_layers

#: Names of the functions and methods of torch that multiply by a matrix.
_PRODUCT = re.compile(
    "(bi)?linear|(__r?)?matmul(__)?|b?mm|mv|addm[mv]|addbmm|baddbmm|einsum|tensordot|inner|"
    "conv(_transpose)?[123]d|multi_head_attention_forward"
)


class _Watching(TorchFunctionMode):
    """Notes products with a weight of a layer that happen outside of that layer's call."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        super().__init__()
        self.names: dict[str, None] = {}
        self.calls = 0  # layers that are being called
        self._owners: dict[int, list[tuple[str, Extent]]] = defaultdict(list)
        for name, layer in layers.items():
            for parameter in layer.parameters():
                if parameter.dim() > 1:
                    extent = Extent(parameter)
                    self._owners[extent.storage].append((name, extent))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        named = dict(kwargs or {})
        if not self.calls and _PRODUCT.fullmatch(getattr(func, "__name__", "")):
            for x in _tensors((*args, *named.values())):
                self._note(x)
        return func(*args, **named)

    def _note(self, x: Tensor) -> None:
        """Keep the name of the last layer that has memory of a factor in its weights."""
        owners = self._owners.get(x.untyped_storage().data_ptr(), ())
        names = [name for name, extent in owners if extent.meets(Extent(x))]
        if names:
            self.names[names[-1]] = None

    def enter(self, *_: object) -> None:
        """Called before each call of a layer."""
        self.calls += 1

    def leave(self, *_: object) -> None:
        """Called after each call of a layer."""
        self.calls -= 1


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            if not value.is_nested and value.layout is torch.strided:
                yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


@contextmanager
def watched(model: nn.Module) -> Iterator[Mapping[str, None]]:
    """The names of layers whose weights are multiplied past their arrays while the block runs.

    A view counts as the weight itself, so `x @ layer.weight.t()` is seen; a copy is not.
    """
    layers = require_layers(model)
    watching, handles = _Watching(layers), []
    for layer in dict.fromkeys(layers.values()):
        handles.append(layer.register_forward_pre_hook(watching.enter, prepend=True))
        handles.append(layer.register_forward_hook(watching.leave, always_call=True))
    try:
        with watching:
            yield watching.names
    finally:
        for handle in handles:
            handle.remove()


def warn_of_bypass(names: Iterable[str]) -> None:
    """Say which weights a network multiplies past their arrays.

    Warns:
        NoEffectWarning: there are some.
    """
    past = tuple(names)
    if past:
        warn(
            f"the network multiplies by the weights of {some(past)} past their arrays, which do "
            "not take part in that product; expected a call of the layer, layer(x), instead of "
            "functional.linear(x, layer.weight), or a filter_fn that leaves it digital",
            NoEffectWarning,
        )
