"""The first chip of a study, built again to look at: what its cells hold, what its wires take."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import hookimpl
from memcore.contracts.mapper import Reference
from memcore.contracts.product import Product
from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.given import drive_of
from memcore.crossbar.product import circuit_of
from memcore.errors import MemcoreError, StudyError
from memcore.nn.kinds import kind_of
from memcore.nn.walk import named_matrices
from memcore.registry.instances import manager
from memcore.study.evaluation import chip_seed
from memcore.study.layered import Arrays, arrays, converted, each
from memcore.study.models import MODELS
from memcore.study.network import Networks
from memcore.study.results import Results
from memcore.study.sweeps import configuration, points

#: Numbers of weights beyond which a layer is left out, so that a page is written in bounded time.
_MOST_WEIGHTS: Final = 600_000
_MOST_SOLVED: Final = 160_000  #: where writing is more than one step, or wires are solved
_FIELDS: Final = 32  #: fields of a map on each side


@dataclass(frozen=True)
class Held:
    """Cells of one kind in a layer.

    Attributes:
        kind: "positive", "negative" or "reference": how their currents enter the sum.
        targets: targets of the cells in S.
        held: what the cells conduct right after writing in S.
    """

    kind: str
    targets: Tensor
    held: Tensor


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


@dataclass(frozen=True)
class Seen:
    """One weight matrix of the chip.

    Attributes:
        name: qualified name.
        cells: its cells by kind.
        loss: what its wires take; None without line resistance.
    """

    name: str
    cells: tuple[Held, ...]
    loss: Loss | None


@dataclass(frozen=True)
class FirstChip:
    """The first chip of a study.

    Attributes:
        at: which crossbars it has, in words.
        matrices: its weight matrices.
        left_out: names of layers that are too large to be built again.
    """

    at: str
    matrices: tuple[Seen, ...]
    left_out: tuple[str, ...]


@torch.no_grad()
def first_chip(results: Results, *, own_code: bool = False) -> FirstChip:
    """Write the first chip of a study again, and look at its cells and its wires.

    Its converters are not calibrated, so the data set is not needed.

    Args:
        results: results of a study.
        own_code: whether a network that code of the study's own makes is built too.

    Raises:
        StudyError: the network, its weights or its crossbars cannot be built again.
    """
    general = results.study.study
    name = str(general.model["name"])
    if name not in MODELS and not own_code:
        raise StudyError(
            f"the network {name!r} is code of the study's own, which a report does not run unasked"
        )
    try:
        at, config = _crossbars(results)
        model = Networks(results.study, results.folder, torch.device("cpu")).loaded()
        taken, left_out = _bounded(model, config)
        if not taken:
            raise StudyError(f"its layers are too large to be built again: {', '.join(left_out)}")
        chip, targets = _written(model, taken, chip_seed(general, 0))
        seen = [
            Seen(name, tuple(_held(matrix.crossbar, targets[name])), loss_of(matrix.crossbar))
            for name, (_, matrix) in named_matrices(chip).items()
        ]
    except StudyError:
        raise
    except (MemcoreError, RuntimeError, OSError, LookupError) as error:  # whatever a model raises
        raise StudyError(str(error)) from error
    return FirstChip(at, tuple(seen), tuple(left_out))


def _crossbars(results: Results) -> tuple[str, Arrays]:
    """The table `[crossbar]`, or the first point where the table alone is not complete."""
    try:
        return "the crossbars of the table [crossbar]", arrays(results.study.crossbar)
    except MemcoreError:
        return "the first point of the study", configuration(points(results.study)[0])


def _bounded(model: nn.Module, config: Arrays) -> tuple[Arrays | None, list[str]]:
    """The crossbars with layers left digital that take too long, and the names of these."""
    plain = all(_is_quick(entry) for entry in each(config))
    room = _MOST_WEIGHTS if plain else _MOST_SOLVED
    kept: list[str] = []
    left_out: list[str] = []
    for name, module in model.named_modules():
        if kind_of(module) is None:
            continue
        size = sum(parameter.numel() for parameter in module.parameters())
        fits = size <= room
        room -= size if fits else 0
        (kept if fits else left_out).append(name)
    if not kept:
        return None, left_out
    rest = {"*": config} if isinstance(config, CrossbarConfig) else config
    return {**dict.fromkeys(left_out), **rest}, left_out


def _is_quick(config: CrossbarConfig) -> bool:
    wired = any("wires" in effect.brings or effect.exact() for effect in config.effects.values())
    return not wired and (config.programmer is None or not config.programmer.through_lines)


class _Targets:
    """Keeps what the cells of each matrix should hold."""

    def __init__(self) -> None:
        self.of: dict[str, Tensor] = {}

    @hookimpl
    def memcore_array_programmed(self, array: ArrayInfo) -> None:
        if array.target is not None:
            self.of[array.name] = array.target


def _written(model: nn.Module, config: Arrays, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    listener, hooks = _Targets(), manager()
    hooks.register(listener)
    try:
        return converted(model, config, seed).eval(), listener.of
    finally:
        hooks.unregister(listener)


def _held(crossbar: Crossbar, target: Tensor) -> Iterator[Held]:
    """The used cells of a matrix, by how their currents enter the sum."""
    held = crossbar.programmed.expand(target.shape)
    kinds = _kinds(crossbar.cells)
    for number, kind in enumerate(("positive", "negative", "reference")):
        chosen = kinds == number
        if bool(chosen.any()):
            yield Held(kind, target[chosen].double(), held[chosen].double())


def _kinds(cells: Cells) -> Tensor:
    """The kind of each cell [arrays, rows, cols]: 0, 1 or 2 as above, -1 where it is not used."""
    tiling = cells.tiling
    shape = (tiling.arrays, tiling.array_rows, tiling.array_cols)
    full = [part for part in cells.parts if not isinstance(part, Reference)]
    kinds = torch.full(shape, -1)
    for array in range(tiling.arrays):
        part, _, row_tile, col_tile = tiling.place(array)
        rows = min(tiling.rows - row_tile * tiling.array_rows, tiling.array_rows)
        cols = min(tiling.cols - col_tile * tiling.data_cols, tiling.data_cols)
        kinds[array, :rows, :cols] = 0 if full[part].sign > 0 else 1
        kinds[array, :rows, tiling.data_cols : tiling.data_cols + tiling.references] = 2
    return kinds


def loss_of(crossbar: Crossbar) -> Loss | None:
    """What the wires of a matrix take, in the array that loses most."""
    cells, product = crossbar.cells, crossbar.cells.effects.product
    g = cells.conductance.double()
    circuit = circuit_of(product, g)
    tiling = cells.tiling
    volts = torch.full((tiling.groups, tiling.rows), cells.config.read_voltage, dtype=g.dtype)
    volts = volts if tiling.groups > 1 else volts[0]
    if circuit is not None and circuit.wires is None:
        return None
    if circuit is not None:
        drive = drive_of(volts, tiling, len(circuit.g))
        shares = 1 - circuit.solve(drive).cell_voltage / cells.config.read_voltage
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
