"""The order in which operations run, and the operations that a choice makes unnecessary.

`torch.where(condition, a, b)` needs `a` only where the condition holds. What nothing else needs is
put right in front of the choice, behind a test whether any cell wants it: what a step describes for
cells that move costs nothing while they rest.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from memcore.dynamics.recording.graph import Value

#: A test reads as much as an operation; it must save more than that.
_WORTH: Final = 4

#: Choices inside of choices are looked into this far; deeper ones are computed with their arm.
_DEEPEST: Final = 64


@dataclass(frozen=True)
class Skip:
    """Leave out the next `count` entries of the order.

    Attributes:
        condition: index of a value, true or false for every cell.
        where: value of the condition, for all cells, at which they are left out.
        count: number of operations and further skips.
    """

    condition: int
    where: bool
    count: int


Order = list[int | Skip]


def schedule(values: Sequence[Value], computed: Sequence[int], outputs: Iterable[int]) -> Order:
    """Order the `computed` values, given in an order in which they can be computed."""
    root = _sorted_into_arms(values, computed, set(outputs))
    return _ordered(values, root, len(values))


@dataclass(eq=False)
class _Arm:
    """The values that are needed only where a condition holds, or only where it does not.

    Choices by the same condition have their arms in common.
    """

    above: "_Arm | None" = None
    depth: int = 0
    inner: "dict[tuple[int, int], _Arm]" = field(default_factory=dict)
    members: list[int] = field(default_factory=list)  #: not yet in order, the last one first

    def arm_of(self, condition: int, position: int) -> "_Arm":
        """The arm of a choice that is in this one, by the position of the operand."""
        if self.depth == _DEEPEST:
            return self
        return self.inner.setdefault((condition, position), _Arm(self, self.depth + 1))

    def path(self) -> "list[_Arm]":
        """The arms from the outermost one to this one."""
        return [*(self.above.path() if self.above else []), self]


def _sorted_into_arms(values: Sequence[Value], computed: Sequence[int], outputs: set[int]) -> _Arm:
    """Put every value into the innermost arm that has all its uses."""
    root = _Arm()
    uses: dict[int, list[_Arm]] = {i: [root] for i in outputs}
    for i in reversed(computed):
        arm = _common(uses[i])
        arm.members.append(i)
        value = values[i]
        for position, operand in enumerate(value.operands):
            chosen = value.operation == "where" and position > 0
            user = arm.arm_of(value.operands[0], position) if chosen else arm
            uses.setdefault(operand, []).append(user)
    return root


def _common(arms: Sequence[_Arm]) -> _Arm:
    paths = [arm.path() for arm in set(arms)]
    shared: list[_Arm] = [step[0] for step in zip(*paths, strict=False) if len(set(step)) == 1]
    return shared[-1]


def _ordered(values: Sequence[Value], arm: _Arm, end: int) -> Order:
    """The members of an arm before `end`, each choice with what its arms need in front of it."""
    order: Order = []
    while arm.members and arm.members[-1] < end:
        i = arm.members.pop()
        value = values[i]
        for position in (1, 2) if value.operation == "where" else ():
            condition = value.operands[0]
            needed = _ordered(values, arm.arm_of(condition, position), i)
            if len(needed) >= _WORTH:
                order.append(Skip(condition, where=position == 2, count=len(needed)))
            order += needed
        order.append(i)
    return order
