"""Cells in the order of the weights that are written while they are read."""

from typing import Final, NoReturn

from torch import Tensor

from memcore.crossbar.readers.bias import with_bias
from memcore.crossbar.readers.in_order import InOrder
from memcore.crossbar.readers.noise import numbers_of
from memcore.crossbar.readers.periphery import Periphery
from memcore.crossbar.readers.phases import drive
from memcore.crossbar.transforms import outside
from memcore.errors import ConfigError
from memcore.ops import rehearsal
from memcore.ops._library import is_plain, lies_plain
from memcore.ops.crossbar_read import narrows
from memcore.ops.folded import Folded
from memcore.ops.windows import Images

#: More reads than this take longer than writing the cells first, and much more memory.
_FEW: Final = 2048


class Unwritten:
    """Reads of cells that are nowhere: the first read writes them on the way and keeps none.

    A second read finds them written, as what is drawn is keyed: the same to the bit. Of cells that
    images were read with, what they stand for is kept, which a backward pass needs. Each step of
    a training has a reader of its own, so this is no module, which takes longer to make.

    Args:
        writing: how the weights become cells.
        around: converters and units.
        keeps: whether to write them at the first read, as several are to come.
    """

    def __init__(self, writing: rehearsal.Writing, around: Periphery, *, keeps: bool) -> None:
        self._writing, self._around, self._keeps = writing, around, keeps
        self.dac, self.constant = around.dac, around.constant
        self._version = _version(writing.weight)
        self._written: InOrder | None = None
        self._compact: Folded | None = None
        #: How many reads there were.
        self.count = 0
        is_exact = around.adc is None and not writing.is_noisy
        #: Whether the windows of images are read without writing them out.
        self.reads_images = not is_exact and around.converts

    @property
    def folded(self) -> Tensor:
        """What the cells stand for, in the weight's domain, [groups, outputs, inputs]."""
        return self.written.folded if self._compact is None else self._compact.weight

    @property
    def compact(self) -> Folded:
        """What the cells stand for, in as little memory as may be, kept from now on."""
        if self._compact is None:
            self._keep(self.written)
        assert self._compact is not None
        return self._compact

    def _keep(self, cells: InOrder) -> None:
        with outside(self._writing.weight):
            self._compact = cells.known.compact

    @property
    def written(self) -> InOrder:
        """The cells, kept from now on."""
        if self._written is None:
            self._written = self._write()
        return self._written

    def _write(self) -> InOrder:
        if _version(self._writing.weight) != self._version:
            raise ConfigError(
                "the weights have changed since the cells of this step were read first; "
                "expected a pass forward before its cells are asked for again"
            )
        with outside(self._writing.weight):
            known = rehearsal.write(self._writing)
            if known is None:
                _refuse()
            return InOrder(known, self._around)

    @property
    def _is_read_once(self) -> bool:
        """Whether the read at hand is the first one, and none is expected to follow."""
        return self._written is None and not self._keeps and self.count == 1

    def __call__(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs], as `InOrder` has them."""
        return self.both(x, reads, lines, None, wants_folded=False)[0]

    def both(
        self,
        x: Tensor,
        reads: Tensor,
        lines: Tensor | None,
        bias: Tensor | None,
        *,
        wants_folded: bool,
    ) -> tuple[Tensor, Folded | None]:
        """Outputs, a bias added if there is one, and what the cells stand for if it is wanted."""
        self.count += 1
        if not (self._is_read_once and is_plain(x) and x.numel() and x.shape[0] <= _FEW):
            y = with_bias(self.written(x, reads, lines), bias)
            return y, self.compact if wants_folded else None
        folded = rehearsal.unfilled(self._writing) if wants_folded else None
        fused = bias if bias is not None and lies_plain(bias) else None
        y = self._read(x, reads, fused, folded)
        return y if fused is bias else with_bias(y, bias), folded

    def _read(self, x: Tensor, reads: Tensor, bias: Tensor | None, folded: Folded | None) -> Tensor:
        around, writing = self._around, self._writing
        converts, noisy = around.converts, writing.is_noisy
        if not converts:
            x = drive(x if around.dac is None else around.dac(x), around.constant)
        terms = around.terms(converts=converts, narrow=noisy and narrows(x))
        numbers = numbers_of(reads) if noisy else None
        y = rehearsal.read(writing, terms, x, numbers, bias=bias, folded=folded)
        if y is None:
            _refuse()
        return y

    def convolve(self, images: Images, reads: Tensor, bias: Tensor | None) -> Tensor:
        """Outputs of images as `Tiled.convolve` has them, if `reads_images`."""
        self.count += 1
        if not self._is_read_once:
            return self.written.convolve(images, reads, bias)
        cells = self._write()
        self._keep(cells)
        return cells.convolve(images, reads, bias)


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _refuse() -> NoReturn:
    raise ConfigError(
        "weights that the cells of a rehearsal stand for are infinite or NaN; expected finite "
        "ones: look at the weights and at what is rehearsed"
    )
