"""`traced`: what a network asks of its layers, from shapes alone; nothing is computed."""

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from memcore.contracts.cost import LayerWork
from memcore.contracts.layer import Layer
from memcore.errors import ConfigError, ConversionError
from memcore.nn.feeding import Forward, run
from memcore.nn.shapes import CONVOLUTIONS, by_shape_alone, largest, numbers
from memcore.nn.walk import require_module

#: What is hooked: whatever happens inside of one belongs to it.
_LAYERS: Final = (nn.Linear, *CONVOLUTIONS, nn.RNNBase, nn.MultiheadAttention)
aten = torch.ops.aten
#: Where the window, its step and its padding stand among the arguments of a pool.
_LARGEST: Final = {aten.max_pool2d_with_indices, aten.max_pool3d_with_indices}
_POOLS: Final = {*_LARGEST, aten.avg_pool2d, aten.avg_pool3d}
_ADAPTIVE: Final = {
    aten._adaptive_avg_pool2d,
    aten._adaptive_avg_pool3d,
    aten.adaptive_max_pool2d,
    aten.adaptive_max_pool3d,
}
_PRODUCTS: Final = {aten.mm, aten.addmm, aten.bmm, aten.baddbmm, aten.convolution}


@dataclass(frozen=True)
class Traced:
    """The layers of a network in the order in which they are computed.

    Args:
        layers: linear layers, convolutions, pools and sums of results.
        elsewhere: matrix products outside of linear layers and convolutions, in attention for
            instance, which nothing prices.
    """

    layers: tuple[LayerWork, ...]
    elsewhere: int = 0


@torch.no_grad()
def traced(
    model: nn.Module, batch: Any, *, inputs: int = 0, forward: Forward | None = None
) -> Traced:
    """What a network asks of its layers for a batch.

    One forward pass on tensors without data finds the shapes. Layers on crossbars count as the
    digital ones that they stand for.

    Args:
        model: a network, converted or not; it stays as it is.
        batch: an input of the network, as `run` takes it.
        inputs: number of inputs of all batches; those of this one by default.
        forward: `forward(model, batch)`, where the network is called in another way.

    Raises:
        ConversionError: the forward pass looks at values, or does not fit the batch.
    """
    require_module(model)
    batch = tree_map(lambda x: x.to("meta") if isinstance(x, Tensor) else x, batch)
    size = batch_size(batch)
    recorder = _Recorder(size)
    try:
        network = _skeleton(model)
        recorder.watch(network)
        with recorder:
            run(network, batch, forward)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AssertionError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionError(
            f"the shapes of {type(model).__name__} cannot be followed: {reason}; expected inputs "
            "that fit the network, and a forward pass that does not depend on values"
        ) from error
    layers = tuple(dataclasses.replace(each, inputs=inputs or size) for each in recorder.layers)
    return Traced(layers, recorder.elsewhere)


def batch_size(batch: Any) -> int:
    """The number of inputs in a batch: the length of its first tensor.

    Raises:
        ConfigError: it has none.
    """
    sizes = [len(x) for x in tree_leaves(batch) if isinstance(x, Tensor) and x.dim()]
    if not sizes or not sizes[0]:
        raise ConfigError("the batch has no input; expected at least one")
    return sizes[0]


