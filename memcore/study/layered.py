"""Crossbars that differ from layer to layer: tables of `[crossbar]` under globs on names."""

import dataclasses
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from torch import nn

from memcore._text import did_you_mean
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError, StudyError
from memcore.nn.conversion import convert
from memcore.nn.kinds import kind_of

#: The crossbars of a network: one configuration for all layers, or one for each pattern, of which
#: the first that fits a name counts; None leaves a layer digital.
Arrays = CrossbarConfig | Mapping[str, CrossbarConfig | None]

#: Instead of a table: the layers stay digital.
DIGITAL: Final = "digital"
_SETTINGS: Final = tuple(field.name for field in dataclasses.fields(CrossbarConfig))


def patterns(crossbar: Mapping[str, Any]) -> list[str]:
    """The keys of `[crossbar]` that are no settings but patterns of names of layers."""
    return [
        key
        for key, value in crossbar.items()
        if key not in _SETTINGS and (isinstance(value, Mapping) or value == DIGITAL)
    ]


def arrays(crossbar: Mapping[str, Any]) -> Arrays:
    """The configurations that a table `[crossbar]` stands for.

    What a pattern's table does not say is as in `[crossbar]` itself, which also holds for the
    layers that no pattern fits; without a device of its own it leaves them digital.

    Raises:
        ConfigError: a setting does not fit; names the pattern.
    """
    layers = patterns(crossbar)
    shared = {key: value for key, value in crossbar.items() if key not in layers}
    if not layers:
        return CrossbarConfig.from_mapping(shared)
    found: dict[str, CrossbarConfig | None] = {}
    for pattern in layers:
        own = crossbar[pattern]
        try:
            found[pattern] = (
                None if own == DIGITAL else CrossbarConfig.from_mapping({**shared, **own})
            )
        except ConfigError as error:
            close = did_you_mean(pattern, _SETTINGS)
            hint = f"; {pattern!r} is taken for a pattern of layers{close}" if close else ""
            raise ConfigError(f"crossbar.{pattern}: {error}{hint}") from error
    if "device" in shared:
        found.setdefault("*", CrossbarConfig.from_mapping(shared))
    else:
        CrossbarConfig.from_mapping({**shared, "device": "ideal"})  # its keys and values
    return found


def require_layers(model: nn.Module, config: Arrays) -> None:
    """Refuse patterns that fit nothing in a network.

    Raises:
        StudyError: names the pattern, and lists the layers that could be converted.
    """
    names = [name for name, _ in model.named_modules()]
    for pattern in () if isinstance(config, CrossbarConfig) else config:
        if not any(fnmatchcase(name, pattern) for name in names):
            there = ", ".join(name for name, each in model.named_modules() if kind_of(each))
            raise StudyError(f"crossbar.{pattern} fits no layer of the network; there are {there}")


def converted(model: nn.Module, config: Arrays, seed: int) -> nn.Module:
    """A memristive copy of a network.

    Raises:
        StudyError: a pattern fits no module of the network.
    """
    if isinstance(config, CrossbarConfig):
        return convert(model, config, seed=seed)
    require_layers(model, config)
    given = {pattern: each for pattern, each in config.items() if each is not None}
    return convert(
        model, given, seed=seed, filter_fn=lambda _, name: _chosen(config, name) is not None
    )


def _chosen(config: Mapping[str, CrossbarConfig | None], name: str) -> CrossbarConfig | None:
    return next((each for pattern, each in config.items() if fnmatchcase(name, pattern)), None)


def each(config: Arrays) -> Iterator[CrossbarConfig]:
    """The configurations of a network."""
    if isinstance(config, CrossbarConfig):
        yield config
        return
    yield from (entry for entry in config.values() if entry is not None)


def told(config: Arrays) -> dict[str, Any]:
    """The configurations in full, every default written out."""
    if isinstance(config, CrossbarConfig):
        return config.to_mapping()
    return {key: DIGITAL if each is None else each.to_mapping() for key, each in config.items()}
