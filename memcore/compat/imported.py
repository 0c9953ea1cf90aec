"""What an importer returns, and how importers read numbers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from memcore._text import shown
from memcore.contracts.device import Memristor
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError
from memcore.registry.specs import plugin


@dataclass(frozen=True)
class Imported:
    """What another simulator described, in the terms of memcore; `str()` lists it.

    Args:
        settings: settings of a `CrossbarConfig`, or its device alone under "device".
        left_out: what has no counterpart, each with its reason or what to do instead.
    """

    settings: Mapping[str, Any]
    left_out: tuple[str, ...] = ()

    @property
    def config(self) -> CrossbarConfig:
        """The configuration."""
        return CrossbarConfig.from_mapping(self.settings)

    @property
    def device(self) -> Memristor:
        """The device."""
        made: Memristor = plugin("devices", self.settings["device"])
        return made

    def __str__(self) -> str:
        lines = [f"{key} = {shown(value)}" for key, value in self.settings.items()]
        return "\n".join([*lines, *(f"left out: {each}" for each in self.left_out)])


@dataclass(frozen=True, eq=False)
class ImportedWeights:
    """The weights that another simulator saved, in the names and shapes of a digital network.

    Args:
        tensors: weights by name, for `load_state_dict` of the network, or for `weights` of
            `memcore.convert_`.
        left_out: what has no counterpart, each with its reason or what to do instead.
    """

    tensors: Mapping[str, Tensor]
    left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{name} {list(tensor.shape)}" for name, tensor in self.tensors.items()]
        return "\n".join([*lines, *(f"left out: {each}" for each in self.left_out)])


def table(path: str | Path, what: str) -> list[list[float]]:
    """The numbers of a text file: rows of numbers between commas or blanks.

    Raises:
        ConfigError: the file cannot be read, or a word in it is no finite number.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError, TypeError) as error:
        raise ConfigError(f"the {what} '{path}' cannot be read: {error}") from None
    rows = []
    for place, line in enumerate(lines, start=1):
        words = line.partition("#")[0].replace(",", " ").split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = [math.nan]
        if not all(map(math.isfinite, numbers)):
            raise ConfigError(
                f"the {what} '{path}', line {place}, is {shown(line)}; expected finite numbers "
                "alone"
            )
        rows.append(numbers)
    rows = [row for row in rows if row]
    if not rows:
        raise ConfigError(f"the {what} '{path}' holds no numbers; expected a row for each entry")
    return rows


def number(
    values: Mapping[str, Any], key: str, default: float | None = 0, *, above: float = -math.inf
) -> Any:
    """A finite number of a mapping, an integer as an integer.

    Raises:
        ConfigError: it is something else, or not above a bound.
    """
    value = values.get(key, default)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not above < value < math.inf
    ):
        least = "" if above == -math.inf else f" above {above:g}"
        raise ConfigError(f"{key}={shown(value)}; expected a finite number{least}")
    return value


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """A mapping; an empty one for None.

    Raises:
        ConfigError: it is something else.
    """
    if value is not None and not isinstance(value, Mapping):
        raise ConfigError(f"{what} is {shown(value)}; expected names with their values")
    return value or {}


def normal(mean: float, std: float, **bounds: float) -> float | dict[str, Any]:
    """A number, or a normal distribution where it spreads."""
    return {"normal": {"mean": mean, "std": std, **bounds}} if std else mean
