"""The values that a parameter may take: data of its field, checked when a plugin is built."""

import dataclasses
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from numbers import Integral, Real
from types import NoneType
from typing import Any, Final, Literal, Self, get_args, get_origin, get_type_hints

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.contracts.distributions import Distribution
from memcore.errors import ConfigError

#: A number, or the name of another parameter of the same plugin.
Bound = float | str

_NUMBERS: Final = frozenset({float, int, Distribution, Tensor})
_LISTS: Final = frozenset({tuple, list, Sequence})
_SEVERAL: Final = (list, tuple)
_Compared = tuple[str, Callable[[Any, Any], Any], Any]
_COMPARED: Final[dict[str, tuple[str, Callable[[Any, Any], Any]]]] = {
    "above": (">", operator.gt),
    "at_least": (">=", operator.ge),
    "below": ("<", operator.lt),
    "at_most": ("<=", operator.le),
}


@dataclass(frozen=True, kw_only=True)
class Range:
    """What `memcore.parameter` says of the values of a parameter.

    Args:
        above: the values are greater than this number or parameter.
        at_least: they are at least this.
        below: they are less than this.
        at_most: they are at most this.
        choices: or they are one of these.
        finite: whether infinity is refused; not-a-number always is.
        remedy: what to do about a value outside.
        by_logarithm: whether only the logarithm of the numbers counts, so that they may be smaller
            or larger than single precision holds.
    """

    above: Bound | None = None
    at_least: Bound | None = None
    below: Bound | None = None
    at_most: Bound | None = None
    choices: tuple[Any, ...] = ()
    finite: bool = True
    remedy: str = ""
    by_logarithm: bool = False

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        return ", ".join(filter(None, [self.interval, *self._signs(str)]))

    @property
    def interval(self) -> str:
        """The bounds that are numbers: `> 0`, `in [0, 1)`, empty if there are none."""
        signs = self._signs(float)
        if {sign[0] for sign in signs} != {">", "<"}:
            return ", ".join(signs)
        (low, first), (high, last) = (sign.split() for sign in signs)
        return f"in {'[' if '=' in low else '('}{first}, {last}{']' if '=' in high else ')'}"

    def holds(self, value: Any) -> Any:
        """Whether a number, or elementwise a tensor or array, is within the bounds of numbers."""
        fits: Any
        if isinstance(value, Tensor):
            fits = value.isfinite() if self.finite else ~value.isnan()
        elif isinstance(value, np.ndarray):
            fits = np.isfinite(value) if self.finite else ~np.isnan(value)
        elif not _check.is_number(value):
            return False
        else:
            held = _is_held(value) or (self.by_logarithm and math.isfinite(value))
            fits = held or (math.isinf(value) and not self.finite)
        for _, compare, bound in self._numbers:
            fits = fits & compare(value, bound)
        return fits

    def holds_all(self, values: Tensor) -> bool:
        """Whether all entries of a tensor lie within the bounds that are numbers."""
        # Ranges are intervals, so the two extremes speak for all entries in one pass.
        ends = values.detach().aminmax()
        if values.dtype != torch.float64:
            return bool(self.holds(torch.stack(ends)).all())
        # Numbers are as exact, and quicker to compare.
        low, high = map(float, ends)
        known = math.isfinite(low) and math.isfinite(high) if self.finite else not math.isnan(low)
        return known and all(
            compare(low, bound) and compare(high, bound) for _, compare, bound in self._numbers
        )

    @cached_property
    def relations(self) -> tuple[_Compared, ...]:
        """Sign, comparison and name of each bound that is another parameter."""
        return tuple(self._bounds(str))

    @cached_property
    def _numbers(self) -> tuple[_Compared, ...]:
        """The same of each bound that is a number, which millions of values are compared with."""
        return tuple(self._bounds(float))

    def _bounds(self, kind: type) -> Iterator[_Compared]:
        for name, (sign, compare) in _COMPARED.items():
            bound = getattr(self, name)
            if bound is not None and isinstance(bound, str) == (kind is str):
                yield sign, compare, bound

    def _signs(self, kind: type) -> list[str]:
        return [f"{sign} {_text(bound)}" for sign, _, bound in self._bounds(kind)]


