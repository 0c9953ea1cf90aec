"""Checks of the parameters of programmers."""

import dataclasses
import math
from collections.abc import Sequence

from memcore import ConfigError, Programmer

_NUMBERS = (float, int, float | None)


def require_numbers(programmer: Programmer, above: Sequence[str]) -> None:
    """Refuse negative numbers everywhere, and zero in the fields `above` and in all pulses.

    Fields that may be None and are not of reads are voltages and widths of pulses.

    Raises:
        ConfigError: naming the field and what came.
    """
    for entry in dataclasses.fields(programmer):  # type: ignore[arg-type]
        value = getattr(programmer, entry.name)
        if entry.type not in _NUMBERS or (value is None and entry.default is None):
            continue
        pulse = entry.default is None and not entry.name.startswith("read")
        positive = entry.name in above or pulse
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < 0 or (positive and value == 0):
            raise ConfigError(
                f"{type(programmer).__name__}: {entry.name}={value!r}; expected a finite number "
                f"{'> 0' if positive else '>= 0'}"
                + ("; the device knows the sign of its voltages" if "voltage" in entry.name else "")
            )


def require_choice(programmer: Programmer, name: str, choices: Sequence[str]) -> None:
    """Refuse a name that is not among `choices`.

    Raises:
        ConfigError: listing them.
    """
    value = getattr(programmer, name)
    if value not in choices:
        raise ConfigError(
            f"{type(programmer).__name__}: {name}={value!r}; expected one of {', '.join(choices)}"
        )
