"""The effective matrix of a crossbar with line resistance, in PyTorch.

A block of cells has ports at the left and right edge of its word lines and at the top and bottom
edge of its bit lines: L, R, T, B. L and B are held at voltages and currents are fed into R and T;
`S` maps these to (i_L, -v_R, -v_T, i_B), with i the currents into the block. S is symmetric
(reciprocity) and contains no inverse of a resistance. Neighbours are joined, all blocks of a level
at once, until one is left; `native/src/cpu/effective_multiport.h` has the mathematics.
"""

import torch
from torch import Tensor


def solve(g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool) -> Tensor:
    """Return A [arrays, rows, cols]; word is [arrays, rows, cols (+ 1)], bit as in kernels."""
    rows, cols = g.shape[1:]
    height, width = _power_of_two(rows), _power_of_two(cols)
    right = _far(word, cols, -1, height - rows) if drive_both else None
    top = _far(bit.flip(-2), rows, -2, width - cols) if sense_both else None
    inner = (g, word[..., :cols], bit[:, 1:] if sense_both else bit)
    padded = [torch.nn.functional.pad(each, (0, width - cols, 0, height - rows)) for each in inner]
    s = _joined(_cells(padded[0], padded[1], padded[2]))[:, 0, 0]
    s = _tie(s, (0, height), height, right)
    s = _tie(s, (height, width), height, top)
    return -s[:, :rows, height : height + cols].contiguous()


def backward(
    grad: Tensor, g: Tensor, word: Tensor, bit: Tensor, drive_both: bool, sense_both: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients with respect to g, word and bit."""
    with torch.enable_grad():
        inputs = [tensor.detach().requires_grad_() for tensor in (g, word, bit)]
        out = solve(inputs[0], inputs[1], inputs[2], drive_both, sense_both)
        of_g, of_word, of_bit = torch.autograd.grad(out, inputs, grad)
    return of_g.contiguous(), of_word.contiguous(), of_bit.contiguous()


def _power_of_two(size: int) -> int:
    return 1 << (size - 1).bit_length()


def _far(lines: Tensor, last: int, dim: int, padding: int) -> Tensor:
    # A line without resistance is at one voltage, whatever flows at its far end: any number does.
    far = torch.where(lines.sum(dim) == 0, 1.0, lines.select(dim, last))
    return torch.nn.functional.pad(far, (0, padding), value=1.0)


def _cells(g: Tensor, word: Tensor, bit: Tensor) -> Tensor:
    """S [..., 4, 4] of single cells: wires alone, and the current y d u through the cell."""
    one, zero = torch.ones_like(g), torch.zeros_like(g)
    d = torch.stack((one, word, -bit, -one), -1)
    y = g / (1 + g * (word + bit))
    wires = (
        (zero, -one, zero, zero),
        (-one, -word, zero, zero),
        (zero, zero, -bit, -one),
        (zero, zero, -one, zero),
    )
    s = torch.stack([torch.stack(row, -1) for row in wires], -2)
    return s + y[..., None, None] * d[..., :, None] * d[..., None, :]


def _joined(s: Tensor) -> Tensor:
    """From [arrays, rows, cols, 4, 4] to [arrays, 1, 1, ports, ports], ports in the order LRTB."""
    high = wide = 1
    while s.shape[1] > 1 or s.shape[2] > 1:
        left, right = slice(0, high), slice(high, 2 * high)
        top, bottom = slice(2 * high, 2 * high + wide), slice(2 * high + wide, None)
        if s.shape[2] > 1 and (wide <= high or s.shape[1] == 1):
            s = _join(s[:, :, ::2], right, s[:, :, 1::2], left)
            # Lines of the left block (L T B), then of the right one (R T B).
            a_left, a_top, a_bottom, b_right, b_top, b_bottom = _ranges(s, high, wide, wide)
            order = (a_left, b_right, a_top, b_top, a_bottom, b_bottom)
            wide *= 2
        else:
            s = _join(s[:, 1::2], top, s[:, ::2], bottom)
            # Lines of the lower block (L R B), then of the upper one (L R T).
            a_left, a_right, a_bottom, b_left, b_right, b_top = _ranges(s, high, high, wide)
            order = (b_left, a_left, b_right, a_right, b_top, a_bottom)
            high *= 2
        index = torch.cat(order)
        s = s[..., index[:, None], index]
    return s


def _ranges(s: Tensor, *counts: int) -> list[Tensor]:
    """Consecutive line numbers, as many as `counts` says, twice."""
    lines = torch.arange(s.shape[-1], device=s.device)
    return list(torch.split(lines, [*counts, *counts]))


def _parts(s: Tensor, port: slice) -> tuple[Tensor, Tensor, Tensor]:
    """S among the other ports, between `port` and them, and at `port` itself."""
    lines = torch.arange(s.shape[-1], device=s.device)
    before, after = lines[: port.start], lines[port.stop :] if port.stop else lines[:0]
    rest = torch.cat((before, after))
    between = s[..., port, :]
    return s[..., rest[:, None], rest], between[..., rest], between[..., port]


def _join(z: Tensor, z_port: slice, y: Tensor, y_port: slice) -> Tensor:
    z_rest, a, impedance = _parts(z, z_port)
    y_rest, b, admittance = _parts(y, y_port)
    a, impedance = -a, -impedance
    unit = torch.eye(a.shape[-2], dtype=z.dtype, device=z.device)
    both = torch.linalg.solve(unit + impedance @ admittance, torch.cat((a, impedance @ b), -1))
    ta, vb = both[..., : a.shape[-1]], both[..., a.shape[-1] :]
    cross = a.mT @ (b - admittance @ vb)
    upper = torch.cat((z_rest + a.mT @ (admittance @ ta), cross), -1)
    return torch.cat((upper, torch.cat((cross.mT, y_rest - b.mT @ vb), -1)), -2)


def _tie(s: Tensor, near: tuple[int, int], far: int, resistances: Tensor | None) -> Tensor:
    """Connect lines from `far` on to those of `near` (first, count), or leave them open."""
    first, count = near
    rest, h, impedance = _parts(s, slice(far, far + count))
    if resistances is None:
        return rest
    at = torch.arange(count, device=s.device)
    ones = torch.zeros_like(h)
    ones[..., at, at + first] = 1
    h = -h - ones
    current: Tensor = torch.linalg.solve(torch.diag_embed(resistances) - impedance, h)
    return rest + h.mT @ current
