"""`Found`: objects that operators find by a number, as they take tensors and numbers only."""

from itertools import count
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")


class Found(Generic[T]):
    """Objects by the number under which each was entered, as long as it lives."""

    def __init__(self) -> None:
        self._objects: WeakValueDictionary[int, T] = WeakValueDictionary()
        self._numbers = count()

    def enter(self, one: T) -> int:
        """The number of an object, which no other one has."""
        number = next(self._numbers)
        self._objects[number] = one
        return number

    def __getitem__(self, number: int) -> T:
        return self._objects[number]
