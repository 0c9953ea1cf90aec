"""Rehearsals as operators, so that a compiled training step is one graph.

A rehearsal writes cells, which draws keyed numbers and keeps modules: nothing that a graph holds.
An operator takes tensors and numbers only, so matrices are found by a number.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from memcore.ops._library import LIBRARY
from memcore.ops.found import Found


class Imagining(Protocol):
    """A matrix whose cells are written in imagination."""

    def imagined(self, x: Tensor, matrix: Tensor) -> tuple[Tensor, Tensor]:
        """What a rehearsal reads, and the weights that its cells stand for."""

    def imagined_weight(self, matrix: Tensor) -> Tensor:
        """The weights that the cells of a rehearsal stand for."""


_MATRICES: Found[Imagining] = Found()
enter = _MATRICES.enter


def _read(x: Tensor, weight: Tensor, number: int) -> tuple[Tensor, Tensor]:
    y, folded = _MATRICES[number].imagined(x, weight)
    return y.clone(), folded.clone()


def _read_fake(x: Tensor, weight: Tensor, number: int) -> tuple[Tensor, Tensor]:
    del number
    groups, outputs, _ = weight.shape
    return weight.new_empty(x.shape[0], groups, outputs), torch.empty_like(weight)


def _folded(weight: Tensor, number: int) -> Tensor:
    return _MATRICES[number].imagined_weight(weight).clone()


def _folded_fake(weight: Tensor, number: int) -> Tensor:
    del number
    return torch.empty_like(weight, memory_format=torch.contiguous_format)


for _schema, _real, _fake in (
    ("rehearsed_read(Tensor x, Tensor weight, int number) -> (Tensor, Tensor)", _read, _read_fake),
    ("rehearsed_weight(Tensor weight, int number) -> Tensor", _folded, _folded_fake),
):
    _name = _schema.partition("(")[0]
    LIBRARY.define(_schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(_name, _real, "CompositeExplicitAutograd")
    torch.library.register_fake(f"memcore::{_name}", _fake, lib=LIBRARY)

#: Outputs [n, groups, outputs] of inputs, and the weights that the cells stand for.
rehearsed_read: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
rehearsed_read = torch.ops.memcore.rehearsed_read.default
#: The weights that the cells stand for, of the weights that they should hold.
rehearsed_weight: Callable[[Tensor, int], Tensor] = torch.ops.memcore.rehearsed_weight.default
