"""`cost`: what a network costs in energy, time and area, by a model of `memcore.costs`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import nn

from memcore._text import aligned, shown
from memcore.contracts.cost import Activity, Cost
from memcore.errors import ConfigError
from memcore.nn.counting import counting
from memcore.nn.feeding import Batches, Forward, batches, run
from memcore.nn.verbs import evaluating
from memcore.nn.walk import named_matrices, require_layers
from memcore.registry.specs import PluginSpec, plugin, provided_name


@dataclass(frozen=True)
class MatrixCost:
    """The cost of one matrix of a memristive layer.

    Args:
        name: qualified name of the matrix.
        activity: what its arrays did.
        cost: what that costs.
    """

    name: str
    activity: Activity
    cost: Cost


@dataclass(frozen=True)
class CostReport:
    """What `memcore.cost` found; `str()` is a table.

    Args:
        model: name of the cost model.
        layers: the matrices of the memristive layers.
    """

    model: str
    layers: tuple[MatrixCost, ...]

    @property
    def total(self) -> Cost:
        """The sum over all layers; their times add up, one layer after another."""
        return reduce(add, (layer.cost for layer in self.layers), Cost())

    def __str__(self) -> str:
        head = ("layer", "reads", "conversions", "energy", "time", "area")
        last = ("total", "", "", *_shown(self.total))
        rows = [
            (
                layer.name or "(the model)",
                f"{layer.activity.reads:,}",
                f"{layer.activity.conversions:,}",
                *_shown(layer.cost),
            )
            for layer in self.layers
        ]
        return "\n".join([f"cost model {self.model!r}", *aligned([head, *rows, last])])


@torch.no_grad()
def cost(
    network: nn.Module,
    inputs: Batches,
    *,
    model: PluginSpec = "array",
    forward: Forward | None = None,
    **parameters: Any,
) -> CostReport:
    """What running a network on some inputs costs in energy, time and area.

    The network is evaluated once, on all inputs, and what its arrays do is counted. Digital layers
    cost nothing here.

    Args:
        network: a converted network.
        inputs: a batch, or an iterable of batches or of (inputs, targets) pairs.
        forward: `forward(network, batch)`, where the network is called in another way.
        model: the cost model, a name of `memcore.costs`, a mapping or an instance.
        **parameters: parameters of a model given by its name or as a mapping, whose own entries
            they replace.

    Raises:
        ConversionError: the network has no memristive layer.
        ConfigError: the model or a parameter does not fit.

    Examples:
        >>> mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
        >>> memcore.cost(mem, torch.ones(5, 3), read_time=1e-8).total.time
        5e-08
    """
    require_layers(network)
    estimator = plugin("costs", _with(model, parameters))
    with evaluating(network), counting(network) as counts:
        for batch in batches(network, inputs, forward):
            run(network, batch, forward)
    matrices = named_matrices(network)
    unique = _first_names(matrices)
    layers = tuple(
        MatrixCost(name, counts[name], estimator.estimate(counts[name], matrix.crossbar.array()))
        for name, (_, matrix) in matrices.items()
        if name in unique
    )
    return CostReport(provided_name(estimator), layers)


def _with(model: PluginSpec, parameters: Mapping[str, Any]) -> PluginSpec:
    """A cost model together with parameters given beside it."""
    if isinstance(model, str):
        return {"name": model, **parameters}
    if isinstance(model, Mapping):
        return {**model, **parameters}
    if parameters:
        raise ConfigError(
            f"model={shown(model)} with {', '.join(parameters)}; expected the parameters in the "
            "model itself, or its name beside them"
        )
    return model


def _first_names(matrices: Mapping[str, tuple[nn.Module, nn.Module]]) -> set[str]:
    """One name of each matrix: a shared one is paid for once."""
    first: dict[nn.Module, str] = {}
    for name, (_, matrix) in matrices.items():
        first.setdefault(matrix, name)
    return set(first.values())


def _shown(cost: Cost) -> tuple[str, str, str]:
    return f"{cost.energy:.3g} J", f"{cost.time:.3g} s", f"{cost.area:.3g} m^2"
