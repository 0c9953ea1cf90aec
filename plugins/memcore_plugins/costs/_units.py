"""Figures of cost models, with bounds that no figure in SI units exceeds."""

from typing import Any

from memcore import parameter


def seconds(default: float, doc: str) -> Any:
    """A duration of something that happens once for each read, write or conversion."""
    remedy = "in seconds, 100 ns is 1e-7"
    return parameter(default, "s", doc, above=0, at_most=1.0, remedy=remedy)


def joules(default: float, doc: str) -> Any:
    """An energy of something that happens once for each read or write of a cell."""
    remedy = "in joules, 1 pJ is 1e-12"
    return parameter(default, "J", doc, at_least=0, at_most=1e-3, remedy=remedy)


def square_metres(default: float, doc: str) -> Any:
    """An area of a cell, which one of the tables of components is not."""
    remedy = "in square metres, 1 um^2 is 1e-12"
    return parameter(default, "m^2", doc, at_least=0, at_most=1e-6, remedy=remedy)
