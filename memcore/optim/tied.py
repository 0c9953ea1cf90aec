"""Weights of several layers that are one parameter, whose cells a training in place moves apart."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from memcore.errors import StaleCellsWarning, warn
from memcore.nn.extent import Extent


def warn_of_tied(model: nn.Module, on_cells: Iterable[Tensor]) -> None:
    """Say which weights on cells have more than one name, or are the memory of others too.

    Args:
        model: the network.
        on_cells: its parameters that are on cells.

    Warns:
        StaleCellsWarning: one for each of them.
    """
    named = _named(model)
    said = set()
    for parameter in on_cells:
        extent = Extent(parameter)
        names = tuple(name for name, other in named[extent.storage] if extent.meets(other))
        if len(names) > 1 and names not in said:
            said.add(names)
            warn(_message(names), StaleCellsWarning)


def _named(model: nn.Module) -> dict[int, list[tuple[str, Extent]]]:
    """Where all parameters lie, by storage; a parameter under each of its names."""
    named: dict[int, list[tuple[str, Extent]]] = defaultdict(list)
    for module_name, module in model.named_modules():
        every = module.named_parameters(recurse=False, remove_duplicate=False)
        for name, parameter in every:
            if is_lazy(parameter) or parameter.layout != torch.strided:
                continue  # it has no memory that a weight on cells could be in
            extent = Extent(parameter)
            named[extent.storage].append((f"{module_name}.{name}".lstrip("."), extent))
    return named


def _message(names: Iterable[str]) -> str:
    return (
        f"{' and '.join(names)} are one parameter; expected weights of their own: each layer on "
        "arrays has its own cells, pulses move these apart, and the parameter follows the last of "
        "them alone, without a gradient from where it is used digitally. Untie them before the "
        "conversion, layer.weight = nn.Parameter(layer.weight.detach().clone()), or use one layer "
        "in both places"
    )
