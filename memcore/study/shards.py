"""A study in parts that know nothing of each other, for job arrays of any scheduler."""

import re
from dataclasses import dataclass
from typing import Any

from memcore._text import shown
from memcore.errors import StudyError
from memcore.study.planning import Unit


@dataclass(frozen=True)
class Shard:
    """Every `count`-th unit, from the `index`-th on.

    Attributes:
        index: number of the part, from 1.
        count: number of parts.
    """

    index: int
    count: int

    @classmethod
    def of(cls, text: Any) -> "Shard":
        """Read a part as "3/8".

        Raises:
            StudyError: it is no part.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text) if isinstance(text, str) else None
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise StudyError(
                f'shard {shown(text)}; expected a part such as "3/8", from "1/8" to "8/8"'
            )
        return cls(int(match[1]), int(match[2]))

    def takes(self, unit: Unit, chips: int) -> bool:
        """Whether a unit belongs to this part."""
        return (unit.point * chips + unit.chip) % self.count == self.index - 1
