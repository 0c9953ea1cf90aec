"""`Rehearsing`: the cells that each step of a training writes in its imagination, and reads."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.imagined import Imagination, Imagined
from memcore.crossbar.readers import Ranging, Unwritten
from memcore.crossbar.readers.bias import with_bias
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.readers.per_vector import sizes
from memcore.crossbar.readers.ranging import Slope
from memcore.crossbar.recent import in_backward
from memcore.crossbar.shortcuts import convolve
from memcore.crossbar.training import Rehearsal
from memcore.crossbar.transforms import are_active, outside
from memcore.nn.naming import Within
from memcore.nn.seen import Seen
from memcore.ops.folded import Folded
from memcore.ops.surrogate import for_training
from memcore.ops.windows import Images
from memcore.random import ReadStream, Stream


class Source(NamedTuple):
    """Cells that a training reads.

    Args:
        cells: what was written, on arrays or in the order of the weights.
        reader: what reads them.
        output_noise: standard deviation of the noise on outputs, in units of the outputs.
        name: qualified name of the matrix, for messages of cells that do not know it; else None.
    """

    cells: Cells | Imagined
    reader: nn.Module | Unwritten
    output_noise: float
    name: str | None

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        with Within(self.name):
            folded: Tensor = self.reader.folded  # type: ignore[assignment]
        return folded

    @property
    def compact(self) -> Folded:
        """The same in as little memory as may be, which is kept from then on."""
        with Within(self.name):
            return self._compact()

    def _compact(self) -> Folded:
        if isinstance(self.reader, Unwritten):
            return self.reader.compact
        return Folded(self.reader.folded)  # type: ignore[arg-type]

    def read(
        self,
        crossbar: Crossbar,
        x: Tensor,
        lines: Tensor | None,
        bias: Tensor | None,
        *,
        wants_folded: bool,
    ) -> tuple[Tensor, Folded | None]:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], and `compact` if wanted.

        A bias is added, if there is one.
        """
        draws = self._draws(crossbar) or self.output_noise > 0
        first = crossbar.first_read(x) if draws else crossbar.reads
        folded: Folded | None = None
        with Within(self.name):
            if isinstance(self.reader, Unwritten):
                y, folded = self.reader.both(x, first, lines, bias, wants_folded=wants_folded)
            else:
                y = with_bias(self.reader(x, first, lines), bias)
                folded = self._compact() if wants_folded else None
        if self.output_noise:
            key = crossbar.cells.random.key_of("rehearsal", "output")
            reads = ReadStream(key, numbered(first, len(x)))
            y = y + self.output_noise * reads.normal(y.shape[1:]).to(y.dtype)
        return y, folded

    def slope(self, crossbar: Crossbar, x: Tensor) -> Slope:
        """How the outputs of the read of these inputs follow the ranges of the ADCs."""
        assert isinstance(self.reader, nn.Module)
        (reader,) = (each for each in self.reader.modules() if isinstance(each, Ranging))
        outputs, inside = reader.taken()
        return Slope(outputs * sizes(x) if crossbar.config.dac_per == "vector" else outputs, inside)

    def convolve(self, crossbar: Crossbar, images: Images, bias: Tensor | None) -> Tensor | None:
        """Outputs of images as `shortcuts.convolve` has them."""
        if self.output_noise:
            return None
        with Within(self.name):
            return convolve(crossbar, images, bias, self.reader, draws=self._draws(crossbar))

    def _draws(self, crossbar: Crossbar) -> bool:
        cells = self.cells.effects if isinstance(self.cells, Cells) else self.cells
        return cells.is_stochastic or bool(crossbar.output.noises)


