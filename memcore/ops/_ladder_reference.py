"""Node voltages of ladders in PyTorch; `native/src/cpu/ladder_kernels.h` has the mathematics.

All tensors are [..., nodes, lines], from the near end to the far end.
"""

import math

import torch
from torch import Tensor


def factor(shunt: Tensor, segments: Tensor, far: Tensor) -> Tensor:
    """Return t and r t of all nodes, [2, ..., nodes, lines]."""
    transfer = torch.empty_like(segments)
    behind = 1 / far
    for k in reversed(range(segments.shape[-2])):
        r, y = segments[..., k, :], shunt[..., k, :] + behind
        t = torch.where(r == 0, 1, 1 / (1 + r * y))
        behind = torch.where(y.isinf() & (r != 0), 1 / r, y * t)
        transfer[..., k, :] = t
    return torch.stack((transfer, segments * transfer))


def solve(currents: Tensor, factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return the voltages for `currents` into the nodes, and the energy [..., 1, 1]."""
    transfer, impedance = factors
    after = torch.nn.functional.pad(transfer[..., 1:, :], (0, 0, 0, 1))
    source = running(currents.flip(-2), after.flip(-2)).flip(-2)
    voltages = running(impedance * source, transfer)
    return voltages, (impedance * source**2).sum((-2, -1), keepdim=True)


def running(term: Tensor, factor: Tensor) -> Tensor:
    """Return x_k = term_k + factor_k x_{k-1}, with x_{-1} = 0.

    Pieces of about as many nodes as there are pieces, all at once, and then one after the other.
    """
    nodes, lines = term.shape[-2:]
    piece = math.isqrt(nodes - 1) + 1
    pieces = -(-nodes // piece)

    def split(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (0, 0, 0, pieces * piece - nodes))
        return padded.reshape(*x.shape[:-2], pieces, piece, lines)

    x, f = torch.broadcast_tensors(split(term), split(factor))  # type: ignore[no-untyped-call]
    x, f = x.clone(), f.clone()
    for k in range(1, piece):
        x[..., k, :].addcmul_(f[..., k, :], x[..., k - 1, :])
        f[..., k, :] *= f[..., k - 1, :]
    for n in range(1, pieces):
        x[..., n, :, :].addcmul_(f[..., n, :, :], x[..., n - 1, -1:, :])
    running_sums: Tensor = x.flatten(-3, -2)[..., :nodes, :]
    return running_sums
