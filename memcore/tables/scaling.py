"""Rules that carry figures of a component over to another technology node."""

import csv
import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from memcore import _check
from memcore._text import hint, shown
from memcore.errors import ConfigError
from memcore.tables.component import Component

_FILE: Final = Path(__file__).parent / "scaling.csv"
#: V, at which energies of two nodes are compared; all nodes of the table work at it.
SUPPLY: Final = 0.8


class Factors(NamedTuple):
    """By how much figures change from one node to another.

    Args:
        energy: factor of energies, and of powers at the same rate.
        area: factor of areas.
        source: key of the source of the rule.
    """

    energy: float
    area: float
    source: str


class _Node(NamedTuple):
    energy: float
    areas: tuple[float, ...]  #: of one unit here on each node of the table


@cache
def _nodes() -> dict[float, _Node]:
    with _FILE.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {float(row["node_m"]): _node(row) for row in rows}


def _node(row: Mapping[str, str]) -> _Node:
    square, linear, constant = (float(row[f"energy_v{power}"]) for power in (2, 1, 0))
    energy = square * SUPPLY**2 + linear * SUPPLY + constant
    return _Node(energy, tuple(float(row[key]) for key in list(row)[4:]))


def stillmaker_baas(before: float, after: float) -> Factors:
    """Factors of digital logic, fitted to simulated circuits, between two nodes in m.

    Energies are compared at one supply of 0.8 V. Between two nodes of the table, of 130 to 7 nm,
    factors are interpolated on logarithmic axes, which is no part of the publication.

    Raises:
        ConfigError: a node lies outside of the table.
    """
    nodes = _nodes()
    largest, smallest = max(nodes), min(nodes)
    for node in (before, after):
        if not smallest * (1 - 1e-9) <= node <= largest * (1 + 1e-9):
            raise ConfigError(
                f"node {node * 1e9:g} nm has no scaling factors; expected "
                f"{smallest * 1e9:g} to {largest * 1e9:g} nm"
            )
    if math.isclose(before, after, rel_tol=1e-6):
        return Factors(1.0, 1.0, "stillmaker17")
    listed = sorted(nodes, reverse=True)
    shares = _shares(listed, before), _shares(listed, after)
    energies = [math.log(nodes[node].energy) for node in listed]
    energy = sum(share * energies[k] for k, share in shares[1].items())
    energy -= sum(share * energies[k] for k, share in shares[0].items())
    area = sum(
        one * other * math.log(nodes[listed[k]].areas[j])
        for k, one in shares[0].items()
        for j, other in shares[1].items()
    )
    return Factors(math.exp(energy), math.exp(area), "stillmaker17")


def _shares(listed: list[float], node: float) -> dict[int, float]:
    """The nodes of the table around a node, with what each counts."""
    for k, known in enumerate(listed):
        if math.isclose(known, node, rel_tol=1e-6):
            return {k: 1.0}
    below = next(k for k, known in enumerate(listed) if known < node)
    large, small = listed[below - 1], listed[below]
    share = math.log(large / node) / math.log(large / small)
    return {below - 1: 1 - share, below: share}


#: The rules by name.
RULES: Final[dict[str, Callable[[float, float], Factors]]] = {"stillmaker_baas": stillmaker_baas}


def factors(rule: str, before: float, after: float) -> Factors:
    """By how much figures change from one node in m to another, by a rule of a name.

    Raises:
        ConfigError: there is no such rule, or it does not know a node.
    """
    if rule not in RULES:
        raise ConfigError(
            f"scaling={shown(rule)}; expected one of {', '.join(RULES)}{hint(rule, RULES)}"
        )
    return RULES[rule](before, after)


def scaled(component: Component, node: float, rule: str = "stillmaker_baas") -> Component:
    """A component as it would be at another node: energies and areas by the rule.

    Rates stay, so that power follows energy. No rule says what becomes of leakage: it is unknown
    then. The rule is that of digital logic, and circuits with amplifiers, references or capacitors
    that match shrink less.

    Args:
        component: a component with a node.
        node: the other node in m.
        rule: name of the rule.

    Raises:
        ConfigError: there is no such rule, it does not know a node, or the component has none.

    Examples:
        >>> adc = memcore.components["mnsim_6"]
        >>> memcore.scaled(adc, 32e-9).area < adc.area
        True
    """
    if not isinstance(component, Component):
        raise ConfigError(
            f"component={shown(component)}; expected a Component: look for one in components"
        )
    node = _check.number("node", node, unit="m", above=0, remedy="45e-9 is 45 nm")
    if component.technology is None:
        raise ConfigError(
            f"component {component.name!r} has no node in its source ({component.source}); "
            "expected one that has, or a row of your own for it in a CSV file"
        )
    by = factors(rule, component.technology, node)
    times = {"energy": by.energy, "power": by.energy, "area": by.area}
    figures: dict[str, Any] = {
        name: None if getattr(component, name) is None else getattr(component, name) * factor
        for name, factor in times.items()
    }
    was = f"scaled from {component.technology * 1e9:g} nm by {by.source}"
    return dataclasses.replace(
        component,
        **figures,
        leakage=component.leakage if by.energy == 1 and by.area == 1 else None,
        technology=node,
        measured=False,
        source=component.source if by.energy == 1 else f"{component.source}, {was}",
        note=f"{component.note}; {was}".removeprefix("; "),
    )