@dataclass(frozen=True)
class _Rule:
    """How the values of one field are checked.

    Args:
        name: of the field.
        unit: of the field.
        range: of its numbers.
        names: strings, or other values, that are allowed besides.
        number: whether numbers are allowed; anything is, if neither is said.
        whole: whether they are integers.
        several: whether they come as tuples only.
        lists: whether they may come as tuples.
        flag: whether it is True or False.
        text: whether it is a text.
        optional: whether None is allowed.
        kinds: types besides numbers that its annotation names; distributions and tensors are
            allowed only where it does.
    """

    name: str
    unit: str
    range: Range
    names: tuple[Any, ...]
    number: bool
    whole: bool
    several: bool
    lists: bool
    flag: bool
    text: bool
    optional: bool
    kinds: frozenset[Any]

    @classmethod
    def of(cls, field: dataclasses.Field[Any], annotation: Any, range: Range) -> Self:
        members = _members(annotation)
        literals = [value for m in members if get_origin(m) is Literal for value in get_args(m)]
        plain = {get_origin(m) or m for m in members} - {NoneType, Literal}
        entries = {kind for m in members if get_origin(m) in _LISTS for kind in get_args(m)}
        default = field.default
        numeric = isinstance(default, Real) and not isinstance(default, bool)
        typed = bool(plain) and plain - _LISTS <= _NUMBERS and entries - {...} <= _NUMBERS
        bounded = any(getattr(range, name) is not None for name in _COMPARED)
        return cls(
            name=field.name,
            unit=field.metadata["unit"],
            range=range,
            names=range.choices or tuple(literals),
            number=not range.choices and (numeric or typed or bounded),
            whole=plain == {int},
            several=bool(plain) and plain <= _LISTS,
            lists=not plain or bool(plain & _LISTS) or isinstance(default, list | tuple),
            flag=(isinstance(default, bool) or plain == {bool}) and not range.choices,
            text=plain == {str} and not range.choices and not literals,
            optional=default is None or NoneType in members,
            kinds=frozenset(plain or _NUMBERS),
        )

    def fits(self, value: Any) -> bool:
        if value is None and self.optional:
            return True
        if self.text:
            return isinstance(value, str)
        if not (self.number or self.names or self.flag):
            return True
        if self.flag:
            return isinstance(value, bool)
        if isinstance(value, str) or not self.number:
            return not isinstance(value, Tensor | list) and value in self.names
        if not isinstance(value, _SEVERAL):
            return not self.several and self._fits(value)
        if not (value and self.lists):
            return self.lists and bool(_LISTS & self.kinds)
        return all(map(self._fits, _entries(value)))

    def _fits(self, value: Any) -> bool:
        if type(value) is float:  # as most are
            return not self.whole and bool(self.range.holds(value))
        if isinstance(value, Distribution) and Distribution not in self.kinds:
            return False
        if isinstance(value, Tensor):
            if Tensor not in self.kinds:
                return False
            if not _check.is_plain(value):
                return value.is_meta
            if value.dtype == torch.bool:
                return False
            return not _known(value) or self.range.holds_all(value)
        nominal: Any = value.nominal if isinstance(value, Distribution) else value
        kind = Integral if self.whole else Real
        if isinstance(nominal, bool) or not isinstance(nominal, kind):
            return False
        if isinstance(nominal, Integral) and nominal not in _check.INTEGERS:
            return False
        return bool(self.range.holds(nominal))

    @property
    def expected(self) -> str:
        """What completes `expected ...`."""
        number = "numbers" if self.several else "integer" if self.whole else "number"
        finite = "finite " if self.range.finite and not self.whole else ""
        article = "" if self.several else "a " if finite or not self.whole else "an "
        unit = f" of {self.unit}" if self.unit not in ("", "1") else ""
        words = f"{article}{finite}{number}{unit} {self.range.interval}".rstrip()
        allowed = [words] if self.number else []
        if self.flag or self.text:
            allowed = ["True or False" if self.flag else "a text"]
        if self.names:
            allowed.append(f"one of {', '.join(map(str, self.names))}")
        if self.optional:
            allowed.append("None")
        remedy = f": {self.range.remedy}" if self.range.remedy else ""
        return ", or ".join(allowed) + remedy


def check(plugin: object) -> None:
    """Refuse parameters outside of what their fields allow.

    Of a distribution the nominal value is looked at, of a tensor every entry.

    Raises:
        ConfigError: naming the class, the parameter, what came and what was expected.
    """
    who, rules = type(plugin).__name__, _rules(type(plugin))  # type: ignore[arg-type]
    for rule in rules:
        value = getattr(plugin, rule.name)
        if not rule.fits(value):
            raise ConfigError(f"{who}: {_complaint(rule, value)}")
    for rule in rules:
        for sign, compare, other in rule.range.relations:
            mine, theirs = (_nominal(getattr(plugin, name)) for name in (rule.name, other))
            if None not in (mine, theirs) and not compare(mine, theirs):
                raise ConfigError(
                    f"{who}: {rule.name}={mine!r} and {other}={theirs!r}; "
                    f"expected {rule.name} {sign} {other}"
                )


