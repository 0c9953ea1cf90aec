"""Reads of arrays as an operator, where what is read next depends on what was read.

No graph holds such a read. An operator takes tensors and numbers only, so what reads is found by a
number.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from memcore.ops._library import LIBRARY
from memcore.ops.found import Found


class Reading(Protocol):
    """What reads arrays."""

    def read(self, x: Tensor, reads: Tensor) -> Tensor:
        """Outputs [n, groups, outputs] of inputs [n, groups, inputs]."""


_READERS: Found[Reading] = Found()
enter = _READERS.enter


def _read(x: Tensor, reads: Tensor, outputs: int, number: int) -> Tensor:
    del outputs
    return _READERS[number].read(x, reads)


def _read_fake(x: Tensor, reads: Tensor, outputs: int, number: int) -> Tensor:
    del reads, number
    return x.new_empty(*x.shape[:2], outputs)


LIBRARY.define(
    "named_read(Tensor x, Tensor reads, int outputs, int number) -> Tensor",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.impl("named_read", _read, "CompositeExplicitAutograd")
torch.library.register_fake("memcore::named_read", _read_fake, lib=LIBRARY)

#: Outputs [n, groups, outputs] of inputs, the number of reads before them, and the reader's number.
named_read: Callable[[Tensor, Tensor, int, int], Tensor]
named_read = torch.ops.memcore.named_read.default
