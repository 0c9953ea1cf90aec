"""`torch.nn.MultiheadAttention` on crossbars."""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.contracts.layer import Layer, Operand, Trial
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.nn.matrix import Matrix
from memcore.nn.product import product

_PROJECTIONS = ("q_proj", "k_proj", "v_proj")


class MultiheadAttention(Layer):
    """`torch.nn.MultiheadAttention` on crossbars: four matrices, attention between them.

    The projections of query, key and value and that of the outputs are matrices of their own,
    `q_proj`, `k_proj`, `v_proj` and `out_proj`, each with the ranges of its own converters. A token
    is one read of each. The products of queries with keys and of attention with values multiply
    activations by activations; they stay digital, as softmax and masks do.
    """

    replaces = (nn.MultiheadAttention,)
    stays_digital = "query times key, softmax, attention times value: no weights"

    embed_dim: int
    num_heads: int
    dropout: float
    batch_first: bool
    add_zero_attn: bool
    in_proj_weight: Tensor | None
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    in_proj_bias: Tensor | None
    bias_k: Tensor | None
    bias_v: Tensor | None

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        digital = cast(nn.MultiheadAttention, module)
        self.embed_dim, self.num_heads = digital.embed_dim, digital.num_heads
        self.kdim, self.vdim = digital.kdim, digital.vdim
        self.head_dim, self.dropout = digital.head_dim, digital.dropout
        self.add_zero_attn = digital.add_zero_attn
        self._qkv_same_embed_dim = digital._qkv_same_embed_dim  # nn.TransformerEncoder asks for it
        for name in ("bias_k", "bias_v"):
            if name not in self._parameters:
                setattr(self, name, None)
        self.out_proj = digital.out_proj  # holds the parameters of the matrix of that name

    @classmethod
    def refuses(cls, module: nn.Module) -> str:
        digital = cast(nn.MultiheadAttention, module)
        sizes = (digital.embed_dim, digital.kdim, digital.vdim)
        return "" if all(sizes) else f"it takes vectors of sizes {sizes}, so there is nothing to do"

    @classmethod
    def trials(cls) -> list[Trial]:
        other = nn.MultiheadAttention(
            6, 3, kdim=5, vdim=4, add_bias_kv=True, add_zero_attn=True, batch_first=True
        )
        for parameter in other.parameters():  # biases are zeros at first
            nn.init.normal_(parameter, std=0.5)
        padding = torch.tensor([[False] * 4, [False, False, True, True]])
        x = torch.randn(4, 2, 8)
        cross = (torch.randn(2, 3, 6), torch.randn(2, 4, 5), torch.randn(2, 4, 4))
        return [
            (nn.MultiheadAttention(8, 2), (x, x, torch.randn(4, 2, 8))),
            (other, (*cross, padding)),
            (nn.MultiheadAttention(4, 1, bias=False), tuple(torch.randn(3, 5, 4))),
        ]

    def operands(self) -> dict[str, Operand]:
        if self.in_proj_weight is None:
            weights = [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        else:
            weights = list(self.in_proj_weight.chunk(3))
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        named = {
            name: Operand(weight.unsqueeze(0), bias)
            for name, weight, bias in zip(_PROJECTIONS, weights, biases, strict=True)
        }
        out = self.out_proj
        return {**named, "out_proj": Operand(out.weight.unsqueeze(0), out.bias)}

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention outputs and weights, of the shapes that `torch.nn.MultiheadAttention` gives."""
        if query.is_nested or key.is_nested or value.is_nested:
            masked = key_padding_mask is not None or attn_mask is not None or is_causal
            return self._of_nested((query, key, value), masked, need_weights), None
        if is_causal and attn_mask is None:
            raise ConfigError(
                "is_causal=True came without a mask; expected attn_mask too: "
                "torch.nn.Transformer.generate_square_subsequent_mask(length) makes it"
            )
        batched = query.dim() == 3
        self._require_shapes(query, key, value)
        inputs = [self._batch_first(x, batched) for x in (query, key, value)]
        if key_padding_mask is not None and not batched:
            key_padding_mask = key_padding_mask.unsqueeze(0)
        hint = is_causal and key_padding_mask is None and not need_weights
        operands = self.operands()
        q, k, v = self._projected(inputs, operands)
        mask = self._mask(None if hint else attn_mask, key_padding_mask, q, inputs[1].shape[1])
        mixed, weights = self._attend(q, k, v, mask, need_weights=need_weights, is_causal=hint)
        y = self._product("out_proj", mixed.transpose(1, 2).flatten(2), operands)
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not batched:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return y if self.batch_first else y.transpose(0, 1), weights

    def _product(self, name: str, x: Tensor, operands: dict[str, Operand]) -> Tensor:
        return product(cast(Matrix, self.matrices[name]), x, operands[name])

    def _batch_first(self, x: Tensor, batched: bool) -> Tensor:
        if not batched:
            return x.unsqueeze(0)
        return x if self.batch_first else x.transpose(0, 1)

    def _projected(self, inputs: list[Tensor], operands: dict[str, Operand]) -> list[Tensor]:
        """Queries, keys and values, [n, heads, length, features], those that are added included."""
        named = zip(_PROJECTIONS, inputs, strict=True)
        q, k, v = (self._product(name, x, operands) for name, x in named)
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.to(k.dtype).expand(len(k), -1, -1)], dim=1)
            v = torch.cat([v, self.bias_v.to(v.dtype).expand(len(v), -1, -1)], dim=1)
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
        heads = (self.num_heads, self.head_dim)
        return [x.reshape(*x.shape[:2], *heads).transpose(1, 2) for x in (q, k, v)]

    def _mask(
        self, attention: Tensor | None, padding: Tensor | None, q: Tensor, length: int
    ) -> Tensor | None:
        """What is added to the scores, a tensor that broadcasts to [n, heads, queries, keys]."""
        n, heads, queries, _ = q.shape
        if attention is not None:
            shapes = [(queries, length), (n * heads, queries, length)]
            _require("attn_mask", attention, *shapes)
            attention = _added(attention, q.dtype)
            if attention.dim() == 3:
                attention = attention.reshape(n, heads, queries, length)
        if padding is not None:
            _require("key_padding_mask", padding, (n, length))
            padding = _added(padding, q.dtype).view(n, 1, 1, length)
        both = [mask for mask in (attention, padding) if mask is not None]
        if not both:
            return None
        always_seen = (self.bias_k is not None) + self.add_zero_attn
        return F.pad(sum(both[1:], both[0]), (0, always_seen))

    def _attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        mask: Tensor | None,
        *,
        need_weights: bool,
        is_causal: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """Values [n, heads, queries, features] mixed by attention, and the weights if wanted."""
        dropped = self.dropout if self.training else 0.0
        if not need_weights:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, dropped, is_causal)
            return mixed, None
        scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
        weights = F.softmax(scores if mask is None else scores + mask, dim=-1)
        if dropped:
            weights = F.dropout(weights, dropped)
        return weights @ v, weights

    def _of_nested(
        self, inputs: tuple[Tensor, Tensor, Tensor], masked: bool, need_weights: bool
    ) -> Tensor:
        """As `nn.TransformerEncoder` passes sequences on without their padding, one by one."""
        if not all(x.is_nested for x in inputs) or masked or need_weights or not self.batch_first:
            raise ArgumentTypeError(
                "the query, key or value is a nested tensor; expected all three nested, "
                "batch_first=True, no masks and need_weights=False, or padded tensors: "
                "x.to_padded_tensor(0.0) with a key_padding_mask"
            )
        sequences = zip(*(x.unbind() for x in inputs), strict=True)
        outputs = [self.forward(q, k, v, need_weights=False)[0] for q, k, v in sequences]
        return torch.nested.as_nested_tensor(outputs, layout=inputs[0].layout)

    def _require_shapes(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Refuse inputs that do not fit the layer or each other."""
        batch = 0 if self.batch_first else 1
        fits = query.dim() in (2, 3) and query.dim() == key.dim() == value.dim()
        if fits:
            sizes = (self.embed_dim, self.kdim, self.vdim)
            wrong = [x.shape[-1] != n for x, n in zip((query, key, value), sizes, strict=True)]
            same = query.dim() == 2 or query.shape[batch] == key.shape[batch]
            fits = not any(wrong) and same and key.shape[:-1] == value.shape[:-1]
        if not fits:
            lead = "n, {}" if self.batch_first else "{}, n"
            queries, keys = lead.format("queries"), lead.format("keys")
            came = (list(x.shape) for x in (query, key, value))
            raise ShapeError(
                "query, key and value have shapes {}, {} and {}; expected ".format(*came)
                + f"[{queries}, {self.embed_dim}], [{keys}, {self.kdim}] and "
                f"[{keys}, {self.vdim}], or all three without n"
            )

    def extra_repr(self) -> str:
        """Sizes, as they were asked for."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _added(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask as numbers that are added to scores: true, where nothing may be seen, is -inf."""
    if mask.dtype is torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -torch.inf)
    if not mask.is_floating_point():
        raise ArgumentTypeError(
            f"a mask has dtype {mask.dtype}; expected torch.bool, true where nothing may be seen, "
            "or floating-point numbers, which are added to the scores"
        )
    return mask.to(dtype)


def _require(name: str, mask: Tensor, *shapes: tuple[int, ...]) -> None:
    if tuple(mask.shape) not in shapes:
        expected = " or ".join(str(list(shape)) for shape in shapes)
        raise ShapeError(f"{name} has shape {list(mask.shape)}; expected {expected}")
