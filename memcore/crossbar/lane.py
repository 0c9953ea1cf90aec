"""`Lane`: how one lane of a mapping, a slice of the weights, differs from the others."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from memcore import _check
from memcore._text import hint, shown
from memcore.contracts.contract import Contract
from memcore.contracts.converter import Converter
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.errors import ConfigError
from memcore.registry.specs import PluginSpec, plain, plugin


@dataclass(frozen=True, kw_only=True)
class Lane:
    """What is special about the arrays of one lane, say those of one slice of the weights.

    What it does not say is as in the `CrossbarConfig` that has it.

    Args:
        device: memristor of its cells; None for that of the configuration.
        nonidealities: effects of its arrays alone, behind those of the configuration.
        adc: converter of its currents; None for that of the configuration.
        copies: number of arrays that hold the same weights. Their bit lines are joined, so that the
            ADC converts the sum of their currents, and the digital result is divided by their
            number: errors of single cells average.
    """

    device: Memristor | None = None
    nonidealities: tuple[NonIdeality, ...] = ()
    adc: Converter | None = None
    copies: int = 1

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            device: PluginSpec | None = None,
            nonidealities: Sequence[PluginSpec] = (),
            adc: PluginSpec | None = None,
            copies: int = 1,
        ) -> None: ...

    def __post_init__(self) -> None:
        effects = sequence("nonidealities", self.nonidealities)
        resolved: dict[str, Any] = {
            "device": None if self.device is None else plugin("devices", self.device),
            "nonidealities": tuple(plugin("nonidealities", each) for each in effects),
            "adc": None if self.adc is None else plugin("converters", self.adc),
            "copies": _check.integer("copies", self.copies, at_least=1),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)

    @property
    def has_own_cells(self) -> bool:
        """Whether its cells are others than those of the configuration, or do other things."""
        return self.device is not None or bool(self.nonidealities)

    def to_mapping(self) -> dict[str, Any]:
        """Plain values; what is as in the configuration is left out."""
        values = {
            field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)
        }
        return {name: value for name, value in values.items() if value not in (None, [])}


def lanes_of(value: Any) -> tuple[Lane, ...]:
    """The lanes that a setting stands for.

    Raises:
        ConfigError: it stands for none.
    """
    if isinstance(value, str | Mapping | Lane) or not isinstance(value, Iterable):
        raise ConfigError(
            f"lanes={shown(value)}; expected a list with a memcore.Lane, or a mapping of its "
            "settings, for each lane"
        )
    return tuple(_lane(number, each) for number, each in enumerate(value))


def _lane(number: int, value: Any) -> Lane:
    if isinstance(value, Lane):
        return value
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"lanes[{number}]={shown(value)}; expected a memcore.Lane or a mapping of its settings"
        )
    names = [field.name for field in dataclasses.fields(Lane)]
    for key in value:
        if key not in names:
            raise ConfigError(f"lanes[{number}] has no setting {shown(key)}{hint(str(key), names)}")
    try:
        return Lane(**value)
    except ConfigError as error:
        raise ConfigError(f"lanes[{number}]: {error}") from error


def sequence(name: str, value: Any) -> Sequence[Any]:
    """What should be a list, and is one if it is a single one.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, str | Mapping | Contract | type):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, Tensor | bytes):
        raise ConfigError(f"{name}={shown(value)}; expected a list of effects")
    return list(value)
