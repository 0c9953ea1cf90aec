"""Components of one technology node."""

from math import isclose

from memcore import Component, ConfigError, scaled


def at_node(component: Component, node: float | None, rule: str) -> Component:
    """A component of a node in m, carried over to it by a rule unless that is "none".

    Raises:
        ConfigError: it is of another node, and no rule is named.
    """
    technology = component.technology
    if node is None or technology is None or isclose(technology, node):
        return component
    if rule != "none":
        return scaled(component, node, rule)
    raise ConfigError(
        f"component {component.name!r} is of {technology * 1e9:g} nm, node={node!r}; "
        'expected a component of that node, or scaling="stillmaker_baas"'
    )
