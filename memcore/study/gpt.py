"""A small GPT for studies: a transformer that reads words and foretells the next one."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal attention of several heads, which sees near words better than far ones.

    The k-th head takes `4^-k` off a logit for every word between two words (Press et al., "Train
    short, test long: attention with linear biases", ICLR 2022), so that no word needs a place of
    its own. The projections have weights, which arrays can hold; the products of what they give
    have none.

    Args:
        width: number of values of a word.
        heads: number of heads, which divides the width.
    """

    slopes: Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.register_buffer("slopes", 0.25 ** torch.arange(heads), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, words, width] to the same shape."""
        q, k, v = (
            each(x).unflatten(2, (len(self.slopes), -1)).transpose(1, 2)
            for each in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=self._bias(x))
        result: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return result

    def _bias(self, x: Tensor) -> Tensor:
        """What is added to the logits, [1, heads, words, words], -inf for words that follow."""
        place = torch.arange(x.shape[1], device=x.device)
        behind = place.unsqueeze(1) - place
        bias = -self.slopes.to(x.dtype).view(-1, 1, 1) * behind
        return bias.masked_fill(behind < 0, -torch.inf).unsqueeze(0)


class Block(nn.Module):
    """Attention and two layers, each with a normalisation before it and added to what came."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, words, width] to the same shape."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.down(functional.gelu(self.up(self.norm(x))))
        return y


class Gpt(nn.Module):
    """Embedded words, blocks, and a head that foretells the next word.

    After Radford et al., "Language models are unsupervised multitask learners" (2019), in small.

    Args:
        words: size of the vocabulary.
        width: number of values of a word.
        blocks: number of blocks.
        heads: heads of the attention.
    """

    def __init__(self, *, words: int, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, words, bias=False)

    def forward(self, text: Tensor) -> Tensor:
        """Map words, int64 [n, length], to logits of the words behind them, [n, length, words]."""
        logits: Tensor = self.head(self.norm(self.blocks(self.words(text))))
        return logits
