"""What is left of a network: weights, word lines, bit lines and arrays of each layer."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore._text import aligned
from memcore.compression.matrices import matrix_of, prunable
from memcore.contracts.records import Context
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.mapping import mapping
from memcore.crossbar.tiling import Tiling
from memcore.errors import ConfigError
from memcore.random import Stream


@dataclass(frozen=True, kw_only=True)
class LayerSize:
    """What one layer needs.

    Args:
        name: qualified name.
        weights: numbers in the weight matrix.
        kept: those that are not zero.
        rows: word lines that hold something, of all groups.
        cols: bit lines that hold something, of all groups.
        arrays: arrays for these, all parts and lanes of the mapping included.
    """

    name: str
    weights: int
    kept: int
    rows: int
    cols: int
    arrays: int


@torch.no_grad()
def sizes(model: nn.Module, config: CrossbarConfig) -> dict[str, LayerSize]:
    """What each linear layer and convolution of a network needs on the arrays of a configuration.

    Word lines and bit lines on which every weight is zero need no cells and are left out, so that
    `arrays` counts `ceil(rows / R) ceil(cols / C)` for arrays of R word lines and C bit lines, for
    each slice and each sign.

    Raises:
        ConversionError: the network has no such layer.
        ConfigError: the configuration has no mapper.
    """
    return {name: _size(name, module, config) for name, module in prunable(model).items()}


def _size(name: str, module: nn.Module, config: CrossbarConfig) -> LayerSize:
    matrix = matrix_of(module)
    here = matrix != 0
    word, bit = here.any(1), here.any(2)
    groups = zip(matrix, word, bit, strict=True)
    return LayerSize(
        name=name,
        weights=matrix.numel(),
        kept=int(here.sum()),
        rows=int(word.sum()),
        cols=int(bit.sum()),
        arrays=sum(_arrays(m[cols][:, rows], config) for m, rows, cols in groups),
    )


def _arrays(kept: Tensor, config: CrossbarConfig) -> int:
    """Arrays of [outputs, inputs] weights."""
    if config.mapper is None:
        raise ConfigError(
            "the configuration has no mapper; expected one, which says how weights lie"
        )
    if not kept.numel():
        return 0
    ctx = Context(random=Stream(0), temperature=config.temperature)
    weight = kept.t().unsqueeze(0)
    parts = mapping(config, weight, ctx).parts
    return Tiling.of(parts, weight.shape, config.tile).arrays


@dataclass(frozen=True, kw_only=True)
class CompressionReport:
    """What `memcore.compress` left of a network; `str()` is a table.

    Args:
        before: needs of each layer before.
        after: needs of each layer that is still a linear layer or a convolution.
        notes: what the passes say about layers: name of the pass, name of the layer, text.
        log: figures of each epoch: name of the pass, epoch, figures.
    """

    before: dict[str, LayerSize]
    after: dict[str, LayerSize]
    notes: tuple[tuple[str, str, str], ...] = ()
    log: tuple[tuple[str, int, dict[str, float]], ...] = ()

    @property
    def ratio(self) -> float:
        """Weights before for each weight that is left."""
        kept = sum(self.after[name].kept for name in self.after)
        return sum(self.before[name].weights for name in self.after) / max(1, kept)

    @property
    def arrays(self) -> tuple[int, int]:
        """All arrays before and after."""
        before, after = (
            sum(size.arrays for size in each.values()) for each in (self.before, self.after)
        )
        return before, after

    def __str__(self) -> str:
        head = ("layer", "weights", "left", "word lines", "bit lines", "arrays")
        rows = []
        for name, size in self.before.items():
            left = self.after.get(name)
            if left is None:
                rows.append((name, f"{size.weights:,}", "looked up", "", "", f"{size.arrays} -> 0"))
                continue
            rows.append(
                (
                    name,
                    f"{size.weights:,}",
                    f"{left.kept:,}",
                    f"{size.rows} -> {left.rows}",
                    f"{size.cols} -> {left.cols}",
                    f"{size.arrays} -> {left.arrays}",
                )
            )
        before, after = self.arrays
        lines = aligned([head, *rows])
        fewer = f"{self.ratio:.3g} times fewer weights; " if self.after else ""
        lines.append(f"{fewer}{before} arrays before, {after} after")
        lines += [f"{by}: {name or 'the model'}: {text}" for by, name, text in self.notes]
        return "\n".join(lines)
