"""What is true of the chip in hand: which layers are called, which cells are out of date."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from memcore._text import some
from memcore.crossbar.writings import Writings
from memcore.errors import NoEffectWarning, StaleCellsWarning, warn
from memcore.nn.walk import layers as converted
from memcore.nn.walk import matrices, qualified, unique_matrices


@contextmanager
def called(modules: Mapping[str, nn.Module]) -> Iterator[set[str]]:
    """The names of those modules that are called while the block runs."""
    names: set[str] = set()
    handles = [
        module.register_forward_pre_hook(lambda *_, name=name: names.add(name))
        for name, module in modules.items()
    ]
    try:
        yield names
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def reads_unused(model: nn.Module) -> Iterator[None]:
    """Let the reads of a while use up no numbers, so that the next ones draw as before."""
    crossbars = [matrix.crossbar for matrix in unique_matrices(model)]
    before = [crossbar.reads.clone() for crossbar in crossbars]
    try:
        yield
    finally:
        for crossbar, number in zip(crossbars, before, strict=True):
            crossbar.reads.copy_(number)


@torch.no_grad()
def stale_matrices(model: nn.Module, writings: Writings | None = None) -> tuple[str, ...]:
    """The matrices whose cells were written from other weights than the parameters hold now.

    Each is written once more, in thought and with the draws of its last writing, and compared.
    Cells that would be the same, since a device has few states, are not stale.

    Args:
        model: the network.
        writings: keep what the matrices would hold, for variants of the chip.
    """
    stale = []
    for layer_name, layer in converted(model).items():
        operands = layer.present()
        for name, matrix in matrices(layer).items():
            if not matrix.holds(operands[name], writings):
                matrix.staleness.has_warned = True  # the caller says so, in its own words
                stale.append(qualified(layer_name, name))
    return tuple(stale)


def warn_of_stale(names: Sequence[str]) -> None:
    """Say which cells hold other weights than the parameters.

    Warns:
        StaleCellsWarning: there are some.
    """
    if names:
        warn(
            f"the cells of {some(names)} were written from other weights than the parameters hold "
            "now; expected memcore.program(model) after every change of parameters",
            StaleCellsWarning,
        )


def warn_of_unread(names: Sequence[str]) -> None:
    """Say which layers a network reads past.

    Warns:
        NoEffectWarning: there are some.
    """
    if names:
        warn(
            f"the network did not call {some(names)}: their arrays had no effect; expected "
            "layer(x) in the network where it uses layer.weight, or a filter_fn that leaves them "
            "out",
            NoEffectWarning,
        )
