"""Voltages across the cells of small arrays, one drive each, by a kernel that iterates."""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self, cast

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ConfigError
from memcore.ops import ladder
from memcore.ops._library import address
from memcore.ops.checks import require_dense, require_same_device, require_same_dtype, require_shape
from memcore.ops.ladder import Ladders

#: Cells of the largest array, which one thread solves; the lines of larger ones are worth several.
_CELLS: Final = 1 << 14
#: Roundings that the voltage of a cell is made of.
ROUNDINGS: Final = 16
_DENSE: Final = torch.contiguous_format


def has_kernel(like: Tensor, cells: int) -> bool:
    """Whether the kernel runs for arrays of so many cells on the device of `like`."""
    return 0 < cells <= _CELLS and ladder.has_kernel(like)


class LoopVoltages(NamedTuple):
    """What `LoopWires.solve` finds.

    Args:
        voltage: voltages from word lines to bit lines in V, [arrays, rows, cols].
        residual: the largest voltage that is missing, relative to the largest one applied, or the
            current that it drives, relative to the largest one; float64 [arrays].
        lost: power in W that the wires take, float64 [arrays].
    """

    voltage: Tensor
    residual: Tensor
    lost: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class LoopLines:
    """The word lines or the bit lines of arrays.

    Args:
        segments: resistance in front of each node as seen from the near end in ohm, [arrays, rows,
            cols], or [1, rows, cols] for the same in all arrays.
        far: resistance between the last nodes and second ends in ohm, [arrays, lines]; None for
            open ends.
        bare: the same lines without cells.
    """

    segments: Tensor
    far: Tensor | None
    bare: Ladders

    @classmethod
    def of(cls, segments: Tensor, far: Tensor | None, bare: Ladders) -> Self:
        """Lines of arrays [..., rows, cols], as `Ladders.of` takes them.

        Raises:
            ConfigError: they are not on the CPU, or there is no native module.
        """
        if not bare.by_kernel:
            raise ConfigError(
                f"segments are on {segments.device}; expected the CPU, and the native module: use "
                "memcore.circuit.solve"
            )
        count, cells = len(bare.factors), segments.shape[-2:]
        if far is not None:
            far = far.expand(*bare.lead, cells[1 + bare.dim]).reshape(count, -1)
        segments = segments.expand(*bare.lead, *cells).reshape(count, *cells)
        return cls(
            segments=segments.contiguous(), far=None if far is None else far.contiguous(), bare=bare
        )

    @property
    def where(self) -> tuple[int, ...]:
        """What the kernel is told of them."""
        at = map(address, (self.segments, self.far, self.bare.factors))
        return (len(self.segments), self.bare.near_last, *at)


class LoopWires:
    """The wires of small arrays on the CPU, for any conductances and drives.

    Args:
        word: word lines.
        bit: bit lines.

    Examples:
        >>> ohm = torch.full((1, 2, 3), 10.0, dtype=torch.float64)
        >>> lines = [LoopLines.of(ohm, None, Ladders.of(None, ohm, dim=dim)) for dim in (-1, -2)]
        >>> ends = torch.ones(1, 2, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)
        >>> found = LoopWires(*lines).solve(1e-3 * torch.ones_like(ohm), *ends, tolerance=1e-10)
        >>> found.voltage[0, 0]
        tensor([0.9529, 0.9347, 0.9256], dtype=torch.float64)
    """

    def __init__(self, word: LoopLines, bit: LoopLines) -> None:
        self.word, self.bit = word, bit
        self.cells = tuple(word.segments.shape[1:])
        self.arrays = max(len(word.segments), len(bit.segments))
        self._where = array("Q", [*word.where, *bit.where])
        self._at = self._where.buffer_info()[0]
        dtype = word.segments.dtype
        self._rounding = ROUNDINGS * torch.finfo(dtype).eps
        kind = "double" if dtype == torch.float64 else "float"
        self._kernel = cast(Callable[..., Any], getattr(native.cpu(), f"loops_solve_{kind}"))

    def solve(
        self,
        g: Tensor,
        word_volts: Tensor,
        bit_volts: Tensor,
        *,
        tolerance: float,
        start: Tensor | None = None,
        iterations: int = 10_000,
    ) -> LoopVoltages:
        """Solve arrays of ohmic cells.

        An iteration solves all word lines and all bit lines exactly, for given voltages of the
        other ones, in O(rows x cols). Each array ends by itself, with the residual that it has.

        Args:
            g: conductances in S, at least 0, [arrays, rows, cols].
            word_volts: voltages at the ends of the word lines in V, [arrays, rows].
            bit_volts: voltages at the ends of the bit lines in V, [arrays, cols].
            tolerance: bound of the residual.
            start: voltages across the cells nearby in V, [arrays, rows, cols]; None for none.
            iterations: most for an array.
        """
        self._check(g, word_volts, bit_volts, start)
        g, word_volts, bit_volts = g.contiguous(), word_volts.contiguous(), bit_volts.contiguous()
        voltage = torch.zeros_like(g) if start is None else start.clone(memory_format=_DENSE)
        arrays, rows, cols = g.shape
        told = torch.empty(2, arrays, dtype=torch.float64, device="cpu")
        inputs = g.data_ptr(), word_volts.data_ptr(), bit_volts.data_ptr()
        limits = tolerance, self._rounding, iterations
        out, at = voltage.data_ptr(), told.data_ptr()
        self._kernel(arrays, rows, cols, self._at, *inputs, *limits, out, at, at + 8 * arrays)
        return LoopVoltages(voltage, *told.unbind(0))

    def _check(
        self, g: Tensor, word_volts: Tensor, bit_volts: Tensor, start: Tensor | None
    ) -> None:
        """Refuse what the kernel cannot read."""
        require_dense(g, word_volts, bit_volts, start)
        require_same_dtype("g", g, "a segment", self.word.segments)
        rows, cols = self.cells
        arrays = len(g) if g.dim() == 3 and self.arrays == 1 else self.arrays
        require_shape("g", g, (arrays, rows, cols))
        if not has_kernel(g, rows * cols):
            raise ConfigError(
                f"g has {rows * cols} cells on {g.device}; expected at most {_CELLS} on the CPU, "
                "and the native module: use memcore.circuit.solve"
            )
        others: dict[str, tuple[Tensor, tuple[int, ...]]] = {
            "word_volts": (word_volts, (arrays, rows)),
            "bit_volts": (bit_volts, (arrays, cols)),
        }
        if start is not None:
            others["start"] = (start, (arrays, rows, cols))
        for name, (tensor, shape) in others.items():
            require_shape(name, tensor, shape)
            require_same_dtype(name, tensor, "g", g)
            require_same_device(name, tensor, "g", g)
