"""`Matrix`: one weight matrix on crossbars, with gradients for what it should hold."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
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
from memcore.crossbar.fingerprint import Fingerprint
from memcore.crossbar.packing import Packing
from memcore.crossbar.readers import Unwritten
from memcore.crossbar.readers.phases import drive
from memcore.crossbar.shortcuts import convolve, counts_exactly, directly
from memcore.crossbar.transforms import is_transformed
from memcore.crossbar.writings import Writings
from memcore.errors import ConfigError, StaleCellsWarning, warn
from memcore.nn import opaque
from memcore.nn.input_range import InputRange
from memcore.nn.rehearsing import Rehearsing, Source
from memcore.nn.seen import moved, sampled
from memcore.ops._library import is_plain
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
        learned = None if training is None else training.input_range
        self.input_range = None if learned is None else InputRange(learned, operand.weight.detach())
        if self.input_range is not None:
            self.input_range.apply_to(self.crossbar)
            self.crossbar.refresh()
        self._looked: tuple[float, ...] | None = None  # at which versions of the parameters
        #: Whether it was said that the parameters have moved since the cells were written.
        self.has_warned = False
        self._record: Callable[[Tensor, Tensor], None] | None = None
        #: Further arrays whose outputs are added, each times its share; a training owns them.
        self._others: tuple[tuple[float, Crossbar], ...] = ()
        self._number = opaque.enter(self)
        self.register_load_state_dict_post_hook(_begin_anew)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, operand: Operand) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], the bias added.

        Autocast changes what a digital product computes in, but no array: its outputs have the
        dtype that autocast wants, after the bias.
        """
        if x.dim() == 3 and x.shape[1] == len(operand.weight):
            y = self.directly(x, *operand)
            if y is not None:
                return y
        device = x.device.type
        if not torch.is_autocast_enabled(device):
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
        if self.training or self._is_special or self.input_range is not None or not is_plain(x):
            return None
        if torch.is_autocast_enabled("cpu") or not x.numel() or _is_hooked(self):
            return None
        wanted = (weight,) if bias is None else (weight, bias)
        if self._looked is None or _needs_gradient(x, *wanted):
            return None
        if bias is not None:
            bias = bias.detach()
            if not is_plain(bias):
                return None
        crossbar, versions = self.crossbar, tuple(map(_version, wanted))
        if versions != self._looked or x.shape[-1] != crossbar.tiling.rows:
            return None
        return directly(crossbar, x, bias)

    def _with_bias(self, x: Tensor, operand: Operand) -> Tensor:
        groups, packed = len(operand.weight), self._packing.count
        if packed > 1 and x.dim() == 3 and x.shape[1] == groups:
            x = x.reshape(x.shape[0], groups // packed, packed * x.shape[2])
        matrix = self.matrix_of(operand)
        if self._rehearses and self.input_range is not None:
            y = self._read_learning(x, matrix)
        elif self._rehearses and torch.compiler.is_compiling():
            held = self._packing.packed(matrix)
            y, folded = opaque.rehearsed_read(x.detach(), held.detach(), self._number)
            y = self._through(y, x, held, folded)
        else:
            y = self._read(x, operand, matrix)
        if packed > 1:
            y = y.reshape(y.shape[0], *operand.weight.shape[:2])
        if operand.bias is None or self.maps_bias:
            return y
        return y + operand.bias.view(len(operand.weight), -1)

    def prepared(self, operand: Operand) -> Callable[[Tensor], Tensor]:
        """`forward` with one operand for several reads, [n, groups, inputs] each.

        Where reads are exact, what the cells stand for is derived once.
        """
        if not self.reads_exactly or len(operand.weight) != 1:
            return lambda x: self(x, operand)
        weight, bias = self.exact(operand)
        return lambda x: F.linear(self.crossbar.input(x), weight[0], bias)

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
        folded = self.crossbar.folded if source is None else source.folded
        if torch.compiler.is_compiling():
            lines = window.padded(self.crossbar.input(images.x))
            return through_convolution(y, lines, matrix, bias, folded, window)
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
        return self.maps_bias or self._packing.count > 1 or adds

    def _may_convolve(self, x: Tensor) -> bool:
        """Whether anything but the arrays is against reading images as they are."""
        if x.device.type != "cpu" or not x.dtype == torch.float32 == self.crossbar.folded.dtype:
            return False
        if self._is_special or _is_hooked(self) or torch.is_autocast_enabled("cpu"):
            return False
        if torch.compiler.is_compiling():
            return not self._rehearses
        return not (self._rehearses and self.input_range is not None) and not is_transformed(x)

    def _read(self, x: Tensor, operand: Operand, matrix: Tensor) -> Tensor:
        source = self._source(operand, matrix)
        if source is not None and self._keeps_inputs(x, matrix):
            return self._through_inputs(source, x, matrix)
        lines = self.crossbar.driven(x) if _needs_gradient(x, matrix) else None
        y, folded = self._of_source(source, x, lines, wants_folded=lines is not None)
        if lines is None or folded is None:
            return y
        held = self._packing.packed(matrix)
        if self._record is not None:
            return recorded_product(y, lines, held, folded, self._record)
        return through_product(y, lines, held, folded)

    def _keeps_inputs(self, x: Tensor, matrix: Tensor) -> bool:
        """Whether a backward pass may find out again what drove the word lines."""
        if not self.crossbar.is_set or self.crossbar.config.dac_per != "layer":
            return False
        if torch.compiler.is_compiling() or is_transformed(x, matrix):
            return False
        return self._packing.count == 1 and _needs_gradient(x, matrix)

    def _through_inputs(self, source: Source, x: Tensor, matrix: Tensor) -> Tensor:
        """Outputs of the cells of a rehearsal, with gradients for which the inputs are kept."""
        y, folded = self._of_source(source, x, None, wants_folded=x.requires_grad)
        dac, constant = self.crossbar.input.form, self.crossbar.constant
        if dac is None and not constant:
            return through_read(y, x, matrix, folded, None)
        return through_read(y, x, matrix, folded, partial(_driven, dac, constant))

    def record(self, listener: Callable[[Tensor, Tensor], None] | None) -> None:
        """Let a backward pass tell what each read was and what its outputs should change by.

        Training then is on the cells themselves: they are read as they are, in training mode too,
        and the parameters get no gradients.

        Args:
            listener: called with what drove the word lines, [n, groups, inputs], and the gradient
                of the loss with respect to the outputs, [n, groups, outputs]; None for none.
        """
        self._record = listener

    def read_with(self, others: tuple[tuple[float, Crossbar], ...]) -> None:
        """Let reads add the outputs of further arrays, each times its share, until it is written.

        Args:
            others: shares and arrays of the same size, driven by the same inputs; () for none.
        """
        self._others, self._looked = others, None

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

    @_uncompiled
    def _read_learning(self, x: Tensor, matrix: Tensor) -> Tensor:
        """As `_read`, while training finds the range of the DAC."""
        assert self.input_range is not None
        assert self._rehearsing is not None
        self.input_range.watch(x)
        if self.input_range.apply_to(self.crossbar):
            self._rehearsing.rebind(self.crossbar)
        source = self._rehearsing.source(self.crossbar, matrix)
        if source is None:  # a first pass, which finds the ranges of ADCs
            self.crossbar.refresh()
        applied = self.input_range(self.crossbar.input(x.detach()), x)
        lines = drive(applied, self.crossbar.constant)
        y, folded = self._of_source(source, x, lines)
        assert folded is not None
        return through_product(y, lines, self._packing.packed(matrix), folded)

    @torch.no_grad()
    def _of_source(
        self,
        source: Source | None,
        x: Tensor,
        lines: Tensor | None,
        *,
        wants_folded: bool = True,
    ) -> tuple[Tensor, Tensor | None]:
        if source is None:
            y: Tensor = self.crossbar(x, lines)
            for share, other in self._others:
                y = y + share * other(x, lines)
            return y, self._folded
        return source.read(self.crossbar, x, lines, wants_folded=wants_folded)

    def imagined(self, x: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
        """What a rehearsal reads, and the weights that its cells stand for."""
        assert self._rehearsing is not None
        source = self._rehearsing.source(self.crossbar, self._packing.own(held))
        y, folded = self._of_source(source, x, None)
        assert folded is not None
        return y, folded

    def imagined_weight(self, held: Tensor) -> Tensor:
        """The weights that the cells of a rehearsal stand for."""
        assert self._rehearsing is not None
        source = self._rehearsing.source(self.crossbar, self._packing.own(held))
        return self.crossbar.folded if source is None else source.folded

    @property
    def _packing(self) -> Packing:
        packing: Packing = self.crossbar.packing
        return packing

    def one_read(self) -> AbstractContextManager[None]:
        """Within, several reads are one: a training that writes cells at each writes them once."""
        if not self._rehearses or torch.compiler.is_compiling():
            return nullcontext()
        assert self._rehearsing is not None
        return self._rehearsing.one_read()

    @property
    def _rehearses(self) -> bool:
        return self.training and self._rehearsing is not None and self._record is None

    def _source(self, operand: Operand, matrix: Tensor) -> Source | None:
        """What a read in eager mode uses; None for the cells that were programmed."""
        if self._rehearses:
            assert self._rehearsing is not None
            return self._rehearsing.source(self.crossbar, matrix)
        if not torch.compiler.is_compiling() and self._record is None:
            self._look(operand, matrix)
        return None

    def _look(self, operand: Operand, matrix: Tensor) -> None:
        """Say once that the programmed cells are read though the parameters have moved."""
        if self.input_range is not None and self.input_range.apply_to(self.crossbar):
            self.crossbar.refresh()
        versions = tuple(_version(each) for each in operand if each is not None)
        if versions == self._looked or is_transformed(matrix):
            return
        self._looked = versions
        if moved(self.crossbar, Fingerprint.of(matrix)) and not self.has_warned:
            self.has_warned = True
            warn(
                "the parameters of the network have moved since its cells were written, and its "
                "reads use the cells; expected memcore.program(model), which writes the present "
                "parameters",
                StaleCellsWarning,
            )

    def train(self, mode: bool = True) -> Self:
        """As of any module; in evaluation the programmed cells are read."""
        self._looked = None
        return super().train(mode)

    @property
    def reads_exactly(self) -> bool:
        """Whether a read is the product with `exact` and nothing else."""
        rehearsing = self._rehearsing
        waits = not self.training or rehearsing is None or rehearsing.waits
        exact = all(crossbar.reads_exactly for crossbar in self.crossbars)
        return waits and exact and self._record is None

    def writes_as_it_reads(self, x: Tensor, operand: Operand) -> bool:
        """Whether a rehearsal has no need of its cells but while they are read."""
        if not self._rehearses or torch.compiler.is_compiling() or not is_plain(x):
            return False
        if torch.is_autocast_enabled("cpu") or is_transformed(operand.weight):
            return False
        source = self._source(operand, self.matrix_of(operand))
        return source is not None and isinstance(source.reader, Unwritten)

    @property
    def counts_exactly(self) -> Counted | None:
        """What counts reads that are the product with `exact` and nothing else, where any does."""
        rehearsing = self._rehearsing
        waits = not self.training or rehearsing is None or rehearsing.waits
        if len(self.crossbars) > 1 or not waits or self._record is not None:
            return None
        return counts_exactly(self.crossbar)

    def exact(self, operand: Operand) -> Operand:
        """What the cells stand for, with gradients for what they should hold.

        Groups that share arrays are one, with what cells between them stand for.
        """
        weight, bias = self._split(self._exactly(operand), operand)
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
        one_by_one = self.input_range is not None or self._record is not None
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
        return torch.equal(again.conductance, cells.programmed)

    def program(self, operand: Operand) -> None:
        """Write the operand into the cells again."""
        self._others = ()
        self.crossbar.write(self.matrix_of(operand).transpose(1, 2))
        _begin_anew(self, None)

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
        new.reads.copy_(old.reads)
        new.cells.correction = old.cells.correction
        new.set_clock(old.cells.clock.segments.clone())
        return matrix.train(self.training)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._looked = None
        for _, other in self._others:
            other._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self._rehearsing is not None:
            self._rehearsing.drop()
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A copy belongs to no optimiser, and the changes of its parameters are counted anew.
        return {**self.__dict__, "_record": None, "_looked": None}

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


def _version(tensor: Tensor) -> float:
    """How often a parameter was changed in place; a few values of what is computed at each pass."""
    owner = tensor if tensor._base is None else tensor._base
    if isinstance(owner, nn.Parameter):
        return 0 if tensor.is_inference() else tensor._version
    return 0 if tensor.is_meta or is_transformed(tensor) else sampled(tensor)


def _begin_anew(matrix: Matrix, keys: Any) -> None:
    """Cells were written, or a state was loaded: what is rehearsed, and said, begins anew."""
    del keys
    matrix._looked, matrix.has_warned = None, False
    if matrix._rehearsing is not None:
        matrix._rehearsing.forget()


def _no_shortcut(crossbar: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Make torch call the layer: `nn.TransformerEncoderLayer` reads `weight` past it otherwise.

    The fused path that it takes in evaluation is open to modules without hooks only.
    """
    del crossbar, inputs
