"""What each option of a fit may be, as one table; values are looked at where they act."""

from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, Final

from memcore import _check
from memcore._text import shown
from memcore.errors import ConfigError
from memcore.fitting.dialect import is_list_of_texts
from memcore.fitting.problem import LOSSES, SCALES

_Fits = Callable[[Any], bool]


def _perhaps(fits: _Fits) -> _Fits:
    return lambda value: value is None or fits(value)


def _one_of(words: Mapping[str, Any] | tuple[str, ...]) -> _Fits:
    return lambda value: isinstance(value, str) and value in words


def _by_name(fits: _Fits) -> _Fits:
    """Whether a value is a mapping from texts to values that fit."""
    return lambda value: (
        isinstance(value, Mapping)
        and all(isinstance(name, str) for name in value)
        and all(fits(each) for each in value.values())
    )


def _is_column(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Integral) and not isinstance(value, bool))


def _is_share(value: Any) -> bool:
    return _check.is_number(value) and 0 < float(value) <= 1


#: A word may be of a parameter that is no number, which is named once the device is known.
_NUMBERS: Final = _by_name(lambda value: isinstance(value, str) or _check.is_number(value))
_TEXTS: Final = _by_name(lambda value: isinstance(value, str))
#: For each option whether a value fits, and what is expected.
_OPTIONS: Final[Mapping[str, tuple[_Fits, str]]] = {
    "columns": (
        _perhaps(_by_name(_is_column)),
        "a mapping: columns={'voltage': heading, ...} with headings or numbers of columns",
    ),
    "units": (_perhaps(_TEXTS), "a mapping: units={'voltage': 'mV', ...}"),
    "bounds": (
        _perhaps(_by_name(lambda value: value is not None)),
        "a mapping: bounds={name: (least, greatest)}",
    ),
    "start": (
        _perhaps(lambda value: isinstance(value, str) or _NUMBERS(value)),
        "a preset or values by name, as numbers",
    ),
    "free": (_perhaps(is_list_of_texts), "a list of names"),
    "fixed": (
        lambda value: is_list_of_texts(value) or _by_name(lambda _: True)(value),
        "a list of names, or values by name",
    ),
    "scale": (_one_of(SCALES), f"one of {', '.join(SCALES)}"),
    "loss": (_one_of(LOSSES), f"one of {', '.join(LOSSES)}"),
    "floor": (_is_share, "a share of the largest value in (0, 1]"),
    "starts": (lambda value: _check.is_integer(value) and value >= 1, "an integer >= 1"),
    "seed": (
        lambda value: _check.is_integer(value) and value >= 0,
        "an integer from 0 to 2**63 - 1",
    ),
    "record": (_perhaps(_check.is_integer), "the number of a record, from 1"),
    "substeps": (_perhaps(_check.is_integer), "an integer >= 1"),
    "dt": (_perhaps(_check.is_number), "seconds > 0 between two samples"),
    "resample": (
        lambda value: isinstance(value, bool) or _check.is_number(value),
        "True, False or seconds > 0",
    ),
    "read_voltage": (
        _perhaps(lambda value: _check.is_number(value) and 0 < abs(value) < float("inf")),
        "a voltage in V other than 0",
    ),
    "series": (_check.is_number, "a resistance >= 0 in ohm"),
    "limit": (_perhaps(_check.is_number), "a current > 0 in A, or None for no limit"),
    "date": (lambda value: isinstance(value, str), "a text"),
    "progress": (_perhaps(callable), "a function to call with a sentence"),
}


def require_types(options: Any) -> None:
    """Refuse options of a type that does not fit, and make plain numbers of the others.

    Args:
        options: a frozen dataclass, whose numbers may be those of numpy or tensors of one value.

    Raises:
        ConfigError: naming the option, what came and what is expected.
    """
    for name, (fits, expected) in _OPTIONS.items():
        value = getattr(options, name)
        if isinstance(value, str) and name in ("free", "fixed"):
            raise ConfigError(
                f"{name}={shown(value)}; expected a list of names: {name}=[{shown(value)}]"
            )
        if not fits(value):
            raise ConfigError(f"{name}={shown(value)}; expected {expected}")
        object.__setattr__(options, name, _plain(value))


def _plain(value: Any) -> Any:
    """A number as one of Python, also within a mapping."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if not _check.is_number(value) or type(value) in (int, float):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
