"""Pruning and quantising by the alternating direction method of multipliers."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from memcore import ArraySettings, Compressed, CompressionPass, ConfigError, parameter
from memcore.compression import (
    last_layer,
    matrix_of,
    nearest_levels,
    projections,
    prunable,
    write_matrix,
)

Structure = Literal["filters", "columns", "blocks", "per_column", "sign_fragments", "levels"]


@dataclass(frozen=True, kw_only=True)
class Admm(CompressionPass):
    """Training that draws the weights W of each layer to the nearest point Z of a set.

        loss + sum over layers of rho/2 |W - Z + U|^2;  after each epoch  Z = P(W + U),  U += W - Z

    P is the Euclidean projection, so that what an array can hold is reached while the loss may
    answer. rho grows tenfold at each third of the epochs, up to `most`. At the end W is projected,
    what is zero then stays zero in a training that follows. Ma et al., "Tiny but Accurate",
    ASP-DAC 2020, and Yuan et al., "Ultra-Efficient", ISLPED 2019.
    """

    structure: tuple[Structure, ...] = parameter(
        ("filters", "columns"),
        "1",
        "what is kept whole, one after another: filters (bit lines), columns (word lines), blocks "
        "of the shape of an array, per_column (weights of a bit line of an array), "
        "sign_fragments (one sign for the word lines that are driven at once), "
        "levels (of the cells)",
    )
    keep: float = parameter(
        0.5, "1", "share that is kept of each of these, in each layer", above=0, at_most=1
    )
    block: tuple[int, int] | None = parameter(
        None,
        "1",
        "word lines and bit lines of a block; None for those of an array of the configuration",
    )
    fragment: int | None = parameter(
        None,
        "1",
        "word lines of a fragment of one sign; None for the rows_at_once of the configuration",
        at_least=1,
    )
    rho: float = parameter(1e-3, "1", "weight of the penalty at first", above=0)
    most: float = parameter(1e-1, "1", "weight of the penalty at most", above=0)
    epochs: int = parameter(30, "1", "epochs of training with the penalty", at_least=0)
    retraining: int = parameter(
        0, "1", "epochs of training after the projection, what is zero staying zero", at_least=0
    )
    whole: tuple[str, ...] = parameter(
        (),
        "1",
        "globs of names of layers that keep all filters; the last layer, whose filters are the "
        "outputs of the network, always does",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        known = get_args(Structure)
        given = self.structure if isinstance(self.structure, list | tuple) else ()
        if not given or any(each not in known for each in given):
            raise ConfigError(
                f"Admm: structure={self.structure!r}; expected one or more of {', '.join(known)}"
            )
        if "levels" in self.structure and self.retraining:
            raise ConfigError(
                f"Admm: retraining={self.retraining} would move weights off the levels of the "
                "cells; expected 0, or the pass quantize after this one"
            )

    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        del inputs
        last = last_layer(model)
        state = _State(config)
        for name, module in prunable(model).items():
            kept = name == last or any(fnmatchcase(name, glob) for glob in self.whole)
            target = self._projected(matrix_of(module).detach(), config, kept)
            state.add(name, _Layer(target, kept))
        return state

    def penalty(self, model: nn.Module, state: nn.Module) -> Tensor:
        ours = cast(_State, state)
        terms = [
            (matrix_of(module) - layer.target + layer.dual).square().sum()
            for module, layer in ours.pairs(model)
        ]
        return 0.5 * self._rho(int(ours.epoch)) * torch.stack(terms).sum()

    @torch.no_grad()
    def update(self, model: nn.Module, state: nn.Module) -> dict[str, float]:
        ours = cast(_State, state)
        before = self._rho(int(ours.epoch))
        ours.epoch += 1
        scale = before / self._rho(int(ours.epoch))
        apart = size = 0.0
        for module, layer in ours.pairs(model):
            weight = matrix_of(module)
            layer.target.copy_(self._projected(weight + layer.dual, ours.config, layer.whole))
            # The dual variable is rho U: it stays while rho grows.
            layer.dual.add_(weight - layer.target).mul_(scale)
            apart += float((weight - layer.target).square().sum())
            size += float(weight.square().sum())
        return {"residual": (apart / size) ** 0.5 if size else 0.0, "rho": before}

    @torch.no_grad()
    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        ours, notes = cast(_State, state), {}
        for name, (module, layer) in zip(ours.names, ours.pairs(model), strict=True):
            matrix = self._projected(matrix_of(module), ours.config, layer.whole)
            write_matrix(module, matrix)
            layer.sign.copy_(matrix.sign())
            notes[name] = f"{int((matrix != 0).sum()):,} of {matrix.numel():,} weights are left"
        return Compressed(model=model, notes=notes)

    @torch.no_grad()
    def hold(self, model: nn.Module, state: nn.Module) -> None:
        signed = "sign_fragments" in self.structure
        for module, layer in cast(_State, state).pairs(model):
            matrix = matrix_of(module)
            stays = matrix * layer.sign > 0 if signed else layer.sign != 0
            write_matrix(module, matrix * stays)

    def _rho(self, epoch: int) -> float:
        third = min(2, 3 * epoch // max(1, self.epochs))
        return min(self.rho * (1.0, 10.0, 100.0)[third], max(self.most, self.rho))

    def _projected(self, matrix: Tensor, config: ArraySettings, whole: bool) -> Tensor:
        for structure in self.structure:
            if not (structure == "filters" and whole):
                matrix = self._onto(structure, matrix, config)
        return matrix

    def _onto(self, structure: str, matrix: Tensor, config: ArraySettings) -> Tensor:
        _, outputs, inputs = matrix.shape
        rows, cols = (inputs, outputs) if config.tile is None else config.tile
        if structure == "filters":
            return projections.filters(matrix, self._count(outputs))
        if structure == "columns":
            return projections.columns(matrix, self._count(inputs))
        if structure == "blocks":
            word, bit = self.block or (rows, cols)
            count = -(-outputs // bit) * -(-inputs // word)
            return projections.blocks(matrix, (bit, word), self._count(count))
        if structure == "per_column":
            rows = min(rows, inputs)
            return projections.per_column(matrix, self._count(rows), rows)
        if structure == "sign_fragments":
            size = self.fragment or config.rows_at_once or min(rows, inputs)
            return projections.sign_fragments(matrix, size)
        return nearest_levels(matrix, config)

    def _count(self, there: int) -> int:
        return max(1, round(self.keep * there))


class _Layer(nn.Module):
    """What is known of a layer, [groups, outputs, inputs]: Z, U, and the signs of what is kept."""

    target: Tensor
    dual: Tensor
    sign: Tensor

    def __init__(self, target: Tensor, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.register_buffer("target", target.clone())
        self.register_buffer("dual", torch.zeros_like(target))
        self.register_buffer("sign", target.sign())


class _State(nn.Module):
    """The layers in the order of the network, and the epoch."""

    epoch: Tensor

    def __init__(self, config: ArraySettings) -> None:
        super().__init__()
        self.config = config
        self.names: list[str] = []
        self.layers = nn.ModuleList()
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64, device="cpu"))

    def add(self, name: str, layer: _Layer) -> None:
        """Add what is known of a layer."""
        self.names.append(name)
        self.layers.append(layer)

    def pairs(self, model: nn.Module) -> list[tuple[nn.Module, _Layer]]:
        """The layers of a network, each with what is known of it."""
        modules = [model.get_submodule(name) for name in self.names]
        return list(zip(modules, cast(Iterable[_Layer], self.layers), strict=True))