def _skeleton(model: nn.Module) -> nn.Module:
    """A copy without data, with the digital layers in the place of memristive ones."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for each in (module, module.digital()) if isinstance(module, Layer) else (module,):
            _without_data(each, memo)
    for module in model.modules():
        if isinstance(module, Layer):
            memo[id(module)] = copy.deepcopy(module.digital(), memo)
    skeleton: nn.Module = copy.deepcopy(model, memo)
    return skeleton.eval()


def _without_data(module: nn.Module, memo: dict[int, Any]) -> None:
    plain = [*module._buffers.values(), *vars(module).values()]
    for tensor in plain:
        if isinstance(tensor, Tensor):
            memo[id(tensor)] = tensor.detach().to("meta")
    for parameter in module._parameters.values():
        if parameter is not None:
            empty = parameter.detach().to("meta")
            memo[id(parameter)] = nn.Parameter(empty, requires_grad=False)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows which layer's results each tensor is made of."""

    def __init__(self, size: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.layers: list[LayerWork] = []
        self.elsewhere = 0
        self._size = size
        self._depth = 0
        self._calls: Counter[str] = Counter()
        # Tensors are kept, so that no other gets the identity of one.
        self._made_of: dict[int, tuple[Tensor, tuple[int, ...]]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and torch imports its compiler to skip it

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        compute = largest if func.overloadpacket in _LARGEST else func
        out = compute(*args, **(kwargs or {}))
        if self._depth:
            return out
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        results = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        sources = self._sources(given)
        operation = func.overloadpacket
        if operation in _PRODUCTS and sources:
            self.elsewhere += 1
        if results:
            sources = self._note(operation, args, given, results[0], sources)
        for result in results:
            self._made_of[id(result)] = (result, sources)
        return out

    def watch(self, network: nn.Module) -> None:
        """Note the layers of a network without data when they are called."""
        for name, module in network.named_modules():
            by_shape_alone(module)
            if isinstance(module, _LAYERS):
                module.register_forward_pre_hook(self.enter)
                module.register_forward_hook(self.leaving(name), with_kwargs=True)

    def enter(self, module: nn.Module, inputs: Any) -> None:
        """Look at nothing inside of a layer."""
        del module, inputs
        self._depth += 1

    def leaving(self, name: str) -> Callable[[nn.Module, Any, Any, Any], None]:
        """The hook that notes a layer when it is done."""

        def note(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
            self._depth -= 1
            if self._depth:
                return
            inputs = [*args, *kwargs.values()]
            made = self._sources(tree_leaves(inputs))
            if isinstance(module, nn.MultiheadAttention):
                self.elsewhere += 2  # of queries with keys, and of weights with values
            for part, work in _works(module, inputs, out, self._size):
                made = self._add(f"{name}.{part}".strip("."), work, made)
            for result in tree_leaves(out):
                self._made_of[id(result)] = (result, made)

        return note

    def _sources(self, tensors: Sequence[Any]) -> tuple[int, ...]:
        found = {n for each in tensors for n in self._made_of.get(id(each), (None, ()))[1]}
        return tuple(sorted(found))

    def _note(
        self, operation: Any, args: Sequence[Any], given: list[Tensor], out: Tensor, sources: Any
    ) -> tuple[int, ...]:
        """Note a pool or a sum; what the result is made of."""
        window = _window(operation, args, out)
        if window is not None and sources:
            x, dims = given[0], len(window["kernel"])
            whole = out if out.dim() == x.dim() else out[(..., *(None,) * dims)]
            work = LayerWork(kind="pool", **window, **_space(x, whole, dims, self._size))
            return self._add("pool", work, sources)
        terms = [self._sources([each]) for each in given[:2]]
        is_sum = operation in (aten.add, aten.add_) and len(terms) == 2 and all(terms)
        if is_sum and terms[0] != terms[1] and given[0].shape == given[1].shape:
            space = max(0, out.dim() - 2) if out.dim() > 3 else 0
            work = LayerWork(kind="sum", **_space(given[0], out, space, self._size))
            return self._add("sum", work, sources)
        return sources  # type: ignore[no-any-return]

    def _add(self, name: str, work: LayerWork, sources: tuple[int, ...]) -> tuple[int, ...]:
        self._calls[name] += 1
        count = self._calls[name]
        matrix = work.kind == "matrix"
        label = name if count == 1 and matrix else f"{name}_{count}"
        repeated = matrix and count > 1
        self.layers.append(
            dataclasses.replace(work, name=label, sources=sources, repeated=repeated)
        )
        return (len(self.layers) - 1,)


def _works(
    module: nn.Module, inputs: Sequence[Any], out: Any, size: int
) -> Iterator[tuple[str, LayerWork]]:
    """The matrices of a layer, with names where there are several, one working after another."""
    if isinstance(module, nn.RNNBase):
        vectors = inputs[0].data.numel() // module.input_size
        for name, weight in module.named_parameters():
            if weight.dim() == 2:
                yield name, _product(weight.shape[1], weight.shape[0], vectors, size)
    elif isinstance(module, nn.MultiheadAttention):
        whole, widths = module.embed_dim, (module.embed_dim, module.kdim, module.vdim)
        for name, x, width in zip("qkv", inputs, widths, strict=False):
            yield (
                f"{name}_proj",
                _product(width or whole, whole, x.numel() // (width or whole), size),
            )
        yield "out_proj", _product(whole, whole, inputs[0].numel() // whole, size)
    else:
        yield "", _work(module, inputs[0], out, size)


def _product(rows: int, cols: int, vectors: int, size: int) -> LayerWork:
    """The work of a matrix for so many vectors of so many inputs of the network."""
    return LayerWork(rows=rows, cols=cols, channels=rows, positions=max(1, vectors // size))


def _work(module: nn.Module, x: Tensor, out: Tensor, size: int) -> LayerWork:
    if isinstance(module, nn.Linear):
        vectors = out.numel() // max(1, module.out_features)
        return _product(module.in_features, module.out_features, vectors, size)
    assert isinstance(module, CONVOLUTIONS)
    kernel, groups = tuple(module.kernel_size), module.groups
    padded: Sequence[int] = module._reversed_padding_repeated_twice
    return LayerWork(
        rows=module.in_channels // groups * prod(kernel),
        cols=module.out_channels // groups,
        groups=groups,
        kernel=kernel,
        stride=tuple(module.stride),
        padding=tuple(padded[::2][::-1]),
        **_space(x, out, len(kernel), size),
    )


def _space(x: Tensor, out: Tensor, dims: int, inputs: int) -> dict[str, Any]:
    size, out_size = (tuple(each.shape[each.dim() - dims :]) for each in (x, out))
    channels, results = (each.shape[each.dim() - dims - 1] for each in (x, out))
    return {
        "channels": channels,
        "size": size,
        "out_size": out_size,
        "positions": max(1, out.numel() // max(1, results * inputs)),
    }


def _window(operation: Any, args: Sequence[Any], out: Tensor) -> Mapping[str, Any] | None:
    """Kernel, stride and padding of a pool; None for anything else and for a window of one."""
    if operation in _POOLS:
        dims = out.dim() - 2 if out.dim() > 3 else out.dim() - 1
        kernel = numbers(args[1], dims)
        stride = numbers(args[2], dims) if len(args) > 2 and args[2] else kernel
        padding = numbers(args[3], dims) if len(args) > 3 else (0,) * dims
    elif operation in _ADAPTIVE or (operation is aten.mean and _is_over_space(args)):
        dims = 2
        size, target = args[0].shape[-2:], out.shape[-2:] if operation in _ADAPTIVE else (1, 1)
        kernel = tuple(-(-whole // part) for whole, part in zip(size, target, strict=True))
        stride, padding = kernel, (0,) * dims
    else:
        return None
    if prod(kernel) == 1:
        return None
    return {"kernel": kernel, "stride": stride, "padding": padding}


def _is_over_space(args: Sequence[Any]) -> bool:
    """Whether a mean is one of images over their last two dimensions."""
    x, dims = args[0], args[1] if len(args) > 1 else None
    return x.dim() == 4 and sorted(d % 4 for d in dims or ()) == [2, 3]
