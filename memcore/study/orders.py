"""Texts in a small language, made by rule, which only a reader with a memory can foretell."""

from typing import Final

import torch
from torch import Tensor

from memcore.random import Stream

NAMES: Final = ("ann", "ben", "eve", "ian", "joe", "kim")
THINGS: Final = ("bread", "cake", "cheese", "fish", "milk", "rice", "soup", "tea")
WORDS: Final = (*NAMES, *THINGS, ".")
_ORDERS: Final = 16


def told(count: int) -> tuple[Tensor, Tensor]:
    """Texts of sixteen orders at a counter, in which everybody always asks for the same.

    "ann tea . ben milk . ann tea ." What somebody wants the first time nobody can know; from then
    on whoever remembers it knows. The texts are the same on every machine.

    Args:
        count: number of texts.

    Returns:
        Words, int64 [count, 48], and which of them can be known.
    """
    stream = Stream(0).child("orders")
    names = _chosen(stream.child("names"), (count, _ORDERS), len(NAMES))
    tastes = _chosen(stream.child("tastes"), (count, len(NAMES)), len(THINGS))
    end = torch.full_like(names, WORDS.index("."))
    words = torch.stack([names, len(NAMES) + tastes.gather(1, names), end], 2)
    is_known = torch.zeros_like(words, dtype=torch.bool)
    for turn in range(1, _ORDERS):
        is_known[:, turn, 1] = (names[:, :turn] == names[:, turn : turn + 1]).any(1)
    return words.flatten(1), is_known.flatten(1)


def _chosen(stream: Stream, shape: tuple[int, int], choices: int) -> Tensor:
    return (stream.uniform(shape) * choices).long().clamp(max=choices - 1)
