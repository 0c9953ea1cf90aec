"""`ChipFile`: a chip as a TOML file describes it, with figures that were published of it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

from memcore import _toml, tables
from memcore._text import hint, shown
from memcore.errors import ConfigError

_PACKAGED: Final = Path(tables.__file__).parent / "chips"
_KEYS: Final = ("title", "model", "network", "input", "figure")

#: What one of each unit is in SI units.
UNITS: Final = {
    "1": 1.0,
    "W": 1.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
    "J": 1.0,
    "mJ": 1e-3,
    "uJ": 1e-6,
    "nJ": 1e-9,
    "pJ": 1e-12,
    "m^2": 1.0,
    "mm^2": 1e-6,
    "um^2": 1e-12,
    "GOPS": 1e9,
    "TOPS": 1e12,
    "GOPS/J": 1e9,
    "TOPS/W": 1e12,
    "GOPS/s/mm^2": 1e15,
}


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """One published figure, and which of our figures belongs beside it.

    Args:
        name: what the figure says.
        published: its value, in `unit`.
        unit: a unit that `UNITS` has.
        ours: name of our figure, or the quotient of two, "operations / energy" for instance.
        source: key of the source in the bibliography.
        location: where in the source.
        note: why the two differ.
        parameters: parameters of the cost model that replace those of the chip.
    """

    name: str
    published: float
    unit: str
    ours: str
    source: str
    location: str = ""
    note: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ChipFile:
    """A chip: a cost model with its parameters, a network, and published figures.

    Args:
        name: name of the file.
        title: title for people.
        model: name of the cost model, or a mapping with its parameters.
        network: "MODULE:CALLABLE" of the network that it runs; "" for figures of the chip alone.
        input: shape of the input with its batch.
        figures: what was published.
    """

    name: str
    title: str
    model: dict[str, Any]
    network: str = ""
    input: tuple[int, ...] = ()
    figures: tuple[PublishedFigure, ...] = ()

    @classmethod
    def read(cls, which: str | Path) -> "ChipFile":
        """A chip that comes with memcore by its name, or a file of your own by its path.

        Raises:
            ConfigError: there is no such chip, or its file has something else.
        """
        packaged = chips()
        if not isinstance(which, str | Path):
            raise ConfigError(
                f"which={shown(which)}; expected the name of a chip, or the path of a TOML file"
            )
        if which in packaged:
            path = _PACKAGED / f"{which}.toml"
        elif isinstance(which, str) and not which.endswith(".toml"):
            raise ConfigError(
                f"there is no chip {shown(which)}; expected one of {', '.join(packaged)}, or the "
                f"path of a TOML file{hint(which, packaged)}"
            )
        else:
            path = Path(which)
        return _chip(path.stem, _toml.read(path, "chip file"), f"chip file '{path}'")


def chips() -> list[str]:
    """The names of the chips that come with memcore."""
    return sorted(path.stem for path in _PACKAGED.glob("*.toml"))


def _chip(name: str, content: Mapping[str, Any], where: str) -> ChipFile:
    _require_keys(content, _KEYS, ("title", "model", "figure"), where)
    model, shape = content["model"], content.get("input", [])
    if isinstance(model, str):
        model = {"name": model}
    if not isinstance(model, dict) or not isinstance(model.get("name"), str):
        raise ConfigError(f"{where}: model={shown(model)}; expected the name of a cost model")
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        raise ConfigError(f"{where}: input={shown(shape)}; expected a shape such as [1, 3, 32, 32]")
    if bool(shape) != bool(content.get("network")):
        raise ConfigError(f"{where} has one of network and input; expected both, or neither")
    figures = content["figure"]
    if not isinstance(figures, list):
        raise ConfigError(f"{where}: figure={shown(figures)}; expected tables [[figure]]")
    return ChipFile(
        name=name,
        title=str(content["title"]),
        model=dict(model),
        network=str(content.get("network", "")),
        input=tuple(shape),
        figures=tuple(_figure(entry, where) for entry in figures),
    )


def _figure(entry: Any, where: str) -> PublishedFigure:
    known = [each.name for each in dataclasses.fields(PublishedFigure)]
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} has a figure {shown(entry)}; expected a [[figure]] table")
    _require_keys(entry, known, known[:5], f"{where}, figure {shown(entry.get('name', ''))}")
    words = {key: entry[key] for key in entry if key not in ("published", "parameters")}
    for key, word in words.items():
        if not isinstance(word, str):
            raise ConfigError(f"{where}: {key}={shown(word)}; expected words in quotation marks")
    if not isinstance(entry.get("parameters", {}), dict):
        raise ConfigError(
            f"{where}: parameters={shown(entry['parameters'])}; expected a table of parameters of "
            "the cost model"
        )
    value = entry["published"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise ConfigError(f"{where}: published={shown(value)}; expected a finite number above 0")
    if entry["unit"] not in UNITS:
        raise ConfigError(
            f"{where}: unit={shown(entry['unit'])}; expected one of {', '.join(UNITS)}"
            f"{hint(entry['unit'], UNITS)}"
        )
    return PublishedFigure(**entry)


def _require_keys(content: Mapping[str, Any], known: Any, needed: Any, where: str) -> None:
    for key in content:
        if key not in known:
            raise ConfigError(
                f"{where} has a key {key!r}; expected {', '.join(known)}{hint(key, known)}"
            )
    for key in needed:
        if key not in content:
            raise ConfigError(f"{where} has no {key}; expected one")
