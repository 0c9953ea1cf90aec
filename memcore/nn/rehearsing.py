"""`Rehearsing`: the cells that each step of a training writes in its imagination, and reads."""

from typing import Any, Final, NamedTuple

from torch import Tensor, nn

from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.readers.noise import numbered
from memcore.crossbar.recent import in_backward
from memcore.crossbar.shortcuts import convolve
from memcore.crossbar.training import Rehearsal
from memcore.ops.surrogate import for_training
from memcore.ops.windows import Images
from memcore.random import ReadStream, Stream

#: How many values of a parameter a glance looks at.
_GLANCED: Final = 16


class Source(NamedTuple):
    """Cells that a training reads.

    Args:
        cells: what was written.
        reader: what reads them.
        output_noise: standard deviation of the noise on outputs, in units of the outputs.
        stream: of that noise.
    """

    cells: Cells
    reader: nn.Module
    output_noise: float
    stream: Stream

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        folded: Tensor = self.reader.folded  # type: ignore[assignment]
        return folded

    def read(self, crossbar: Crossbar, x: Tensor, lines: Tensor | None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs]."""
        draws = self._draws(crossbar) or self.output_noise > 0
        first = crossbar.first_read(x) if draws else crossbar.reads
        y: Tensor = self.reader(x, first, lines)
        if self.output_noise:
            reads = ReadStream(self.stream.key, numbered(first, len(x)))
            y = y + self.output_noise * reads.normal(y.shape[1:]).to(y.dtype)
        return y

    def convolve(self, crossbar: Crossbar, images: Images, bias: Tensor | None) -> Tensor | None:
        """Outputs of images as `shortcuts.convolve` has them."""
        if self.output_noise:
            return None
        return convolve(crossbar, images, bias, self.reader, draws=self._draws(crossbar))

    def _draws(self, crossbar: Crossbar) -> bool:
        return self.cells.effects.is_stochastic or bool(crossbar.output.noises)


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
        self._seen: Fingerprint | None = None
        self._glance: tuple[float, ...] | None = None
        self._is_derived = False
        self._source: Source | None = None

    def forget(self) -> None:
        """Begin anew: cells were programmed, or a state was loaded."""
        self._seen = None
        self.drop()

    def drop(self) -> None:
        """Derive the same cells again at the next pass, on another device for instance."""
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
        glance = _glance(matrix)
        if self._is_derived and glance is not None and glance == self._glance:
            return self._source
        self._glance = glance
        now = Fingerprint.of(matrix)
        is_new = self._seen is None or now.differs(self._seen)
        if is_new or not self._is_derived:
            self._seen = now
            self._derive(crossbar, matrix, now, is_new)
        return self._source

    def rebind(self, crossbar: Crossbar) -> None:
        """Read the same cells through converters whose ranges have changed."""
        if self._source is not None:
            self._source = self._source._replace(reader=crossbar.reader_of(self._source.cells))

    @for_training
    def _derive(self, crossbar: Crossbar, matrix: Tensor, now: Fingerprint, is_new: bool) -> None:
        self._is_derived, self._source = True, None
        if self.waits and not moved(crossbar, now):
            return
        if is_new:
            crossbar.cells.rehearsals.add_(1)
        cells = self._cells(crossbar.cells, matrix)
        largest = float(matrix.abs().max()) * crossbar.largest_input
        splits = cells.tiling.row_tiles
        self._source = Source(
            cells,
            crossbar.reader_of(cells),
            self.training.output_noise * largest / splits**0.5,
            crossbar.cells.random.child("rehearsal", "output"),
        )

    def _cells(self, programmed: Cells, matrix: Tensor) -> Cells:
        """Cells into which the weights were just written."""
        step = int(programmed.rehearsals)
        drawn = programmed.random.child("rehearsal", step)
        is_this = self.training.chip == "this"
        random = programmed.random if is_this else drawn
        cells = Cells(self._config, random, programmed.name, matrix.device, programmed.packing)
        if is_this:
            cells.effects = programmed.effects  # what is decided for life stays
            cells.order = programmed.tiling.order
        weight = self._disturbed(matrix.detach(), drawn).transpose(1, 2)
        # Writings are numbered upward from 0: no rehearsal has the draws of one.
        cells.take(cells.written(weight, writes=-1 - step if is_this else 0))
        cells.clock.rewrite(self._config.temperature)
        if self.training.seconds:
            cells.clock.advance(self._config.temperature, seconds=self.training.seconds)
        return cells

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
        return {**vars(self), "_is_derived": False, "_glance": None, "_source": None}


def _glance(matrix: Tensor) -> tuple[float, ...] | None:
    """What tells at little cost that a parameter is as it was; None for what is computed anew.

    Torch counts the changes of a parameter but for those through `.data`, of which some values
    tell.
    """
    owner = matrix if matrix._base is None else matrix._base
    if not isinstance(owner, nn.Parameter) or owner.is_inference() or owner.is_meta:
        return None
    every = max(1, owner.numel() // _GLANCED)
    values = owner.detach().reshape(-1)[::every]
    return (id(owner), owner._version, owner.data_ptr(), float(values.sum()))


def moved(crossbar: Crossbar, now: Fingerprint) -> bool:
    """Whether the weights are others than the cells were written from."""
    origin = Fingerprint.unpacked(crossbar.cells.origin)
    if origin is not None and now.differs(origin):
        return True
    if origin is None or now.eps != origin.eps:  # not said by a state of before; or another dtype
        crossbar.cells.origin.copy_(now.packed())
    return False


def _rehearsed(config: CrossbarConfig, training: Rehearsal) -> CrossbarConfig:
    """The configuration of the cells that a rehearsal writes."""
    changes: dict[str, Any] = {"training": None}
    if training.effects is not None:
        others = [name for name in config.effects if name not in training.effects]
        changes["without"] = (*config.without, *others)
    own = config.programmer
    if training.programmer is not None:
        changes["programmer"] = training.programmer
    else:
        changes["programmer"] = own if own is None or not own.sends_pulses else "direct"
    return config.replace(**changes)
