"""Whether the options of a fit are of their kind, and can act on the data and the device."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, Final

from memcore.errors import ConfigError
from memcore.fitting.data import IVData

#: What acts without a search.
_OF_FILES: Final = ("columns", "units", "delimiter")
_ALWAYS: Final = (*_OF_FILES, "start", "fixed", "date")


def require_kinds(options: Mapping[str, Any]) -> None:
    """Refuse what is no list, no mapping, no number or no text where one is expected.

    Raises:
        ConfigError: naming the option.
    """
    for name in ("free", "fixed"):
        value = options[name]
        if isinstance(value, str):
            raise ConfigError(f"{name}={value!r}; expected a list of names: {name}=[{value!r}]")
        if value is not None and not isinstance(value, Iterable):
            raise ConfigError(f"{name}={value!r}; expected a list of names")
    if options["free"] is not None and not list(options["free"]):
        raise ConfigError("free is empty; expected names of parameters, or None for all of them")
    for name in ("columns", "units", "bounds"):
        if not isinstance(options[name], Mapping | None):
            raise ConfigError(f"{name}={options[name]!r}; expected a mapping: {name}={{...}}")
    if not isinstance(options["start"], str | Mapping | None):
        raise ConfigError(f"start={options['start']!r}; expected a preset or values by name")
    if not isinstance(options["date"], str):
        raise ConfigError(f"date={options['date']!r}; expected a text")
    if isinstance(options["seed"], bool) or not isinstance(options["seed"], Integral):
        raise ConfigError(f"seed={options['seed']!r}; expected an integer")


def require_acting(changed: Mapping[str, Any], given: object, measured: object) -> None:
    """Refuse options that cannot act on such data.

    Args:
        changed: the options that are not at their defaults, and `scale`.
        given: data or a path.
        measured: what was read, or `given`.

    Raises:
        ConfigError: with the reason.
    """
    reasons: dict[str, str] = {}
    if not isinstance(given, str | Path):
        why = "describes a file, but data is none"
        reasons |= {"delimiter": why, "dt": f"{why}: data have their times"}
    if not isinstance(measured, IVData):
        why = "is of currents in time, but data are of pulses or states"
        reasons |= dict.fromkeys(("dt", "resample", "substeps"), why)
    if changed["scale"] == "linear":
        reasons["floor"] = "acts with scale='relative' or 'asinh' only, but scale is 'linear'"
    for name, why in reasons.items():
        if name in changed:
            raise ConfigError(f"{name}={changed[name]!r} {why}; leave {name} out")


def require_no_search(device: object, changed: Mapping[str, Any], given: object) -> None:
    """Refuse what only a search uses, for a device that holds what was measured.

    Raises:
        ConfigError: with the reason.
    """
    kind = type(device).__name__
    for name, value in changed.items():
        if name not in _ALWAYS:
            raise ConfigError(
                f"{name}={value!r}, but {kind} holds what was measured and nothing is searched; "
                f"leave {name} out, set parameters by fixed={{name: value}}"
            )
    if changed.get("fixed") and not isinstance(changed["fixed"], Mapping):
        raise ConfigError(
            f"fixed={changed['fixed']!r}, but {kind} holds what was measured and nothing is "
            "searched; expected values by name: fixed={name: value}"
        )
    require_acting({"scale": "", **changed}, given, given)
