"""`LineTrace`: which word lines the inputs really drive, in each phase and operation unit."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from memcore._csv import write_csv
from memcore.crossbar.plan import ReadPlan


class LineTrace:
    """Counts of the word lines with a voltage, over all reads of one matrix.

    A read is one group of word lines that are driven at once, in one phase of the input; the
    arrays of all parts and tiles of columns see the same lines and count once.
    """

    def __init__(self) -> None:
        self._open = torch.zeros(1, dtype=torch.int64, device="cpu")
        self._ones: list[int] = []

    @property
    def open(self) -> tuple[int, ...]:
        """How many reads have no line with a voltage, one, two, ...: a histogram."""
        return tuple(self._open.tolist())

    @property
    def ones(self) -> tuple[int, ...]:
        """Lines with a voltage in each phase: ones of each bit, where inputs come bit by bit."""
        return tuple(self._ones)

    @property
    def reads(self) -> int:
        """Reads that were looked at."""
        return sum(self.open)

    @property
    def driven(self) -> int:
        """Lines with a voltage in all reads."""
        return sum(self.ones)

    def to_csv(self, path: str | Path) -> Path:
        """Write the counts as a text file of columns; a file that is there is replaced.

        Columns are `count`, `number` and `value`: for `open` the value is how many reads had that
        number of lines with a voltage, for `ones` how many lines had one in the phase of that
        number.

        Args:
            path: file to write, its name ending in .csv.

        Returns:
            The path.

        Raises:
            ConfigError: the name ends otherwise, or nothing can be written there.
        """
        counts = {"open": self.open, "ones": self.ones}
        rows = [(name, k, n) for name, all_ in counts.items() for k, n in enumerate(all_)]
        return write_csv(path, ("count", "number", "value"), rows)

    def add(self, phases: Sequence[Tensor], plan: ReadPlan) -> None:
        """Count some more.

        Args:
            phases: what drives the word lines in each phase, [n, groups, inputs].
            plan: how these are cut into lines that are driven at once.
        """
        self._ones += [0] * (len(phases) - len(self._ones))
        for phase, x in enumerate(phases):
            lines = plan.cut((x != 0).to(torch.int64), -1).sum(-1).flatten()
            found = torch.bincount(lines, minlength=plan.group_rows + 1).cpu()
            size = max(len(found), len(self._open))
            whole = torch.zeros(size, dtype=torch.int64, device="cpu")
            whole[: len(found)] += found
            whole[: len(self._open)] += self._open
            self._open = whole
            self._ones[phase] += int(lines.sum())
