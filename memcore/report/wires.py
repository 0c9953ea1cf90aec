"""What wires take from the cells of a crossbar: voltage, or conductance by approximation."""

from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.product import Product
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.given import drive_of
from memcore.crossbar.lane_effects import LaneEffects
from memcore.crossbar.product import circuit_of
from memcore.crossbar.tiling import Tiling

_FIELDS: Final = 32  #: fields of a map on each side


@dataclass(frozen=True)
class Loss:
    """What the wires take from the cells of one array when all word lines are driven alike.

    Attributes:
        quantity: "voltage" that does not reach a cell, or "conductance" that does not count where
            an effect approximates the wires; both as parts of the whole.
        array: number of the array that loses most on average.
        shape: numbers of its driven word lines and its bit lines.
        shares: losses [rows, cols] of fields of cells.
        mean: mean loss.
        largest: loss of the cell that loses most.
    """

    quantity: str
    array: int
    shape: tuple[int, int]
    shares: Tensor
    mean: float
    largest: float


def loss_of(crossbar: Crossbar) -> Loss | None:
    """What the wires of a matrix take, in the array that loses most; None without resistance."""
    cells, effects = crossbar.cells, crossbar.cells.effects
    g, volts = cells.conductance.double(), cells.config.read_voltage
    if not isinstance(effects, LaneEffects):
        return _loss(effects.product, g, cells.tiling, volts)
    found, first = [], 0
    for own, some, tiling in effects.by_lane(g, cells.tiling):
        loss = _loss(own.product, some, tiling, volts)
        found += [] if loss is None else [replace(loss, array=first + loss.array)]
        first += len(some)
    return max(found, key=lambda loss: loss.mean, default=None)


def _loss(product: nn.Module | None, g: Tensor, tiling: Tiling, read_voltage: float) -> Loss | None:
    """What the wires of arrays with cells of one kind take."""
    circuit = circuit_of(product, g)
    volts = torch.full((tiling.groups, tiling.rows), read_voltage, dtype=g.dtype, device=g.device)
    volts = volts if tiling.groups > 1 else volts[0]
    if circuit is not None and circuit.wires is None:
        return None
    if circuit is not None:
        drive = drive_of(volts, tiling, len(circuit.g))
        shares = 1 - circuit.solve(drive).cell_voltage / read_voltage
        return _largest("voltage", shares, drive.word_line != 0)
    if not isinstance(product, Product) or not product.is_linear:
        return None
    driven = drive_of(volts, tiling, len(g)).word_line != 0
    whole = g.clamp(min=torch.finfo(torch.float32).tiny)
    return _largest("conductance", 1 - product.matrix(g) / whole, driven)


def _largest(quantity: str, shares: Tensor, driven: Tensor) -> Loss:
    counted = shares.masked_fill(~driven.unsqueeze(-1), torch.nan)
    array = int(counted.flatten(1).nanmean(1).nan_to_num(nan=-1.0).argmax())
    of = shares[array][driven[array]]
    rows, cols = of.shape
    fields = (min(rows, _FIELDS), min(cols, _FIELDS))
    mapped = F.adaptive_avg_pool2d(of[None, None], fields)[0, 0]
    return Loss(quantity, array, (rows, cols), mapped, float(of.mean()), float(of.max()))
