"""Weights of several layers that are one parameter, whose cells a training in place moves apart."""

from collections.abc import Iterable

from torch import nn

from memcore.errors import StaleCellsWarning, warn


def warn_of_tied(model: nn.Module, on_cells: Iterable[nn.Parameter]) -> None:
    """Say which parameters on cells other modules hold too.

    Args:
        model: the network.
        on_cells: its parameters that are on cells.

    Warns:
        StaleCellsWarning: one for each of them.
    """
    wanted = {id(parameter) for parameter in on_cells}
    holders: dict[int, list[str]] = {}
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in wanted:
                holders.setdefault(id(parameter), []).append(f"{module_name}.{name}".lstrip("."))
    for names in holders.values():
        if len(names) > 1:
            warn(_message(names), StaleCellsWarning)


def _message(names: list[str]) -> str:
    return (
        f"{' and '.join(names)} are one parameter; expected weights of their own: each layer on "
        "arrays has its own cells, pulses move these apart, and the parameter follows the last of "
        "them alone, without a gradient from where it is used digitally. Untie them before the "
        "conversion, layer.weight = nn.Parameter(layer.weight.detach().clone()), or use one layer "
        "in both places"
    )
