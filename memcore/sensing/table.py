"""`SumTable`: how likely each sensed sum is, and draws of sensed sums."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.contracts.sums import Sums
from memcore.errors import ConfigError
from memcore.ops.sensed_sums import numbers, sensed_sums, told
from memcore.random import ReadStream


class SumTable(Sums):
    """Probabilities of sensed sums for each number of open word lines and each ideal sum.

    Args:
        probability: [open - 1, ideal sum, sensed sum]; ideal sums above the number of open lines do
            not occur.

    Raises:
        ConfigError: the probabilities of some row are negative or do not add up to 1.
    """

    probability: Tensor
    threshold: Tensor
    other: Tensor

    def __init__(self, probability: Tensor) -> None:
        super().__init__()
        _check.tensor("probability", probability, "[open, ideal sum, sensed sum]", "numbers")
        if probability.dim() != 3 or probability.shape[1] != len(probability) + 1:
            raise ConfigError(
                f"probability has shape {list(probability.shape)}; expected [open, ideal sum, "
                "sensed sum] with one ideal sum more than open lines"
            )
        self.register_buffer("probability", probability.detach().double())
        _require_rows(self.probability)
        self.register_load_state_dict_post_hook(_derive_loaded)  # type: ignore[no-untyped-call]
        self._derive()

    def _derive(self) -> None:
        threshold, other = _aliases(self.probability)
        self.register_buffer("threshold", threshold, persistent=False)
        self.register_buffer("other", other, persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        del recurse
        # Probabilities go where the network goes, but in the precision that they have.
        for name, value in list(self.named_buffers(recurse=False)):
            moved = fn(value)
            kept = moved if moved.dtype == value.dtype else value.to(moved.device)
            self._buffers[name] = kept
        return self

    @property
    def rows(self) -> int:
        """Word lines that may be open at once."""
        return len(self.probability)

    def correct(self, lines: int | None = None) -> Tensor:
        """Probability that a sum is sensed right, by its value, float64 [lines + 1].

        Args:
            lines: number of open word lines, all of the table by default.
        """
        lines = self.rows if lines is None else _check.integer("lines", lines, at_least=1)
        if lines > self.rows:
            raise ConfigError(f"lines={lines}; expected at most {self.rows}, as the table has")
        wide = torch.zeros(
            lines + 1, max(self.probability.shape[2], lines + 1), device="cpu"
        ).double()
        wide[:, : self.probability.shape[2]] = self.probability[lines - 1, : lines + 1]
        return wide.diagonal()

    def forward(self, values: Tensor, lines: Tensor, stream: ReadStream) -> Tensor:
        """Sensed sums, one draw for each.

        Args:
            values: ideal sums, [reads, ...], integers of any dtype.
            lines: numbers of open word lines, which broadcast to the values.
            stream: a draw for each value of each read.

        Raises:
            ConfigError: a sum is negative or above the number of open lines, or more lines are open
                than the table has.
        """
        self._require(values, lines)
        return self.drawn(values, lines, stream)

    def drawn(self, values: Tensor, lines: Tensor, stream: ReadStream) -> Tensor:
        """As `forward`, of sums that are known to be in the table."""
        elements = torch.arange(math.prod(values.shape[1:]), device=values.device)
        uniform = numbers(stream.reads, elements, stream.key).view(values.shape)
        tables = (self.threshold, self.other, self.rows, self.threshold.shape[2])
        return told(values, lines, uniform, *tables).to(values.dtype)

    def sums(self, bits: Tensor, cells: Tensor, stream: ReadStream) -> Tensor:
        """What is told of all sums, see `memcore.contracts.sums.Sums`."""
        tables = (self.threshold, self.other, stream.key, self.rows, self.threshold.shape[2])
        return sensed_sums(bits, cells, stream.reads, *tables)

    def limited(self, most: int) -> Self:
        """The table of an amplifier that tells no sum above `most`, but `most` in its place."""
        most = _check.integer("most", most, at_least=0)
        if self.probability.shape[2] <= most + 1:
            return self
        kept = self.probability[:, :, : most + 1].clone()
        kept[:, :, most] += self.probability[:, :, most + 1 :].sum(2)
        return type(self)(kept)

    def _require(self, values: Tensor, lines: Tensor) -> None:
        if not values.numel():
            return
        if bool((values < 0).any()) or bool((values > lines).any()):
            raise ConfigError(
                "a sum is negative or above its number of open word lines; expected 0 <= sum <= "
                "open lines"
            )
        if int(lines.max()) > self.rows:
            raise ConfigError(
                f"{int(lines.max())} word lines are open at once, but the table has {self.rows}; "
                "expected fewer rows at once, or a table of more"
            )

    @classmethod
    def from_json(cls, path: str | Path) -> Self:
        """Read a table file: lists of sensed sums for each number of open lines and each ideal sum.

        Each sum of a list is equally likely. This is the format of ONNC-CIM: `[open - 1][value]`.

        Raises:
            ConfigError: the file cannot be read, or is no such table.
        """
        try:
            nested = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ConfigError(
                f"'{path}' cannot be read as a table of sensed sums: {error}; expected JSON, "
                "[open - 1][value] -> list of integers"
            ) from error
        return cls.from_lists(nested)

    @classmethod
    def from_lists(cls, nested: Sequence[Sequence[Sequence[int]]]) -> Self:
        """The table of equally likely sensed sums `nested[open - 1][value]`.

        Raises:
            ConfigError: it is no such table, or a list that is needed is missing or empty.
        """
        lists = {
            (lines, value): _sums(nested, lines, value)
            for lines in range(1, len(_list(nested, "the table")) + 1)
            for value in range(lines + 1)
        }
        if not lists:
            raise ConfigError("the table of sensed sums is empty; expected a list for 1 open line")
        size = 1 + max(len(nested), *map(max, lists.values()))
        probability = torch.zeros(
            len(nested), len(nested) + 1, size, dtype=torch.float64, device="cpu"
        )
        for (lines, value), sums in lists.items():
            counts = torch.bincount(torch.tensor(sums, device="cpu"), minlength=size)
            probability[lines - 1, value] = counts.double() / len(sums)
        return cls(probability)

    def to_json(self, path: str | Path, *, entries: int = 1000) -> None:
        """Write a table file as `from_json` reads it.

        Args:
            path: file to write.
            entries: equally likely sums in each list, to which probabilities are rounded.
        """
        entries = _check.integer("entries", entries, at_least=1)
        nested = [
            [_entries(self.probability[lines - 1, value], entries) for value in range(lines + 1)]
            for lines in range(1, self.rows + 1)
        ]
        Path(path).write_text(json.dumps(nested), encoding="utf-8")

    def extra_repr(self) -> str:
        """The numbers of word lines and of sensed sums."""
        return f"rows={self.rows}, sensed={self.probability.shape[2]}"


def _derive_loaded(table: SumTable, keys: Any) -> None:
    del keys
    _require_rows(table.probability)
    table._derive()


def _require_rows(probability: Tensor) -> None:
    possible = torch.ones(probability.shape[:2], dtype=torch.bool, device="cpu").tril(1)
    rows = probability[possible.to(probability.device)]
    wrong = ((rows.sum(1) - 1).abs() > 1e-6) | (rows < 0).any(1)
    if bool(wrong.any()) or not bool(rows.isfinite().all()):
        raise ConfigError(
            f"{int(wrong.sum())} rows of probability are negative or do not add up to 1; expected "
            "a distribution of sensed sums for each ideal sum up to the number of open lines"
        )


def _aliases(probability: Tensor) -> tuple[Tensor, Tensor]:
    """What draws a told sum with one uniform number, float32 [open, ideal sum, column] from 0 open.

    Walker, "An efficient method for generating discrete random variables with general
    distributions", TOMS 3:253, 1977: the integer part of a draw picks a column, its fraction
    whether the column or its `other` sum is meant. The columns are a power of two.
    """
    lines, values, sensed = probability.shape
    columns = 1 << (sensed - 1).bit_length()
    mass = torch.zeros(lines + 1, values, columns, dtype=torch.float64, device="cpu")
    mass[1:] = F.pad(probability.cpu(), (0, columns - sensed)) * columns
    mass[mass.sum(2) == 0] = torch.tensor(
        [float(columns)] + [0.0] * (columns - 1), device="cpu"
    ).double()
    threshold, other = _paired(mass.flatten(0, 1))
    shape = (lines + 1, values, columns)
    device = probability.device
    return threshold.view(shape).float().to(device), other.view(shape).float().to(device)


def _paired(mass: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds and other columns of rows of masses [rows, columns], 1 on average.

    Columns are settled from both ends of their order: the smallest is filled up by the largest,
    which is settled itself, by the next largest, as soon as less than 1 is left of it.
    """
    ascending, order = mass.sort(dim=1)
    threshold, other = torch.ones_like(mass), order.clone()
    low = order.new_zeros(len(mass), 1)
    high = low + mass.shape[1] - 1
    left = ascending.gather(1, high)
    for _ in range(mass.shape[1] - 1):
        fills, least = left >= 1, ascending.gather(1, low)
        settled = torch.where(fills, low, high)
        share = torch.where(fills, least, left)
        left = torch.where(fills, left, ascending.gather(1, high - 1)) - (1 - share)
        low, high = low + fills.long(), high - (~fills).long()
        place = order.gather(1, settled)
        threshold.scatter_(1, place, share.clamp(0, 1))
        other.scatter_(1, place, order.gather(1, high))
    return threshold, other


def _list(value: Any, what: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise ConfigError(
            f"{what} is {shown(value)}; expected [open - 1][value] -> list of integers"
        )
    return value


def _sums(nested: Any, lines: int, value: int) -> list[int]:
    rows = _list(_list(nested, "the table")[lines - 1], f"the entry of {lines} open lines")
    if value >= len(rows):
        raise ConfigError(
            f"the table has {len(rows)} sums for {lines} open lines; expected {lines + 1}, from 0 "
            f"to {lines}"
        )
    sums = list(_list(rows[value], f"the sum {value} of {lines} open lines"))
    if not sums or not all(_check.is_integer(s) and 0 <= s <= 65535 for s in sums):
        raise ConfigError(
            f"the sum {value} of {lines} open lines is sensed as {shown(sums)}; expected a list of "
            "integers from 0 to 65535"
        )
    return [int(s) for s in sums]


def _entries(probability: Tensor, entries: int) -> list[int]:
    """So many sums that each is there about as often as it is likely; the largest rests first."""
    exact = probability * entries
    counts = exact.floor().long()
    short = entries - int(counts.sum())
    counts[(exact - counts).argsort(descending=True)[:short]] += 1
    return torch.arange(len(counts), device="cpu").repeat_interleave(counts).tolist()
