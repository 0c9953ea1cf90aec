"""The effective matrix of a crossbar with line resistance, its gradient, and the voltages of cells.

A block of cells has ports at the left and right edge of its word lines and at the top and bottom
edge of its bit lines: L, R, T, B. L and B are held at voltages and currents are fed into R and T;
`S` maps these to (i_L, -v_R, -v_T, i_B), with i the currents into the block. S is symmetric
(reciprocity) and contains no inverse of a resistance. Neighbours are joined, all blocks of a level
at once, until one is left; `native/src/cpu/effective_multiport.h` has the mathematics.

The gradient goes down the same way: u^T S u of a joint block is stationary in what happens at the
joint, so that with the inputs x u of a part the gradient with respect to its S is x G x^T. The
voltages go down it too: the inputs of all drives, from those of a block to those of its parts.

Nothing here waits for a GPU, and a batch takes no more memory than `CELLS` need at once.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Arrays are handled together up to so many cells, each of which needs up to 1 KB.
CELLS = 2**21


def solve(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    """Return A [arrays, rows, cols]; word is [arrays, rows, cols (+ 1)], bit as in kernels."""
    out = torch.empty_like(g, memory_format=torch.contiguous_format)
    for some in _pieces(g):
        crossbars = _Crossbars.of(g[some], word[some], bit[some], drive_both, sense_both)
        out[some] = crossbars.matrix(crossbars.ascend(None))
    return out


def backward(
    grad: Tensor, g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to g, word and bit."""
    out = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (g, word, bit)]
    for some in _pieces(g):
        crossbars = _Crossbars.of(g[some], word[some], bit[some], drive_both, sense_both)
        for whole, part in zip(out, crossbars.gradient(grad[some]), strict=True):
            whole[some] = part
    return out[0], out[1], out[2]


