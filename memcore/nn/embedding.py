"""`torch.nn.Embedding` and `EmbeddingBag` on crossbars."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Operand, Trial
from memcore.errors import ArgumentTypeError
from memcore.nn.blocks import in_blocks
from memcore.nn.single import SingleMatrix


class _RowReads(SingleMatrix):
    """Base of layers that look rows up: each index is a read of which one word line is driven."""

    on_request = True
    needs_dac = False

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    bias = None

    @classmethod
    def refuses(cls, module: nn.Module) -> str:
        if getattr(module, "max_norm", None) is not None:
            return "its max_norm changes the weights whenever they are looked up"
        if getattr(module, "sparse", False):
            return "its gradients are sparse, those of arrays are not"
        if getattr(module, "scale_grad_by_freq", False):
            return "its gradients are scaled by how often an index occurs"
        return ""

    def operands(self) -> dict[str, Operand]:
        return {"weight": Operand(self.weight.t().unsqueeze(0))}

    def shaped(self, matrix: Tensor) -> Tensor:
        return matrix[0].t()

    def looked_up(self, index: Tensor) -> Tensor:
        """What reads of rows [n] give, [n, embedding_dim]; padding among them."""
        count, dtype = self.num_embeddings, self.weight.dtype
        with torch.autocast(index.device.type, enabled=False):  # which leaves lookups alone
            product = self.product("weight")
            return in_blocks(
                self,
                index,
                count,
                lambda part: product(F.one_hot(part, count).to(dtype).unsqueeze(1)).squeeze(1),
            )

    def require_indices(self, index: Tensor) -> None:
        """Refuse what is no index."""
        if index.dtype not in (torch.int64, torch.int32):
            raise ArgumentTypeError(
                f"the indices are {index.dtype}; expected integers, int64 or int32"
            )

    def extra_repr(self) -> str:
        """As the digital layer prints."""
        digital: nn.Module = self.__dict__["_digital"]
        return digital.extra_repr()


class Embedding(_RowReads):
    """`torch.nn.Embedding` on crossbars: each index is a read of which one word line is driven.

    It stays digital unless a configuration names it: `layers=["embedding"]`.
    """

    replaces = (nn.Embedding,)

    @classmethod
    def trials(cls) -> list[Trial]:
        return [
            (nn.Embedding(11, 4), (torch.tensor([[1, 2, 10], [3, 0, 2]]),)),
            (nn.Embedding(5, 3, padding_idx=1), (torch.tensor([4, 1, 0]),)),
        ]

    def forward(self, input: Tensor) -> Tensor:
        """Rows [..., embedding_dim] of indices [...]."""
        self.require_indices(input)
        if self.matrix.reads_exactly:
            return F.embedding(input, self.exact().weight, self.padding_idx)
        y = self.looked_up(input.flatten().long()).reshape(*input.shape, self.embedding_dim)
        if self.padding_idx is None:
            return y
        return torch.where((input == self.padding_idx).unsqueeze(-1), y.detach(), y)


class EmbeddingBag(_RowReads):
    """`torch.nn.EmbeddingBag` on crossbars: each index is a read, bags are added up digitally.

    It stays digital unless a configuration names it: `layers=["embedding_bag"]`.
    """

    replaces = (nn.EmbeddingBag,)

    mode: str
    include_last_offset: bool

    @classmethod
    def trials(cls) -> list[Trial]:
        bags, starts = torch.tensor([1, 2, 6, 6, 3, 0]), torch.tensor([0, 2, 3])
        return [
            (nn.EmbeddingBag(7, 4, mode="sum"), (bags.view(2, 3), None, torch.randn(2, 3))),
            (nn.EmbeddingBag(7, 4, mode="mean", padding_idx=2), (bags, starts)),
            (nn.EmbeddingBag(7, 4, mode="max"), (bags, starts)),
        ]

    def forward(
        self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """[bags, embedding_dim] of indices, as the digital layer takes them."""
        self.require_indices(input)
        if self.matrix.reads_exactly:
            index, rows, padding = input, self.exact().weight, self.padding_idx
        else:
            index, rows, padding = self._read(input)
        if per_sample_weights is not None and per_sample_weights.dtype != rows.dtype:
            raise ArgumentTypeError(
                f"per_sample_weights are {per_sample_weights.dtype}, but the rows are "
                f"{rows.dtype}; expected the same: use per_sample_weights.to({rows.dtype})"
            )
        return F.embedding_bag(
            index,
            rows,
            offsets,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=padding,
        )

    def _read(self, input: Tensor) -> tuple[Tensor, Tensor, int | None]:
        """What is read, index by index, as a table of its own: where in it, table and padding."""
        flat = input.flatten()
        rows = self.looked_up(flat.long())
        place = torch.arange(flat.shape[0], device=flat.device, dtype=flat.dtype)
        if self.padding_idx is None:
            return place.view_as(input), rows, None
        place = torch.where(flat == self.padding_idx, flat.shape[0], place)
        rows = torch.cat([rows, rows.new_zeros(1, self.embedding_dim)])
        return place.view_as(input), rows, flat.shape[0]
