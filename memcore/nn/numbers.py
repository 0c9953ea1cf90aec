"""Reads beside those of a network's use, which use no read numbers up."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from memcore.crossbar.crossbar import Crossbar


@contextmanager
def set_aside(crossbars: Iterable[Crossbar]) -> Iterator[None]:
    """Let the reads in evaluation of a while use up no numbers, those of a calibration for example.

    What they draw depends on how far a training is, and not on how often it was validated: ranges
    that are found between its steps are part of it.
    """
    every = list(crossbars)
    before = [crossbar.reads.clone() for crossbar in every]
    try:
        for crossbar in every:
            crossbar.reads.copy_(crossbar.training_reads)
        yield
    finally:
        for crossbar, number in zip(every, before, strict=True):
            crossbar.reads.copy_(number)
