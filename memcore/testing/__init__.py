"""The conformance kit: what every plugin promises, as checks that its own tests can run.

Importing this package imports no torch; a check is loaded when it is first used.

Examples:
    >>> from memcore.testing import parametrize_with_checks
    >>> @parametrize_with_checks(MyRram(), MyRram(r_on=1e3))  # doctest: +SKIP
    ... def test_conforms(check):
    ...     check()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memcore._keywords import hinted

if TYPE_CHECKING:
    from memcore.testing import cases
    from memcore.testing.codes import assert_codes_close
    from memcore.testing.kit import Check, checks_for, parametrize_with_checks

_LAZY = {
    "Check": "kit",
    "assert_codes_close": "codes",
    "checks_for": "kit",
    "parametrize_with_checks": "kit",
}


def __getattr__(name: str) -> Any:
    if name == "cases":
        value = import_module("memcore.testing.cases")
    elif name in _LAZY:
        value = hinted(getattr(import_module(f"memcore.testing.{_LAZY[name]}"), name), __name__)
    else:
        raise AttributeError(f"module 'memcore.testing' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, "cases"})


__all__ = ["Check", "assert_codes_close", "cases", "checks_for", "parametrize_with_checks"]