def within(plugin: object, values: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.bool_]:
    """Which of many sets of numbers lie within their ranges, and stand to others as these say.

    Args:
        plugin: plugin that has the other parameters.
        values: numbers of some parameters, [sets] each.

    Returns:
        Truth values, [sets].
    """
    fits = np.ones_like(next(iter(values.values())), dtype=bool)
    for rule in _rules(type(plugin)):  # type: ignore[arg-type]
        if rule.name in values:
            fits = fits & rule.range.holds(values[rule.name])
        for _, compare, other in rule.range.relations:
            if rule.name in values or other in values:
                mine, theirs = (
                    values.get(name, _nominal(getattr(plugin, name))) for name in (rule.name, other)
                )
                if mine is not None and theirs is not None:
                    fits = fits & compare(mine, theirs)
    return fits


def allowed(plugin: type) -> dict[str, str]:
    """What each parameter of a plugin may be, in short: `> 0`, `in [0, 1]`, `one of a, b`.

    Parameters that may be anything are left out.
    """
    shown = {
        rule.name: str(dataclasses.replace(rule.range, choices=rule.names))
        for rule in _rules(plugin)
    }
    return {name: text for name, text in shown.items() if text}


def _is_held(value: Any) -> bool:
    """Whether float32, in which cells are simulated, holds a number."""
    return not value or _check.SMALLEST <= abs(value) <= _check.LARGEST


def _is_long(value: Any) -> bool:
    return isinstance(value, Integral) and value not in _check.INTEGERS


def _complaint(rule: _Rule, value: Any) -> str:
    drawn = isinstance(value, Tensor) and rule.number and Tensor in rule.kinds
    drawn = drawn and _check.is_plain(value) and value.dtype != torch.bool
    if drawn and value.numel() > 1:
        wrong = int((~rule.range.holds(value)).sum())
        return (
            f"{wrong} of {value.numel()} cells drew {rule.name} outside its range; expected "
            f"{rule.expected}: give the distribution a min or a max"
        )
    size = ", of 64 bits if it is an integer" if _is_long(value) else ""
    if rule.number and _check.is_number(value) and math.isfinite(value) and not _is_held(value):
        size = f", of magnitude {_check.SMALLEST:g} to {_check.LARGEST:g}"
    return f"{rule.name}={shown(value)}; expected {rule.expected}{size}"


@cache
def _rules(cls: type) -> tuple[_Rule, ...]:
    fields = [f for f in dataclasses.fields(cls) if f.init and "unit" in f.metadata]
    return tuple(_Rule.of(f, _annotation(cls, f), _range(cls, f.name)) for f in fields)


def _range(cls: type, name: str) -> Range:
    """The range of a parameter; declared anew, it keeps that of the base unless it says one."""
    declared = (getattr(base, "__dataclass_fields__", {}).get(name) for base in cls.__mro__)
    ranges = (field.metadata.get("range", Range()) for field in declared if field is not None)
    return next((range for range in ranges if range != Range()), Range())


def _annotation(cls: type, field: dataclasses.Field[Any]) -> Any:
    if not isinstance(field.type, str):
        return field.type
    try:
        return get_type_hints(cls)[field.name]
    except (NameError, TypeError):  # a type that only type checkers know
        return None


def _members(annotation: Any) -> tuple[Any, ...]:
    if annotation is None:
        return ()
    if get_origin(annotation) in (Literal, *_LISTS) or not get_args(annotation):
        return (annotation,)
    return tuple(get_args(annotation))


def _entries(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _entries(item)
    else:
        yield value


def _known(value: Tensor) -> bool:
    return not (value.is_meta or not value.numel() or torch.compiler.is_compiling())


def _nominal(value: Any) -> Any:
    """A number to compare with; None for drawn tensors, single cells of which may cross."""
    if isinstance(value, (Tensor, *_SEVERAL)):
        return None
    return value.nominal if isinstance(value, Distribution) else value


def _text(bound: Bound) -> str:
    return bound if isinstance(bound, str) else f"{bound:.6g}"
