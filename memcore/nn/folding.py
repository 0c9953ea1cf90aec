"""Batch norms folded into the weights of the layer before them."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from memcore.errors import NoEffectWarning, ShapeError, warn
from memcore.nn.walk import replace_module

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class FoldedNorm(nn.Module):
    """What is left of a batch norm whose factors and offsets are in the weights before it.

    Args:
        dims: dimensions of its input for which that is so, None for any.
    """

    def __init__(self, dims: int | None) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, input: Tensor) -> Tensor:
        """The input as it is."""
        if self.dims is not None and input.dim() != self.dims:
            raise ShapeError(
                f"input of a folded batch norm has {input.dim()} dimensions, of which the last one "
                f"are not its channels; expected {self.dims}: convert without fold_batch_norm"
            )
        return input

    def extra_repr(self) -> str:
        """Nothing but its name says more."""
        return ""


@torch.no_grad()
def fold_batch_norms(model: nn.Module, chosen: Callable[[nn.Module, str], bool]) -> nn.Module:
    """Fold each batch norm into the layer before it, with its running statistics.

    A pair is folded where the layer feeds the norm alone, both are called at one place, and
    neither has hooks. Parts of a network that `torch.fx` cannot follow are searched one by one.

    Args:
        model: a digital network, which is changed.
        chosen: `chosen(module, name)`, whether a layer is one to fold into.

    Warns:
        NoEffectWarning: there is no such pair.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    uses = Counter(modules.values())
    shared = Counter(p for m in uses for p in m.parameters(recurse=False))
    count = 0
    for first, second in list(_pairs(model, "")):
        layer, norm = modules[first], modules[second]
        single = uses[layer] == uses[norm] == 1
        own = all(shared[p] == 1 for p in layer.parameters(recurse=False))
        if single and own and _fits(layer, norm) and chosen(layer, first):
            _fold(layer, norm)
            dims = 2 if isinstance(layer, nn.Linear) else None
            model = replace_module(model, second, FoldedNorm(dims).train(norm.training))
            count += 1
    if not count:
        warn(
            "fold_batch_norm changes nothing: no batch norm with running statistics stands right "
            "behind a layer that is converted; expected a network with such norms, or no "
            "fold_batch_norm",
            NoEffectWarning,
        )
    return model


def _pairs(module: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
    """Names of modules of which the second one alone takes the output of the first."""
    try:
        graph = fx.Tracer().trace(module)
    except Exception:  # whatever the code of a user raises on symbols
        for name, child in module.named_children():
            yield from _pairs(child, f"{prefix}{name}.")
        return
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    for node in calls:
        source = node.args[0] if len(node.args) == 1 and not node.kwargs else None
        if not isinstance(source, fx.Node) or source.op != "call_module":
            continue
        if len(source.users) == 1 and times[source.target] == times[node.target] == 1:
            yield f"{prefix}{source.target}", f"{prefix}{node.target}"


def _fits(layer: Any, norm: Any) -> bool:
    if type(layer) not in _LINEAR or type(norm) not in _NORMS or is_parametrized(layer):
        return False
    hooks = any(
        each._forward_hooks or each._forward_pre_hooks or each._backward_hooks
        for each in (layer, norm)
    )
    channels = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    known = norm.running_mean is not None and norm.num_features == channels
    return not hooks and known and isinstance(layer.weight, nn.Parameter)


def _fold(layer: Any, norm: Any) -> None:
    weight, bias = layer.weight, layer.bias
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    factor = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.double()
    before = -mean if bias is None else bias.double() - mean
    offset = before * factor
    if norm.bias is not None:
        offset = offset + norm.bias.double()
    weight.copy_(weight.double() * _of_outputs(layer, factor))
    if bias is None:
        layer.bias = nn.Parameter(offset.to(weight), requires_grad=weight.requires_grad)
    else:
        bias.copy_(offset)


def _of_outputs(layer: Any, factor: Tensor) -> Tensor:
    """The factor of each output for each weight, to be broadcast."""
    weight = layer.weight
    if not isinstance(layer, _TRANSPOSED):
        return factor.view(-1, *[1] * (weight.dim() - 1))
    of_group = factor.view(layer.groups, 1, -1)
    of_input = of_group.expand(-1, layer.in_channels // layer.groups, -1).flatten(0, 1)
    return of_input.reshape(*of_input.shape, *[1] * (weight.dim() - 2))