class Rehearsing:
    """What one matrix reads in training mode.

    A step begins when the weights have changed since the pass before, whichever optimiser changed
    them: several passes for one step, as with accumulated gradients, in a loop over time or in
    a recomputation of activations, read the same cells.

    Args:
        training: what is rehearsed.
        config: of the arrays.
    """

    def __init__(self, training: Rehearsal, config: CrossbarConfig) -> None:
        self.training = training
        #: Whether the programmed cells are read as long as they hold the present weights.
        self.waits = training.waits
        self._config = _rehearsed(config, training)
        self._imagination = Imagination(self._config)
        self._seen = Seen()
        self._is_derived = False
        self._source: Source | None = None
        #: Whether the cells of a step are read several times, as in a loop over time.
        self._reads_several = False
        #: Whether the read that is in several pieces has begun; None outside of one.
        self._has_begun: bool | None = None

    def forget(self) -> None:
        """Begin anew: cells were programmed."""
        self._seen = Seen()
        self._is_derived, self._source = False, None

    def note(self, cells: Cells) -> None:
        """Let a state that is saved have the weights for which cells were written last."""
        seen = self._seen.fingerprint
        cells.rehearsed.copy_(torch.zeros(3, device="cpu") if seen is None else seen.packed())

    def recall(self, cells: Cells) -> None:
        """Go on with a state that was loaded: its weights begin no step that had begun before."""
        self._seen = Seen(Fingerprint.unpacked(cells.rehearsed))
        self._is_derived, self._source = False, None

    def drop(self) -> None:
        """Derive the same cells again at the next pass, on another device for instance."""
        self._seen.settle()
        self._is_derived, self._source = False, None

    def source(self, crossbar: Crossbar, matrix: Tensor) -> Source | None:
        """What this pass reads; None for the cells that were programmed.

        Args:
            crossbar: the arrays.
            matrix: the present weights, [groups, outputs, inputs].
        """
        if in_backward() and self._is_derived:
            return self._source
        if not crossbar.is_set:  # the first pass finds the ranges of converters
            return None
        if are_active():
            with outside(matrix) as values:
                return self._source_of(crossbar, values)
        return self._source_of(crossbar, matrix)

    def _source_of(self, crossbar: Crossbar, matrix: Tensor) -> Source | None:
        at_each = self.training.anew == "read" and not self._has_begun
        is_new = self._seen.changes(matrix) or at_each
        if is_new or not self._is_derived:
            self._derive(crossbar, matrix, is_new)
        if self._has_begun is not None:
            self._has_begun = True
        return self._source

    @contextmanager
    def one_read(self) -> Iterator[None]:
        """Within, all reads are pieces of one, for which cells are written once at most."""
        if self._has_begun is not None:
            yield
            return
        self._has_begun = False
        try:
            yield
        finally:
            self._has_begun = None

    @property
    def present(self) -> Source | None:
        """What the last pass read; None for the cells that were programmed."""
        return self._source

    def rebind(self, crossbar: Crossbar) -> None:
        """Read the same cells through converters whose ranges have changed.

        Those that another form of a converter reads on arrays only are written onto them at the
        next pass, which still is of the same step.
        """
        if self._source is None:
            return
        if isinstance(self._source.cells, Imagined) and not self._imagination.can_read(crossbar):
            self.drop()
            return
        reader = self._reader(crossbar, self._source.cells)
        self._source = self._source._replace(reader=reader)

    def _reader(self, crossbar: Crossbar, cells: Cells | Imagined) -> nn.Module | Unwritten:
        if isinstance(cells, Imagined):
            return self._imagination.reader(crossbar, cells)
        return crossbar.reader_of(cells, ranges=self.training.output_range is not None)

    @for_training
    def _derive(self, crossbar: Crossbar, matrix: Tensor, is_new: bool) -> None:
        self._note_reads()
        self._is_derived, self._source = True, None
        if self.waits and not self._seen.has_left(crossbar, matrix):
            return
        if is_new:
            crossbar.cells.rehearsals.add_(1)
        cells = self._cells(crossbar, matrix)
        noise = 0.0
        if self.training.output_noise:
            largest = float(matrix.abs().max()) * crossbar.largest_input
            noise = self.training.output_noise * largest / crossbar.tiling.row_tiles**0.5
        name = crossbar.cells.name if isinstance(cells, Imagined) else None
        self._source = Source(cells, self._reader(crossbar, cells), noise, name)

    def _note_reads(self) -> None:
        """Whether the cells of the last step were read more than once."""
        source = self._source
        if source is not None and isinstance(source.reader, Unwritten):
            self._reads_several = source.reader.count > 1

    def _cells(self, crossbar: Crossbar, matrix: Tensor) -> Cells | Imagined:
        """Cells into which the weights were just written."""
        programmed = crossbar.cells
        step = int(programmed.rehearsals)
        drawn = programmed.random.child("rehearsal", step)
        weight = self._disturbed(matrix.detach(), drawn)
        is_this = self.training.chip == "this"
        if not is_this and self.training.output_range is None:
            keeps = self._reads_several
            in_order = self._imagination.cells(crossbar, weight, drawn, keeps=keeps)
            if in_order is not None:
                return in_order
        random = programmed.random if is_this else drawn
        placed = matrix.device, programmed.packing, matrix.dtype
        cells = Cells(self._config, random, programmed.name, *placed)
        if is_this:
            cells.effects = programmed.effects  # what is decided for life stays
            cells.order = programmed.tiling.order
        # Writings are numbered upward from 0: no rehearsal has the draws of one.
        writes = -1 - step if is_this else 0
        cells.take(cells.written(weight.transpose(1, 2), writes=writes))
        cells.clock.rewrite(self._config.temperature)
        seconds = self._age(drawn)
        if seconds:
            cells.clock.advance(self._config.temperature, seconds=seconds)
        return cells

    def _age(self, random: Stream) -> float:
        """The age at which the cells of this step are read, s."""
        if not isinstance(self.training.seconds, tuple):
            return self.training.seconds
        first, last = self.training.seconds
        share = float(random.child("age").uniform((1,)))
        return first * math.exp(share * math.log(last / first))

    def _disturbed(self, matrix: Tensor, random: Stream) -> Tensor:
        """The weights with the noise of this step."""
        share = self.training.weight_noise
        if not share:
            return matrix
        size = matrix.abs()
        if self.training.weight_noise_per == "channel":
            largest = size.amax(2, keepdim=True)
        else:
            largest = size.amax()
        noise = random.child("weights").normal(matrix.shape, device=matrix.device)
        return matrix + share * largest * noise.to(matrix.dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_is_derived": False, "_source": None, "_has_begun": None}


def _rehearsed(config: CrossbarConfig, training: Rehearsal) -> CrossbarConfig:
    """The configuration of the cells that a rehearsal writes."""
    changes: dict[str, Any] = {"training": None, "cells": "full"}
    if training.effects is not None:
        others = [name for name in config.effects if name not in training.effects]
        changes["without"] = (*config.without, *others)
    own = config.programmer
    if training.programmer is not None:
        changes["programmer"] = training.programmer
    else:
        changes["programmer"] = own if own is None or not own.sends_pulses else "direct"
    return config.replace(**changes)
