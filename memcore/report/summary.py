"""What a converted network is: geometry, effects, provenance."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from memcore._text import aligned
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution
from memcore.contracts.layer import Layer
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.adapters import ADAPTER, adapters
from memcore.nn.kinds import digital_class, kind_of, no_form, why_not
from memcore.nn.matrix import Matrix
from memcore.nn.walk import named_matrices, unique_layers, weights_of
from memcore.registry.hooks import notes
from memcore.registry.instances import manager
from memcore.report.wires import Loss, loss_of


@dataclass(frozen=True)
class LayerSummary:
    """One matrix of a memristive layer; conductances in S.

    `loss` is what the wires take in the array that loses most, where that was asked for.
    """

    name: str
    kind: str
    rows: int
    cols: int
    arrays: int
    cells: int
    utilisation: float
    lowest: float
    highest: float
    effects: tuple[str, ...]
    loss: Loss | None = None


@dataclass(frozen=True)
class Summary:
    """What `memcore.summary` found; `str()` is a table.

    Args:
        layers: the matrices of the memristive layers.
        digital: modules with parameters that stayed digital, and products of layers that no array
            computes, each with the reason.
        notes: what plugins add.
        weights: numbers in the weight matrices of the whole network, and how many of them are on
            crossbars.
        tied: modules that have one weight in common. Each that is on crossbars has arrays of its
            own, written from that weight.
    """

    layers: tuple[LayerSummary, ...]
    digital: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...] = ()
    weights: tuple[int, int] = (0, 0)
    tied: tuple[tuple[str, ...], ...] = ()

    @property
    def share(self) -> float:
        """Share of the weights that is on crossbars; biases and norms do not count."""
        whole, on_crossbars = self.weights
        return on_crossbars / whole if whole else 1.0

    @property
    def cells(self) -> int:
        """Cells of all arrays."""
        return sum(layer.cells for layer in self.layers)

    @property
    def arrays(self) -> int:
        """All arrays."""
        return sum(layer.arrays for layer in self.layers)

    def __str__(self) -> str:
        head = ("layer", "kind", "matrix", "arrays", "cells", "used", "conductance", "effects")
        rows = [[*head], *map(_row, self.layers)]
        if any(layer.loss for layer in self.layers):
            for cells, text in zip(rows, ["wires take", *map(_lost, self.layers)], strict=True):
                cells.insert(-1, text)
        lines = aligned(rows)
        lines.append(
            f"{self.arrays} arrays, {self.cells:,} cells in {len(self.layers)} layers; "
            f"{100 * self.share:.3g} % of the weights are on crossbars"
        )
        if self.digital:
            lines += ["", "stayed digital:"]
            lines += [f"  {name or '(the model)'}: {reason}" for name, reason in self.digital]
        if self.tied:
            lines += ["", "one weight, written into the arrays of each:"]
            lines += [f"  {', '.join(names)}" for names in self.tied]
        for title, text in self.notes:
            lines += ["", f"{title}: {text}"]
        return "\n".join(lines)


@torch.no_grad()
def summary(model: nn.Module, *, wires: bool = False) -> Summary:
    """Tiles, cells, utilisation, conductance range and effects of each layer.

    Args:
        model: a converted network.
        wires: whether to solve the arrays for the voltage that wires take from their cells when
            all word lines are driven alike; takes time for large networks. Approximations that
            depend on the inputs, as `ir_drop_profile`, have no such share and tell none.

    Raises:
        ConversionError: it has no memristive layer.
    """
    matrices = named_matrices(model)
    return Summary(
        tuple(_summarise(name, *found, wires) for name, found in matrices.items()),
        tuple(_digital(model)),
        tuple(notes(manager(), model)),
        weights_of(model),
        tied(model),
    )


def _digital(model: nn.Module) -> Iterator[tuple[str, str]]:
    """What stayed digital, and why, in the order of the network."""
    inside = {module for layer in unique_layers(model) for module in layer.modules()}
    is_adapter = adapters(model)
    for name, module in model.named_modules():
        if isinstance(module, Layer) and module.stays_digital:
            yield name, module.stays_digital
        elif module not in inside and any(True for _ in module.parameters(recurse=False)):
            yield name, ADAPTER if is_adapter(name) else _reason(module)


def tied(model: nn.Module) -> tuple[tuple[str, ...], ...]:
    """The names of modules that have one weight in common, at least one of them on crossbars."""
    holders: dict[nn.Parameter, list[tuple[str, nn.Module]]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            if not is_lazy(parameter) and parameter.dim() > 1:
                holders.setdefault(parameter, []).append((name, module))
    return tuple(
        tuple(name for name, _ in modules)
        for modules in holders.values()
        if len(modules) > 1 and any(isinstance(module, Layer) for _, module in modules)
    )


def effects(config: CrossbarConfig) -> list[str]:
    """Everything about arrays that is not ideal, by name."""
    found = list(config.effects)
    spread = device_effect(config)
    if spread is not None:
        found.insert(0, spread)
    found += [name for name in ("dac", "adc") if getattr(config, name) is not None]
    return found


def _summarise(name: str, layer: Layer, matrix: Matrix, wires: bool) -> LayerSummary:
    tiling, g = matrix.crossbar.tiling, matrix.crossbar.conductance
    return LayerSummary(
        name=name,
        kind=digital_class(layer.digital()).__name__,
        rows=tiling.own_rows,
        cols=tiling.cols * tiling.groups,
        arrays=tiling.arrays,
        cells=tiling.cells,
        utilisation=tiling.used_cells / tiling.cells,
        lowest=float(g.min()),
        highest=float(g.max()),
        effects=tuple(effects(matrix.crossbar.config)),
        loss=loss_of(matrix.crossbar) if wires else None,
    )


def device_effect(config: CrossbarConfig) -> str | None:
    """The name of the spread of device parameters, None if they have none."""
    spread = dict.fromkeys(name for device in config.devices for name in _spread(device))
    return f"device({', '.join(spread)})" if spread else None


def _spread(device: Memristor) -> Iterator[str]:
    """The parameters of a device that differ from cell to cell."""
    nominal = device.nominal()
    for field in dataclasses.fields(device):  # type: ignore[arg-type]
        if _differ(getattr(device, field.name), getattr(nominal, field.name)):
            yield field.name


def _differ(value: Any, nominal: Any) -> bool:
    """Whether a parameter is one of those that spread cells."""
    return isinstance(value, Distribution) or (isinstance(value, bool) and value is not nominal)


def _reason(module: nn.Module) -> str:
    layer = kind_of(module)
    refused = "" if layer is None else why_not(module, layer)
    if refused:
        return refused
    if layer is not None:
        return f"{digital_class(module).__name__} left out when the model was converted"
    return no_form(module)


def _lost(layer: LayerSummary) -> str:
    loss = layer.loss
    if loss is None:
        return "nothing"
    return f"{100 * loss.mean:.2g} %, at most {100 * loss.largest:.2g} %"


def _row(layer: LayerSummary) -> list[str]:
    return [
        layer.name or "(the model)",
        layer.kind,
        f"{layer.rows} x {layer.cols}",
        str(layer.arrays),
        f"{layer.cells:,}",
        f"{100 * layer.utilisation:.0f} %",
        f"{layer.lowest:.3g} .. {layer.highest:.3g} S",
        ", ".join(layer.effects) or "none",
    ]
