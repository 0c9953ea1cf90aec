"""`Packing`: several groups of a matrix on the lines of one array, along its diagonal."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore.contracts.mapper import Mapped, Part, Reference
from memcore.contracts.records import Context
from memcore.crossbar.config import CrossbarConfig


@dataclass(frozen=True)
class Packing:
    """How many groups of a matrix have one array in common.

    Each group has word lines and bit lines of its own, and the word line of a constant input serves
    all of them. All groups are read at once; the cells where the lines of two groups cross hold a
    weight of zero, as exactly as cells do.

    Args:
        count: groups in one array.
        constant: whether the last word line is driven by a constant input.
    """

    count: int = 1
    constant: bool = False

    @classmethod
    def of(
        cls, config: CrossbarConfig, shape: tuple[int, ...], ctx: Context, constant: bool
    ) -> "Packing":
        """As many groups of a matrix [groups, rows, cols] as the configuration lets into an array.

        The arrays are filled evenly, so it is a divisor of the number of groups.
        """
        groups, rows, cols = shape
        if config.groups == "apart" or config.tile is None or config.mapper is None:
            return cls()
        lines, columns = config.tile
        if config.rows_at_once is not None:
            lines = min(lines, config.rows_at_once)
        one = config.mapper.map(torch.ones(1, 1, 1, device="cpu"), config.devices[0].nominal(), ctx)
        references = sum(isinstance(part, Reference) and part.lane == 0 for part in one.parts)
        most = min((lines - constant) // max(1, rows - constant), (columns - references) // cols)
        fitting = (count for count in range(min(most, groups), 1, -1) if groups % count == 0)
        return cls(next(fitting, 1), constant)

    def packed(self, weight: Tensor) -> Tensor:
        """Weights [groups, outputs, inputs] of all groups as those of arrays, zeros in between."""
        if self.count == 1:
            return weight
        own = weight[..., :-1] if self.constant else weight
        body = _diagonal(own, self.count)
        if not self.constant:
            return body
        return torch.cat([body, weight[..., -1].reshape(len(body), -1, 1)], dim=2)

    def own(self, weight: Tensor) -> Tensor:
        """The inverse: what outputs make of the inputs of their own group."""
        if self.count == 1:
            return weight
        body = weight[..., :-1] if self.constant else weight
        arrays, outputs, inputs = body.shape
        blocks = body.reshape(arrays, self.count, outputs // self.count, self.count, -1)
        groups = blocks.diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        own = groups.reshape(arrays * self.count, -1, inputs // self.count)
        if not self.constant:
            return own
        return torch.cat([own, weight[..., -1].reshape(len(own), -1, 1)], dim=2)

    def mapped(self, mapped: Mapped, unused: Sequence[float]) -> Mapped:
        """The parts of a mapping of [groups, rows, cols] on the lines of arrays.

        Args:
            mapped: of each group.
            unused: S, of a cell that holds nothing, where no reference says what zero is; one
                number for each lane, or for all.
        """
        if self.count == 1:
            return mapped
        parts = tuple(
            dataclasses.replace(part, target=self._laid(part, self._zero(mapped, part, each)))
            for part, each in ((part, unused[part.lane % len(unused)]) for part in mapped.parts)
        )
        gain = mapped.gain
        if gain.dim() == 2:
            gain = gain.repeat(1, self.count)
        elif gain.dim() == 3:  # one number for all word lines of an array
            gain = gain[:, :1].repeat(1, parts[0].target.shape[1], self.count)
        return dataclasses.replace(mapped, parts=parts, gain=gain)

    def _zero(self, mapped: Mapped, part: Part, unused: float) -> Tensor | float:
        """What a cell of a part conducts so that the sum of its lane is zero, S."""
        lane = [each for each in mapped.parts if each.lane == part.lane]
        references = [each for each in lane if isinstance(each, Reference)]
        signs = sum(each.sign for each in lane if not isinstance(each, Reference))
        if not references or not signs:
            return unused
        whole = sum((each.sign * each.target for each in references), torch.zeros((), device="cpu"))
        return -whole / signs

    def _laid(self, part: Part, zero: Tensor | float) -> Tensor:
        """Targets of a part on the lines of arrays, where cells in between conduct `zero`."""
        target, count = part.target, self.count
        rows = target.shape[1] - self.constant
        if isinstance(part, Reference):
            body = target[:, :rows].reshape(-1, count * rows, 1)
            common = target[::count, rows:]
        else:
            if isinstance(zero, Tensor):
                zero = zero[:, :rows].reshape(-1, count, rows, 1, 1)
            body = _diagonal(target[:, :rows], count, zero)
            common = target[:, rows:].reshape(len(body), -1, body.shape[2])
        return torch.cat([body, common], dim=1)


def _diagonal(blocks: Tensor, count: int, between: Tensor | float = 0.0) -> Tensor:
    """[n, a, b] to [n / count, count * a, count * b], blocks along the diagonal.

    Args:
        blocks: matrices.
        count: how many of them follow each other along a diagonal.
        between: what lies beside the diagonal, a number or [n / count, count, a, 1, 1].
    """
    n, a, b = blocks.shape
    groups = blocks.reshape(n // count, count, a, b).permute(0, 2, 3, 1)
    whole = torch.diag_embed(groups, dim1=1, dim2=3)
    if isinstance(between, Tensor) or between:
        own = torch.eye(count, dtype=torch.bool, device=blocks.device)[:, None, :, None]
        whole = torch.where(own, whole, between)
    return whole.reshape(n // count, count * a, count * b)
