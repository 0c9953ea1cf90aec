"""The first chip of a study, built again to look at: what its cells hold, what its wires take."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import hookimpl
from memcore.contracts.mapper import Reference
from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import MemcoreError, NoEffectWarning, StudyError
from memcore.nn.kinds import kind_of
from memcore.nn.walk import named_matrices
from memcore.registry.instances import manager
from memcore.report.wires import Loss, loss_of
from memcore.study.evaluation import chip_seed
from memcore.study.layered import Arrays, arrays, converted, each
from memcore.study.life import Life
from memcore.study.models import MODELS
from memcore.study.network import Networks
from memcore.study.results import Results
from memcore.study.sweeps import configuration, points

#: Numbers of weights beyond which a layer is left out, so that a page is written in bounded time.
_MOST_WEIGHTS: Final = 600_000
_MOST_SOLVED: Final = 160_000  #: where writing is more than one step, or wires are solved


@dataclass(frozen=True)
class Held:
    """Cells of one kind in a layer.

    Attributes:
        kind: "positive", "negative" or "reference": how their currents enter the sum.
        targets: targets of the cells in S.
        held: what the cells conduct right after writing in S.
        aged: what they conduct after the longest life of the study in S; None if nothing passes.
    """

    kind: str
    targets: Tensor
    held: Tensor
    aged: Tensor | None = None


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
        life: what its aged cells lived through.
    """

    at: str
    matrices: tuple[Seen, ...]
    left_out: tuple[str, ...]
    life: Life = field(default_factory=Life)


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
    if results.study.compress is not None:
        raise StudyError("it holds a compressed network, which a report does not train again")
    try:
        at, config = _crossbars(results)
        model = Networks(results.study, results.folder, torch.device("cpu")).loaded()
        taken, left_out = _bounded(model, config)
        if not taken:
            raise StudyError(f"its layers are too large to be built again: {', '.join(left_out)}")
        chip, targets = _written(model, taken, chip_seed(general, 0))
        crossbars = {name: each.crossbar for name, (_, each) in named_matrices(chip).items()}
        losses = {name: loss_of(crossbar) for name, crossbar in crossbars.items()}
        life = _longest(results)
        _pass_over(chip, life)
        seen = [
            Seen(name, tuple(_held(each, targets[name], life.passes)), losses[name])
            for name, each in crossbars.items()
        ]
    except StudyError:
        raise
    except (MemcoreError, RuntimeError, OSError, LookupError) as error:  # whatever a model raises
        raise StudyError(str(error)) from error
    return FirstChip(at, tuple(seen), tuple(left_out), life)


def _longest(results: Results) -> Life:
    """The life of the study in which most time passes, or else most cycles and reads."""
    lives = [point.life for point in points(results.study)]
    return max(lives, key=lambda life: (life.age, life.cycles, life.reads))


def _pass_over(chip: nn.Module, life: Life) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # the run has told it
        life.pass_over(chip)


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


def _held(crossbar: Crossbar, target: Tensor, aged: bool = False) -> Iterator[Held]:
    """The used cells of a matrix, by how their currents enter the sum."""
    held = crossbar.programmed.expand(target.shape)
    now = crossbar.cells.conductance.expand(target.shape)
    kinds = _kinds(crossbar.cells)
    for number, kind in enumerate(("positive", "negative", "reference")):
        chosen = kinds == number
        if bool(chosen.any()):
            parts = [each[chosen].double() for each in (target, held, now)]
            yield Held(kind, *parts[: 3 if aged else 2])


def _kinds(cells: Cells) -> Tensor:
    """The kind of each cell [arrays, rows, cols]: 0, 1 or 2 as above, -1 where it is not used."""
    tiling = cells.tiling
    shape = (tiling.arrays, tiling.array_rows, tiling.array_cols)
    full = [part for part in cells.parts if not isinstance(part, Reference)]
    kinds = torch.full(shape, -1, device="cpu")
    for array in range(tiling.arrays):
        part, _, row_tile, col_tile = tiling.place(array)
        rows = min(tiling.rows - row_tile * tiling.array_rows, tiling.array_rows)
        cols = min(tiling.cols - col_tile * tiling.data_cols, tiling.data_cols)
        kinds[array, :rows, :cols] = 0 if full[part].sign > 0 else 1
        kinds[array, :rows, tiling.data_cols : tiling.data_cols + tiling.references] = 2
    return kinds
