"""The numbers of recent reads, so that a recomputation draws the noise of the pass it repeats.

`torch.utils.checkpoint` runs a part of the forward pass again during the backward pass and restores
the state of torch's generators for dropout. Reads are numbered by a counter, so the numbers of the
pass that is repeated are found by its inputs.
"""

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

#: Passes that are remembered, and values of their inputs that tell them apart.
_PASSES, _VALUES = 64, 32


class _Pass(NamedTuple):
    shape: torch.Size
    probe: Tensor
    reads: Tensor


class RecentReads:
    """What was read lately while training."""

    def __init__(self) -> None:
        self._passes: deque[_Pass] = deque(maxlen=_PASSES)

    def hold(self, count: int) -> None:
        """Remember at least so many, as a pass needs that reads the same arrays at every step."""
        if count > (self._passes.maxlen or 0):
            self._passes = deque(self._passes, maxlen=count)

    def remember(self, x: Tensor, reads: Tensor) -> None:
        """Keep the number at which the reads of these inputs begin."""
        if not torch.compiler.is_compiling():
            self._passes.append(_Pass(x.shape, _probe(x), reads.clone()))

    def of_recomputation(self, x: Tensor) -> Tensor | None:
        """The number at which the same reads began, if this is a pass that is run once more."""
        if torch.compiler.is_compiling() or not in_backward():
            return None
        probe = _probe(x)
        for each in reversed(tuple(self._passes)):
            if each.shape == x.shape and torch.equal(each.probe, probe):
                return each.reads
        return None

    def __deepcopy__(self, memo: object) -> "RecentReads":
        del memo
        return RecentReads()

    def __reduce__(self) -> tuple[type["RecentReads"], tuple[()]]:
        return RecentReads, ()


def _probe(x: Tensor) -> Tensor:
    flat = x.detach().reshape(-1)
    step = max(1, flat.shape[0] // _VALUES)
    return flat[: step * _VALUES : step].clone()


def in_backward() -> bool:
    """Whether a backward pass is running, which may repeat parts of the forward pass."""
    return bool(torch._C._current_graph_task_id() != -1)
