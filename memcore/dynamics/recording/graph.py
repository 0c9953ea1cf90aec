"""Values and operations of a recorded step: single assignment, no value twice."""

import math
from dataclasses import dataclass, field
from typing import Final

#: Kinds of values that are given, not computed.
CONSTANT, PARAMETER, STATE, VOLTAGE = "constant", "parameter", "state", "voltage"
DURATION: Final = "duration"
TABLE: Final = "table"
LEAVES: Final = frozenset({CONSTANT, PARAMETER, STATE, VOLTAGE, DURATION, TABLE})
RANDOM: Final = frozenset({"normal", "uniform"})

_COMMUTATIVE: Final = frozenset({"add", "mul", "eq", "ne", "logical_and", "logical_or"})


#: Operations whose results are 0 or 1.
TRUTHS: Final = frozenset(
    {"lt", "le", "gt", "ge", "eq", "ne", "logical_and", "logical_or", "logical_xor", "logical_not"}
)


def _exact_inverse(number: float | None) -> float | None:
    """The inverse of a power of two that is exact in every precision; None for other numbers."""
    if number is None or not 2.0**-60 <= abs(number) <= 2.0**60:
        return None
    return 1 / number if math.frexp(abs(number))[0] == 0.5 else None


class Index(int):
    """The index of a value, told apart from a number."""


@dataclass(frozen=True)
class Value:
    """One number per cell (or per step, or only one).

    Attributes:
        operation: an operation of `memcore._cpu`, a leaf, or a random number.
        operands: indices of earlier values.
        number: the value of a constant; the index of a parameter, state variable, stream or table.
    """

    operation: str
    operands: tuple[int, ...] = ()
    number: float = 0.0


@dataclass
class Graph:
    """A growing list of values, each a function of earlier ones; `largest` of their dtype."""

    largest: float
    values: list[Value] = field(default_factory=list)
    tables: list[tuple[float, ...]] = field(default_factory=list)
    _known: dict[tuple[object, ...], int] = field(default_factory=dict)

    def leaf(self, kind: str, number: float = 0.0) -> int:
        """The index of a given value."""
        return self._find(Value(kind, number=number))

    def constant(self, number: float) -> int:
        """The index of a constant."""
        return self.leaf(CONSTANT, float(number))

    def table(self, numbers: tuple[float, ...]) -> int:
        """The index of a table, in which `lookup` finds the number at a place."""
        if numbers not in self.tables:
            self.tables.append(numbers)
        return self.leaf(TABLE, self.tables.index(numbers))

    def number_of(self, index: int) -> float | None:
        """The number of a constant, None for other values."""
        value = self.values[index]
        return value.number if value.operation == CONSTANT else None

    def apply(self, operation: str, *operands: int) -> int:
        """The index of the result of an operation, simplified where that is exact."""
        if operation == "pow":
            return self._power(*operands)
        if operation == "mul" and self.number_of(operands[1]) == 1:
            return operands[0]
        if operation == "mul" and self.number_of(operands[0]) == 1:
            return operands[1]
        if operation == "div" and self.number_of(operands[1]) == 1:
            return operands[0]
        if operation == "div" and (inverse := _exact_inverse(self.number_of(operands[1]))):
            return self.apply("mul", operands[0], self.constant(inverse))
        if operation == "where" and operands[1] == operands[2]:
            return operands[1]
        if operation in _COMMUTATIVE:
            operands = tuple(sorted(operands))
        return self._find(Value(operation, operands))

    def truth(self, index: int) -> int:
        """The index of 0 or 1 for a value: whether it is not zero."""
        if self.values[index].operation in TRUTHS:
            return index
        return self.apply("ne", index, self.constant(0.0))

    def _power(self, base: int, exponent: int) -> int:
        number = self.number_of(exponent)
        if number == 1:
            return base
        if number == 0.5:
            return self.apply("sqrt", base)
        if number is not None and number in {2, 3, 4, 5, 6, 7, 8}:
            return self._whole_power(base, int(number))
        if number == -1:
            return self.apply("reciprocal", base)
        return self._find(Value("pow", (base, exponent)))

    def _whole_power(self, base: int, exponent: int) -> int:
        if exponent == 1:
            return base
        half = self._whole_power(base, exponent // 2)
        square = self.apply("mul", half, half)
        return self.apply("mul", square, base) if exponent % 2 else square

    def _find(self, value: Value) -> int:
        key = (value.operation, value.operands, repr(value.number))
        if key not in self._known:
            self._known[key] = len(self.values)
            self.values.append(value)
        return self._known[key]
