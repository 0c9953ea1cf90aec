"""`Matrix`: one weight matrix on crossbars, with gradients for what it should hold."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, ParamSpec, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand
from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.counted import Counted
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.packing import Packing
from memcore.crossbar.readers import Unwritten
from memcore.crossbar.readers.bias import with_bias
from memcore.crossbar.readers.phases import drive
from memcore.crossbar.shortcuts import convolve, directly
from memcore.crossbar.training import Rehearsal
from memcore.crossbar.transforms import is_transformed, refuse_transforms
from memcore.crossbar.writings import Writings
from memcore.errors import ConfigError
from memcore.nn import opaque
from memcore.nn.dtypes import require_dtype
from memcore.nn.input_range import InputRange
from memcore.nn.output_range import OutputRange
from memcore.nn.pieces import Pieces
from memcore.nn.rehearsing import Rehearsing, Source
from memcore.nn.staleness import Staleness
from memcore.ops._library import is_plain, lies_plain
from memcore.ops.folded import Folded
from memcore.ops.surrogate import (
    recorded_product,
    straight_through,
    through_convolution,
    through_images,
    through_product,
    through_read,
)
from memcore.ops.windows import Images
from memcore.random import Stream

P = ParamSpec("P")
R = TypeVar("R")

_uncompiled: Callable[[Callable[P, R]], Callable[P, R]] = torch.compiler.disable


class Matrix(nn.Module):
    """One weight matrix on crossbars.

    What it should hold, its operand, belongs to the layer and is handed in; `crossbar` is what its
    cells hold. The product uses the cells, in training mode those that are written in imagination
    for each step (`Rehearsal`); gradients go straight through to the operand.

    Args:
        operand: weights and bias.
        config: how the arrays are built and read.
        random: the stream of the matrix.
        name: qualified name, for messages.
        parts: sizes of the parts of the inputs that have a DAC range each, () for one range.
        write: lets cells hold the weights; by default they are written the first time.

    Raises:
        ConfigError: the configuration has no mapper, or the arrays cannot hold the operand.
    """

    def __init__(
        self,
        operand: Operand,
        config: CrossbarConfig,
        random: Stream,
        name: str,
        parts: tuple[int, ...] = (),
        write: Callable[[Cells, Tensor], object] = Cells.write,
    ) -> None:
        super().__init__()
        if config.mapper is None or config.programmer is None:
            raise ConfigError(
                "the configuration has no mapper or no programmer, which weights need; expected a "
                "CrossbarConfig with both"
            )
        self.maps_bias = operand.bias is not None and config.bias == "mapped"
        self.crossbar = Crossbar.of_weight(
            self.matrix_of(operand).transpose(1, 2),
            config,
            random,
            name=name,
            constant=self.maps_bias,
            parts=parts,
            write=write,
        )
        self.crossbar.register_forward_pre_hook(_no_shortcut)
        training = config.training
        self._rehearsing = None if training is None else Rehearsing(training, config)
        self._learn_ranges(training, operand.weight.detach())
        self._has_stale_ranges = False  #: whether only rehearsals read with the present ranges
        self.staleness = Staleness()
        self._record: Callable[[Tensor, Tensor], None] | None = None
        #: Further arrays whose outputs are added, each times its share; a training owns them.
        self._others: tuple[tuple[float, Crossbar], ...] = ()
        self._number = opaque.enter(self)
        self.register_state_dict_pre_hook(_note_rehearsed)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_go_on)  # type: ignore[no-untyped-call]

    def _learn_ranges(self, training: Rehearsal | None, like: Tensor) -> None:
        """Begin with the ranges of converters that a training finds, if it finds any."""
        learned = None if training is None else training.input_range
        ranged = None if training is None else training.output_range
        self._finds_ranges = learned is not None or ranged is not None
        self._pieces = Pieces()
        self.input_range = None if learned is None else InputRange(learned, like, self._pieces)
        self.output_range = None if ranged is None else OutputRange(ranged, like, self._pieces)
        if self.input_range is not None:
            self.input_range.apply_to(self.crossbar)
            self.crossbar.refresh()

    def forward(self, x: Tensor, operand: Operand) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], the bias added.

        Autocast changes what a digital product computes in, but no array: its outputs have the
        dtype that autocast wants, after the bias.

        Raises:
            ArgumentTypeError: the inputs have another dtype than the cells, and no autocast
                converts them.
        """
        if x.dim() == 3 and x.shape[1] == len(operand.weight):
            y = self.directly(x, *operand)
            if y is not None:
                return y
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            if x.dtype != operand.weight.dtype:  # which is that of the cells, at less cost
                self.require_dtype(x, self.crossbar.folded.dtype)
            return self._with_bias(x, operand)
        with torch.autocast(device, enabled=False):
            dtype = self.crossbar.folded.dtype
            bias = None if operand.bias is None else operand.bias.to(dtype)
            y = self._with_bias(x.to(dtype), Operand(operand.weight.to(dtype), bias))
        return y.to(torch.get_autocast_dtype(device))

    def directly(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
        """What a read gives, the bias added, at little cost; None where more than a read is wanted.

        Most reads of small layers want no gradient, no rehearsal and no range, and nobody follows
        them: all that costs is then left out.

        Args:
            x: inputs [..., groups, inputs], or [..., inputs] of one group.
            weight: the weights that the matrix should hold, in any shape.
            bias: as in an operand.
        """
        if self.training or self.staleness.looked is None or self._finds_ranges:
            return None
        if not is_plain(x) or torch.is_autocast_enabled("cpu") or not x.numel():
            return None
        if self._is_special or _is_hooked(self):
            return None
        wanted = (weight,) if bias is None else (weight, bias)
        if torch.is_grad_enabled() and any(each.requires_grad for each in (x, *wanted)):
            return None
        if bias is not None and not lies_plain(bias):
            return None
        return directly(self.crossbar, x, bias) if self.staleness.knows(*wanted) else None

    def require_dtype(self, x: Tensor, dtype: torch.dtype) -> None:
        """Refuse inputs that no product with cells of this dtype takes."""
        if x.dtype != dtype:
            require_dtype(x, dtype, self.crossbar.cells.name)

    def _with_bias(self, x: Tensor, operand: Operand) -> Tensor:
        groups, packed = len(operand.weight), self._packing.count
        if packed > 1 and x.dim() == 3 and x.shape[1] == groups:
            x = x.reshape(x.shape[0], groups // packed, packed * x.shape[2])
        matrix, bias = self.matrix_of(operand), None if self.maps_bias else operand.bias
        if self._rehearses and self._finds_ranges:
            compiles, read = torch.compiler.is_compiling(), self._read_learning
            y = with_bias((_uncompiled(read) if compiles else read)(x, matrix), bias)
        elif self._rehearses and torch.compiler.is_compiling():
            held = self._packing.packed(matrix)
            y, folded = opaque.rehearsed_read(x.detach(), held.detach(), self._number)
            y = with_bias(self._through(y, x, held, folded), bias)
        else:
            y = self._read(x, operand, matrix, bias)
        return y if packed == 1 else y.reshape(y.shape[0], *operand.weight.shape[:2])

    def prepared(self, operand: Operand) -> Callable[[Tensor], Tensor]:
        """`forward` with one operand for several reads, [n, groups, inputs] each.

        Where reads are exact, what the cells stand for is derived once.
        """
        if not self.reads_exactly or len(operand.weight) != 1:
            return lambda x: self(x, operand)
        weight, bias = self.exact(operand)
        dac, dtype, held = self.crossbar.input, weight.dtype, weight[0]

        def read(x: Tensor) -> Tensor:
            self.require_dtype(x, dtype)
            return F.linear(dac(x), held, bias)

        return read

    def convolved(self, images: Images, operand: Operand) -> Tensor | None:
        """Outputs [n, outputs, *positions] of images, the bias added; None if windows must be read.

        They are, to the bit, those of the inputs of all positions, image by image.
        """
        if not self._may_convolve(images.x):
            return None
        matrix, window = self.matrix_of(operand), images.window
        source = self._source(operand, matrix)
        bias = operand.bias
        with torch.no_grad():
            y = self._of_images(source, images, bias)
        learned = (matrix,) if bias is None else (matrix, bias)
        if y is None or not _needs_gradient(images.x, *learned):
            return y
        folded = Folded(self.crossbar.folded) if source is None else source.compact
        if torch.compiler.is_compiling():
            lines = window.padded(self.crossbar.input(images.x))
            return through_convolution(y, lines, matrix, bias, folded.weight, window)
        dac = self.crossbar.input.form
        return through_images(y, images.x, matrix, bias, folded, window, dac)

    def _of_images(
        self, source: Source | None, images: Images, bias: Tensor | None
    ) -> Tensor | None:
        if source is None:
            reader, draws = self.crossbar.reader, self.crossbar.is_stochastic
            return convolve(self.crossbar, images, bias, reader, draws=draws)
        return source.convolve(self.crossbar, images, bias)

    def extra_repr(self) -> str:
        """Geometry of the arrays, for `print(model)`."""
        return self.crossbar.extra_repr()

    @property
    def _is_special(self) -> bool:
        """Whether inputs or gradients go another way than that of most matrices."""
        adds = self._record is not None or bool(self._others)
        return adds or self.maps_bias or self._packing.count > 1

    def _may_convolve(self, x: Tensor) -> bool:
        """Whether anything but the arrays is against reading images as they are."""
        if x.device.type != "cpu" or not x.dtype == torch.float32 == self.crossbar.folded.dtype:
            return False
        if self._is_special or _is_hooked(self) or torch.is_autocast_enabled("cpu"):
            return False
        if torch.compiler.is_compiling():
            return not self._rehearses
        return not (self._rehearses and self._finds_ranges) and not is_transformed(x)

    def _read(self, x: Tensor, operand: Operand, matrix: Tensor, bias: Tensor | None) -> Tensor:
        source = self._source(operand, matrix)
        if source is not None and self._keeps_inputs(x, matrix):
            return self._through_inputs(source, x, matrix, bias)
        lines = self.crossbar.driven(x) if _needs_gradient(x, matrix) else None
        y, folded = self._of_source(source, x, lines, wants_folded=lines is not None)
        if lines is None or folded is None:
            return with_bias(y, bias)
        held = self._packing.packed(matrix)
        if self._record is not None:
            refuse_transforms("a pass whose gradients pulse cells in place")
            listened = recorded_product(y, lines, held, folded.weight, self._record)
            return with_bias(listened, bias)
        return with_bias(through_product(y, lines, held, folded.weight), bias)

    def _keeps_inputs(self, x: Tensor, matrix: Tensor) -> bool:
        """Whether a backward pass may find out again what drove the word lines."""
        if not self.crossbar.is_set or self.crossbar.config.dac_per != "layer":
            return False
        if torch.compiler.is_compiling() or is_transformed(x, matrix):
            return False
        return self._packing.count == 1 and _needs_gradient(x, matrix)

    def _through_inputs(
        self, source: Source, x: Tensor, matrix: Tensor, bias: Tensor | None
    ) -> Tensor:
        """Outputs of the cells of a rehearsal, with gradients for which the inputs are kept."""
        y, folded = self._of_source(source, x, None, bias, wants_folded=x.requires_grad)
        dac, constant = self.crossbar.input.form, self.crossbar.constant
        drives = None if dac is None and not constant else partial(_driven, dac, constant)
        return through_read(y, x, matrix, bias, folded, drives)

    def record(self, listener: Callable[[Tensor, Tensor], None] | None) -> None:
        """Let a backward pass tell what each read was and what its outputs should change by.

        Training then is on the cells themselves: they are read as they are, in training mode too,
        and the parameters get no gradients.

        Args:
            listener: called with what drove the word lines, [n, groups, inputs], and the gradient
                of the loss with respect to the outputs, [n, groups, outputs]; None for none.
        """
        self._record = listener
        if listener is None:
            for crossbar in self.crossbars:
                crossbar.lie_alone()

    @property
    def is_recorded(self) -> bool:
        """Whether a training hears of its reads."""
        return self._record is not None

    def tells(self, listener: Callable[[Tensor, Tensor], None]) -> bool:
        """Whether it is this one who hears of its reads."""
        return self._record == listener

    def read_with(self, others: tuple[tuple[float, Crossbar], ...]) -> None:
        """Let reads add the outputs of further arrays, each times its share, until it is written.

        Args:
            others: shares and arrays of the same size, driven by the same inputs; () for none.
        """
        self._others = others
        self.staleness.look_again()

    @property
    def crossbars(self) -> tuple[Crossbar, ...]:
        """The arrays that a read adds up; the first one is that of the matrix."""
        return (self.crossbar, *(crossbar for _, crossbar in self._others))

    @property
    def _folded(self) -> Tensor:
        """What the cells of all these arrays stand for together."""
        folded: Tensor = self.crossbar.folded
        for share, other in self._others:
            folded = folded + share * other.folded
        return folded

    def _through(self, y: Tensor, x: Tensor, matrix: Tensor, folded: Tensor) -> Tensor:
        if not _needs_gradient(x, matrix):
            return y
        return through_product(y, self.crossbar.driven(x), matrix, folded)

    def _read_learning(self, x: Tensor, matrix: Tensor) -> Tensor:
        """As `_read`, while training finds the range of a converter."""
        assert self._rehearsing is not None
        if self.input_range is not None:
            self.input_range.watch(x)
        if self._take_ranges(begins=True):
            self._rehearsing.rebind(self.crossbar)
        source = self._rehearsing.source(self.crossbar, matrix)
        if source is None:  # a first pass, which finds the ranges of ADCs
            self.crossbar.refresh()
        lines = self._lines_learning(x)
        y, folded = self._of_source(source, x, lines)
        assert folded is not None
        y = through_product(y, lines, self._packing.packed(matrix), folded.weight)
        if self.output_range is None or source is None:
            return y
        learned: Tensor = self.output_range(y, source.slope(self.crossbar, x))
        return learned

    def _lines_learning(self, x: Tensor) -> Tensor:
        """What drives the word lines, with a gradient for the range of the DAC if it is learned."""
        if self.input_range is None:
            return self.crossbar.driven(x)
        applied = self.input_range(self.crossbar.input(x.detach()), x)
        return drive(applied, self.crossbar.constant)

    def _take_ranges(self, *, begins: bool) -> bool:
        """Let converters have the ranges that training found; whether one had another.

        Args:
            begins: whether training takes over the range of an ADC that is calibrated only.
        """
        changes, ranged = False, self.output_range
        if self.input_range is not None:
            changes = self.input_range.apply_to(self.crossbar)
        if ranged is not None and self.crossbar.is_set and (begins or ranged.has_begun):
            changes = ranged.apply_to(self.crossbar) or changes
        self._has_stale_ranges = self._has_stale_ranges or changes
        return changes

    @torch.no_grad()
    def _of_source(
        self,
        source: Source | None,
        x: Tensor,
        lines: Tensor | None,
        bias: Tensor | None = None,
        *,
        wants_folded: bool = True,
    ) -> tuple[Tensor, Folded | None]:
        if source is not None:
            return source.read(self.crossbar, x, lines, bias, wants_folded=wants_folded)
        y: Tensor = self.crossbar(x, lines)
        for share, other in self._others:
            other.training = self.training  # no module of the network, whose mode it is to have
            y = y + share * other(x, lines)
        return with_bias(y, bias), Folded(self._folded)

    def imagined(self, x: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """What a rehearsal reads, and the weights that its cells stand for."""
        assert self._rehearsing is not None
        source = self._rehearsing.source(self.crossbar, self._packing.own(held))
        y, folded = self._of_source(source, x, None)
        assert folded is not None
        return y, folded.weight

    def imagined_weight(self, held: Tensor) -> Tensor:
        """The weights that the cells of a rehearsal stand for."""
        assert self._rehearsing is not None
        source = self._rehearsing.source(self.crossbar, self._packing.own(held))
        return self.crossbar.folded if source is None else source.folded

    @property
    def _packing(self) -> Packing:
        packing: Packing = self.crossbar.packing
        return packing

    def one_read(self, pieces: int = 1) -> AbstractContextManager[None]:
        """Within, several reads are one: a training that writes cells at each writes them once.

        Args:
            pieces: how many they are; ranges that training finds take them for one batch.
        """
        if not self._rehearses or torch.compiler.is_compiling():
            return nullcontext()
        return self._in_pieces(pieces)

    @property
    def counts_reads(self) -> bool:
        """Whether a training finds another range, or writes other cells, at each read."""
        anew = self._rehearsing is not None and self._rehearsing.training.anew == "read"
        return self._rehearses and (self._finds_ranges or anew)

    @contextmanager
    def _in_pieces(self, pieces: int) -> Iterator[None]:
        assert self._rehearsing is not None
        with self._rehearsing.one_read(), self._pieces.of(pieces):
            yield

    @property
    def _rehearses(self) -> bool:
        return self.training and self._rehearsing is not None and self._record is None

    def _source(self, operand: Operand, matrix: Tensor) -> Source | None:
        """What a read in eager mode uses; None for the cells that were programmed."""
        if self._rehearses:
            assert self._rehearsing is not None
            return self._rehearsing.source(self.crossbar, matrix)
        if torch.compiler.is_compiling():
            return None
        if self._record is None:
            self._look(operand, matrix)
        else:
            self.crossbar.mind()
        return None

    def _look(self, operand: Operand, matrix: Tensor) -> None:
        """Say once that the programmed cells are read though the parameters have moved."""
        self._read_with_present_ranges()
        self.staleness.look(self.crossbar, operand, matrix)

    def _read_with_present_ranges(self) -> None:
        """Let the programmed cells be read through converters with what training found."""
        if not self._finds_ranges or self.crossbar.reads.is_meta:
            return
        self._take_ranges(begins=False)
        if self._has_stale_ranges:
            self.crossbar.refresh()
            self._has_stale_ranges = False

    def train(self, mode: bool = True) -> Self:
        """As of any module; in evaluation the programmed cells are read."""
        self.staleness.look_again()
        if not mode:  # a compiled read looks at nothing
            self._read_with_present_ranges()
        return super().train(mode)

    @property
    def reads_exactly(self) -> bool:
        """Whether a read is the product with `exact` and nothing else."""
        rehearsing = self._rehearsing
        waits = not self.training or rehearsing is None or rehearsing.waits
        exact = all(crossbar.reads_exactly for crossbar in self.crossbars)
        return waits and exact and self._record is None

    def exact_for(self, x: Tensor, operand: Operand) -> Operand | None:
        """`exact` for a read of some inputs, if reads are exact.

        None where a rehearsal has no need of its cells but while they are read.
        """
        if not self._rehearses or torch.compiler.is_compiling():
            return self.exact(operand)
        source = self._source(operand, self.matrix_of(operand))
        if source is None:
            return self._held(self._folded, operand)
        is_followed = torch.is_autocast_enabled("cpu") or is_transformed(operand.weight)
        if isinstance(source.reader, Unwritten) and is_plain(x) and not is_followed:
            return None
        return self._held(source.folded, operand)

    def applied(self, x: Tensor) -> Tensor:
        """What the DAC makes of inputs, which is what an exact read multiplies."""
        crossbar = self.crossbar
        if crossbar.config.dac is None:
            return x
        applied: Tensor = crossbar.input(x)
        return applied

    @property
    def counts_exactly(self) -> Counted | None:
        """What counts reads that are the product with `exact` and nothing else, where any does."""
        rehearsing = self._rehearsing
        if self.training and rehearsing is not None and not rehearsing.waits:
            return None
        if self._others or self._record is not None or torch.compiler.is_compiling():
            return None
        crossbar = self.crossbar
        reader = crossbar.reader if crossbar.is_product else None
        return reader if isinstance(reader, Counted) and reader.driven is not None else None

    def exact(self, operand: Operand) -> Operand:
        """What the cells stand for, with gradients for what they should hold.

        Groups that share arrays are one, with what cells between them stand for.
        """
        return self._held(self._exactly(operand), operand)

    def _held(self, folded: Tensor, operand: Operand) -> Operand:
        """What cells stand for, with gradients for what they should hold."""
        weight, bias = self._split(folded, operand)
        if not torch.is_grad_enabled():
            return Operand(weight, bias)
        plain = Packing(self._packing.count)
        weight = straight_through(weight, plain.packed(operand.weight))
        if bias is None or operand.bias is None or not self.maps_bias:
            return Operand(weight, bias)
        return Operand(weight, straight_through(bias, operand.bias))

    def _exactly(self, operand: Operand) -> Tensor:
        matrix = self.matrix_of(operand)
        if self._rehearses and torch.compiler.is_compiling():
            held = self._packing.packed(matrix.detach())
            return opaque.rehearsed_weight(held, self._number)
        source = self._source(operand, matrix)
        return self._folded if source is None else source.folded

    def stands_for(self, operand: Operand) -> Operand:
        """What the cells stand for; the bias is that of the operand where it is not mapped."""
        weight, bias = self._split(self._folded, operand)
        return Operand(Packing(self._packing.count).own(weight), bias)

    @property
    def keeps_windows(self) -> bool:
        """Whether gradients of a read need each of its inputs, as they reach a learned range."""
        one_by_one = self._finds_ranges or self._record is not None
        scaled = self.crossbar.config.dac_per != "layer" or self._packing.count > 1
        return one_by_one or scaled or torch.compiler.is_compiling()

    def weight_of_read(self, operand: Operand) -> Tensor:
        """The weights that the cells of the last read stand for."""
        source = None
        if self._rehearses:
            assert self._rehearsing is not None
            source = self._rehearsing.present
        folded = self._folded if source is None else source.folded
        return self._split(folded, operand).weight

    def _split(self, folded: Tensor, operand: Operand) -> Operand:
        if not self.maps_bias:
            return Operand(folded, operand.bias)
        return Operand(folded[..., :-1], folded[..., -1].flatten())

    def holds(self, operand: Operand, writings: Writings | None = None) -> bool:
        """Whether the cells are what writing the operand, with the same draws, would make them.

        Args:
            operand: weights and bias.
            writings: keep what they would be made.
        """
        cells = self.crossbar.cells
        with torch.no_grad():
            again = cells.again(self.matrix_of(operand).transpose(1, 2))
        if writings is not None:
            writings.keep(cells, again)
        return cells.holds(again.conductance)

    def program(self, operand: Operand) -> None:
        """Write the operand into the cells again."""
        self._others = ()
        self.crossbar.write(self.matrix_of(operand).transpose(1, 2))
        _begin_anew(self)
        if self._rehearsing is not None:
            self._rehearsing.forget()

    def reconfigured(
        self, config: CrossbarConfig, operand: Operand, writings: Writings | None = None
    ) -> Self:
        """The same matrix of the same chip, built and read as another configuration says.

        Args:
            config: the configuration.
            operand: weights and bias.
            writings: what other variants of this chip hold.
        """
        old = self.crossbar
        writings = Writings() if writings is None else writings
        write = writings.writer(old.cells)
        settings = (config, old.cells.random, old.cells.name, old.input.parts, write)
        matrix = type(self)(operand, *settings)
        new = matrix.crossbar
        if matrix.input_range is not None and self.input_range is not None:
            matrix.input_range.load_state_dict(self.input_range.state_dict())
        if config.dac is not None:
            new.input.range.copy_(old.input.range)
        if config.adc is not None and new.output.range.shape == old.output.range.shape:
            new.output.range.copy_(old.output.range)
            new.output.rescale(new.input_scale / old.input_scale)
            if matrix.output_range is not None and self.output_range is not None:
                matrix.output_range.load_state_dict(self.output_range.state_dict())
                new.output.is_learned = old.output.is_learned
        new.reads.copy_(old.reads)
        new.training_reads.copy_(old.training_reads)
        new.cells.correction = old.cells.correction
        new.set_clock(old.cells.clock.segments.clone())
        return matrix.train(self.training)

    def prepare(self, state: dict[str, Tensor], prefix: str) -> None:
        """Bring a state into the form of these arrays, before anything of it is taken.

        Raises:
            ConfigError: these arrays cannot have it.
        """
        self.crossbar.prepare(state, f"{prefix}crossbar.")
        for name, found in (("input", self.input_range), ("output", self.output_range)):
            if found is not None:
                found.prepare(state, f"{prefix}{name}_range.")

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.staleness.look_again()
        for _, other in self._others:
            other._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._rehearsing is not None:
            self._rehearsing.drop()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_record": None}  # a copy belongs to no optimiser

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._number = opaque.enter(self)

    def packed_of(self, operand: Operand) -> Tensor:
        """What the arrays should hold, [groups, outputs, inputs] of groups that share none."""
        return self._packing.packed(self.matrix_of(operand))

    def matrix_of(self, operand: Operand) -> Tensor:
        """What the cells should hold, [groups, outputs, inputs]."""
        weight, bias = operand
        if bias is None or not self.maps_bias:
            return weight
        return torch.cat([weight, bias.view(len(weight), -1, 1)], dim=2)


def _driven(dac: nn.Module | None, constant: bool, x: Tensor) -> Tensor:
    """What drives the word lines of inputs."""
    return drive(x if dac is None else dac(x), constant)


def _needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(each.requires_grad for each in tensors)


def _is_hooked(matrix: Matrix) -> bool:
    """Whether somebody wants to see what the matrix or its arrays are called with."""
    crossbar = matrix.crossbar
    hooks = (*matrix._forward_pre_hooks, *matrix._forward_hooks, *crossbar._forward_hooks)
    return bool(hooks) or len(crossbar._forward_pre_hooks) > 1


def _begin_anew(matrix: Matrix) -> None:
    """Cells were written, or a state was loaded: what is said of them begins anew."""
    matrix.staleness.begin_anew()
    if matrix.output_range is not None:
        matrix.crossbar.output.is_learned = matrix.output_range.has_begun


def _note_rehearsed(matrix: Matrix, prefix: str, keep_vars: bool) -> None:
    """A state is saved."""
    del prefix, keep_vars
    if matrix._rehearsing is not None:
        matrix._rehearsing.note(matrix.crossbar.cells)


def _go_on(matrix: Matrix, keys: Any) -> None:
    """A state was loaded."""
    del keys
    _begin_anew(matrix)
    if matrix._rehearsing is not None:
        matrix._rehearsing.recall(matrix.crossbar.cells)


def _no_shortcut(crossbar: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Make torch call the layer: `nn.TransformerEncoderLayer` reads `weight` past it otherwise.

    The fused path that it takes in evaluation is open to modules without hooks only.
    """
    del crossbar, inputs