def voltages(
    g: Tensor,
    word: Tensor,
    bit: Tensor,
    drive_both: bool,
    sense_both: bool,
    word_volts: Tensor,
    bit_volts: Tensor,
) -> Tensor:
    """Return the voltages across all cells for ends at [arrays, drives, rows] and [.., cols] V."""
    drives, cells = word_volts.shape[1], g.shape[1:]
    out = g.new_empty(g.shape[0], drives, *cells)
    for some in _pieces(g):
        crossbars = _Crossbars.of(g[some], word[some], bit[some], drive_both, sense_both)
        kept: list[tuple[Tensor, Tensor]] = []
        whole = crossbars.ascend(kept)
        for piece in _spans(drives, _at_once(cells) // max(1, g[some].shape[0])):
            ends = word_volts[some, piece], bit_volts[some, piece]
            out[some, piece] = crossbars.voltages(whole, kept, *ends)
    return out


def _pieces(g: Tensor) -> Iterator[slice]:
    arrays, *cells = g.shape
    return _spans(arrays, _at_once(cells))


def _at_once(cells: Sequence[int]) -> int:
    """How many arrays of so many rows and columns are handled together."""
    return CELLS // math.prod(map(_power_of_two, cells))


def _spans(count: int, length: int) -> Iterator[slice]:
    length = max(1, length)
    return (slice(first, first + length) for first in range(0, count, length))


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


class _Level(NamedTuple):
    """Pairs of neighbours, `beside` each other or one above the other, of high x wide cells."""

    beside: bool
    high: int
    wide: int

    @classmethod
    def all(cls, rows: int, cols: int) -> "Iterator[_Level]":
        """All levels from single cells to one block; `rows` and `cols` are powers of two."""
        high = wide = 1
        while high < rows or wide < cols:
            beside = wide < cols and (wide <= high or high == rows)
            yield cls(beside, high, wide)
            high, wide = (high, 2 * wide) if beside else (2 * high, wide)

    @property
    def ports(self) -> tuple[slice, slice]:
        """The ports of the part that gives voltages, and of the one that gives currents."""
        high, wide = self.high, self.wide
        if self.beside:
            return slice(high, 2 * high), slice(0, high)
        return slice(2 * high, 2 * high + wide), slice(2 * high + wide, 2 * (high + wide))

    @property
    def groups(self) -> tuple[list[int], list[int]]:
        """Sizes of the ports of both parts that are left, and their order in the joint block."""
        if self.beside:  # L T B of the left part, R T B of the right one
            return 2 * [self.high, self.wide, self.wide], [0, 3, 1, 4, 2, 5]
        # L R B of the lower part, L R T of the upper one
        return 2 * [self.high, self.high, self.wide], [3, 0, 4, 1, 5, 2]

    def parts(self, s: Tensor) -> tuple[Tensor, Tensor]:
        if self.beside:
            return s[:, :, ::2], s[:, :, 1::2]
        return s[:, 1::2], s[:, ::2]

    def together(self, z: Tensor, y: Tensor) -> Tensor:
        """The reverse of `parts`."""
        if self.beside:
            return torch.stack((z, y), 3).flatten(2, 3)
        return torch.stack((y, z), 2).flatten(1, 2)

    def join(self, s: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The joint blocks, and voltages and currents at the joint for all their inputs."""
        (z, y), (z_port, y_port) = self.parts(s), self.ports
        z_rest, a, impedance = _split(z, z_port)
        y_rest, b, admittance = _split(y, y_port)
        a, impedance = -a, -impedance
        interface = impedance @ admittance
        interface.diagonal(dim1=-2, dim2=-1).add_(1)
        both = _solve(interface, torch.cat((a, impedance @ b), -1))
        ta, vb = both[..., : a.shape[-1]], both[..., a.shape[-1] :]
        inside = b - admittance @ vb
        carried = admittance @ ta
        cross = a.mT @ inside
        upper = torch.cat((z_rest + a.mT @ carried, cross), -1)
        joint = torch.cat((upper, torch.cat((cross.mT, y_rest - b.mT @ vb), -1)), -2)
        p, q = torch.cat((ta, -vb), -1), torch.cat((carried, inside), -1)
        sizes, order = self.groups
        return _reorder(_reorder(joint, sizes, order, -2), sizes, order, -1), (p, q)

    def join_gradient(self, grad: Tensor, at_joint: tuple[Tensor, Tensor]) -> Tensor:
        """From the gradient with respect to the joint blocks to that with respect to the parts."""
        (p, q), (z_port, y_port), (sizes, order) = at_joint, self.ports, self.groups
        back = sorted(range(len(order)), key=order.__getitem__)
        turned = [sizes[n] for n in order]
        grad = _reorder(_reorder(grad, turned, back, -2), turned, back, -1)
        count = sum(sizes) // 2
        z = _spread(grad[..., :count, :count], -q, grad, slice(0, count), z_port)
        y = _spread(grad[..., count:, count:], p, grad, slice(count, None), y_port)
        return self.together(z, y)

    def inputs(self, u: Tensor, at_joint: tuple[Tensor, Tensor]) -> Tensor:
        """From the inputs [..., lines, drives] of the joint blocks to those of the parts."""
        (p, q), (z_port, y_port), (sizes, order) = at_joint, self.ports, self.groups
        back = sorted(range(len(order)), key=order.__getitem__)
        u = _reorder(u, [sizes[n] for n in order], back, -2)
        count = sum(sizes) // 2
        z = _between(u[..., :count, :], -(q @ u), z_port)
        return self.together(z, _between(u[..., count:, :], p @ u, y_port))


def _between(rest: Tensor, at: Tensor, port: slice) -> Tensor:
    """The inputs of a part, those at `port` among the other ones."""
    return torch.cat((rest[..., : port.start, :], at, rest[..., port.start :, :]), -2)


def _split(s: Tensor, port: slice) -> tuple[Tensor, Tensor, Tensor]:
    """S among the other lines, between `port` and them, and at `port` itself."""
    others = torch.cat((s[..., : port.start, :], s[..., port.stop :, :]), -2)
    between, at = s[..., port, :], s[..., port, port]
    rest = torch.cat((others[..., : port.start], others[..., port.stop :]), -1)
    return rest, torch.cat((between[..., : port.start], between[..., port.stop :]), -1), at


def _spread(own: Tensor, x: Tensor, grad: Tensor, columns: slice, port: slice) -> Tensor:
    """The gradient at a part with the inputs (u, x u), the lines `columns` of u being its own."""
    cross = x @ grad
    between, at = cross[..., columns], cross @ x.mT
    middle = torch.cat((between[..., : port.start], at, between[..., port.start :]), -1)
    other = torch.cat((own[..., : port.start], between.mT, own[..., port.start :]), -1)
    return torch.cat((other[..., : port.start, :], middle, other[..., port.start :, :]), -2)


def _reorder(x: Tensor, sizes: list[int], order: list[int], dim: int) -> Tensor:
    parts = torch.split(x, sizes, dim)
    return torch.cat([parts[n] for n in order], dim)


def _solve(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right, without asking a GPU whether that went well: it always does."""
    if matrix.shape[-1] == 1:
        return right / matrix
    if matrix.shape[-1] == 2:
        (a, b), (c, d) = (matrix[..., k, :, None].unbind(-2) for k in (0, 1))
        first, second = right.unbind(-2)
        adjugate = torch.stack((d * first - b * second, a * second - c * first), -2)
        return adjugate / (a * d - b * c)[..., None]
    solution: Tensor = torch.linalg.solve_ex(matrix, right)[0]
    return solution


class _Tie(NamedTuple):
    """Far ends of all lines, connected through resistances to the voltages of the near ends."""

    near: int  # the first line of the port
    port: slice  # the far one
    resistances: Tensor | None  # None: left open

    def close(self, s: Tensor) -> tuple[Tensor, Tensor | None]:
        """The matrix that is left, and the currents at the far ends for all its inputs."""
        rest, h, impedance = _split(s, self.port)
        if self.resistances is None:
            return rest, None
        h = -h
        count = h.shape[-2]
        h[..., self.near : self.near + count].diagonal(dim1=-2, dim2=-1).sub_(1)
        current = _solve(torch.diag_embed(self.resistances) - impedance, h)
        return rest + h.mT @ current, current

    def inputs(self, u: Tensor, current: Tensor | None) -> Tensor:
        """From the inputs of the matrix that is left to those of the whole."""
        if current is None:
            at = u.new_zeros(*u.shape[:-2], self.port.stop - self.port.start, u.shape[-1])
        else:
            at = -(current @ u)
        return _between(u, at, self.port)

    def close_gradient(self, grad: Tensor, current: Tensor | None) -> tuple[Tensor, Tensor]:
        """The gradients with respect to S and to the resistances."""
        if current is None:
            count = self.port.stop - self.port.start
            current = grad.new_zeros(*grad.shape[:-2], count, grad.shape[-1])
        out = _spread(grad, -current, grad, slice(None), self.port)
        return out, -out[..., self.port, self.port].diagonal(dim1=-2, dim2=-1)


class _Crossbars(NamedTuple):
    """Arrays of height x width cells, those beyond rows x cols without conductance."""

    rows: int
    cols: int
    g: Tensor
    word: Tensor  # without the far ends
    bit: Tensor
    ties: tuple[_Tie, _Tie]

    @classmethod
    def of(
        cls, g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
    ) -> "_Crossbars":
        rows, cols = g.shape[1:]
        height, width = _power_of_two(rows), _power_of_two(cols)
        padding = (0, width - cols, 0, height - rows)
        right = _far(word, -1, cols, height - rows) if drive_both else None
        top = _far(bit, -2, 0, width - cols) if sense_both else None
        ties = (
            _Tie(0, slice(height, 2 * height), right),
            _Tie(height, slice(height, height + width), top),
        )
        inner = (g, word[..., :cols], bit[:, 1:] if sense_both else bit)
        cells = [torch.nn.functional.pad(each, padding) for each in inner]
        return cls(rows, cols, cells[0], cells[1], cells[2], ties)

    def ascend(
        self, kept: list[tuple[Tensor, Tensor]] | None
    ) -> tuple[Tensor, list[Tensor | None]]:
        """S of the whole with far ends tied, and their currents; `kept` gets what joints do."""
        s = self._cells()
        for level in _Level.all(*self.g.shape[1:]):
            s, at_joint = level.join(s)
            if kept is not None:
                kept.append(at_joint)
        s, first = self.ties[0].close(s[:, 0, 0])
        s, second = self.ties[1].close(s)
        return s, [first, second]

    def matrix(self, whole: tuple[Tensor, list[Tensor | None]]) -> Tensor:
        height = self.g.shape[1]
        return -whole[0][:, : self.rows, height : height + self.cols]

    def gradient(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        kept: list[tuple[Tensor, Tensor]] = []
        s, currents = self.ascend(kept)
        half, height = -grad / 2, self.g.shape[1]
        at_s = torch.zeros_like(s)
        at_s[:, : self.rows, height : height + self.cols] = half
        at_s[:, height : height + self.cols, : self.rows] = half.mT
        at_s, top = self.ties[1].close_gradient(at_s, currents[1])
        at_s, right = self.ties[0].close_gradient(at_s, currents[0])
        at_s = at_s[:, None, None]
        for level in reversed(list(_Level.all(*self.g.shape[1:]))):
            at_s = level.join_gradient(at_s, kept.pop())
        g, word, bit = (x[:, : self.rows, : self.cols] for x in self._cells_gradient(at_s))
        if self.ties[0].resistances is not None:
            word = torch.cat((word, right[:, : self.rows, None]), -1)
        if self.ties[1].resistances is not None:
            bit = torch.cat((top[:, None, : self.cols], bit), -2)
        return g, word, bit

    def voltages(
        self,
        whole: tuple[Tensor, list[Tensor | None]],
        kept: list[tuple[Tensor, Tensor]],
        word: Tensor,
        bit: Tensor,
    ) -> Tensor:
        """Voltages across cells [arrays, drives, rows, cols], after `ascend` kept the joints."""
        height, width = self.g.shape[1:]
        _, (right, top) = whole
        lines = ((word, height - self.rows), (bit, width - self.cols))
        u = torch.cat([torch.nn.functional.pad(volts, (0, more)) for volts, more in lines], -1).mT
        u = self.ties[0].inputs(self.ties[1].inputs(u, top), right)[:, None, None]
        for level, at_joint in reversed(list(zip(_Level.all(height, width), kept, strict=True))):
            u = level.inputs(u, at_joint)
        _, d = self._own()
        across = (d[..., None, :] @ u)[..., 0, :]
        across = across / (1 + self.g * (self.word + self.bit))[..., None]
        return across[:, : self.rows, : self.cols].movedim(-1, 1)

    def _own(self) -> tuple[Tensor, Tensor]:
        """The current through a cell is y d u, with u at its ports."""
        y = self.g / (1 + self.g * (self.word + self.bit))
        one = torch.ones_like(y)
        return y, torch.stack((one, self.word, -self.bit, -one), -1)

    def _cells(self) -> Tensor:
        """S [..., 4, 4] of single cells: wires alone, and the current through the cell."""
        y, d = self._own()
        s = y[..., None, None] * d[..., :, None] * d[..., None, :]
        for i, j in ((0, 1), (1, 0), (2, 3), (3, 2)):
            s[..., i, j] -= 1
        s[..., 1, 1] -= self.word
        s[..., 2, 2] -= self.bit
        return s

    def _cells_gradient(self, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, d = self._own()
        gd = (grad @ d[..., None])[..., 0]
        of_y = (d * gd).sum(-1)
        less = 1 / (1 + self.g * (self.word + self.bit)) ** 2
        common = y**2 * of_y
        word = 2 * y * gd[..., 1] - grad[..., 1, 1] - common
        bit = -2 * y * gd[..., 2] - grad[..., 2, 2] - common
        return of_y * less, word, bit


def _far(lines: Tensor, dim: int, last: int, padding: int) -> Tensor:
    # A line without resistance is at one voltage, whatever flows at its far end: any number does.
    far = torch.where(lines.sum(dim) == 0, 1.0, lines.select(dim, last))
    return torch.nn.functional.pad(far, (0, padding), value=1.0)
