"""Writing the cells of a rehearsal by one kernel, where plugins say what they do to each cell."""

import dataclasses
import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from memcore.contracts import cell_steps
from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import speaks_of
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution, LogNormal
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapper, TwoParts
from memcore.contracts.records import Context, Stage
from memcore.crossbar.config import CrossbarConfig
from memcore.ops.rehearsal import CellStep, Keys, Steps, Writing
from memcore.random import Stream

#: The path of the stream that effects are asked with.
_ASKED = ("step",)


class _Said(NamedTuple):
    """What the effects of a configuration do to each cell.

    Args:
        steps: without keys.
        paths: of the streams of each step in both cells of a pair, behind that of the rehearsal;
            none where nothing is drawn.
        relative: of the noise of a read.
        constant: of it.
    """

    steps: Steps
    paths: tuple[tuple[tuple[str, ...], ...], ...]
    relative: float
    constant: float

    def keys(self, random: Stream) -> Keys:
        """The keys of the draws of one step."""
        return [
            tuple(random.key_of(*path) for path in pair) if pair else (0, 0) for pair in self.paths
        ]


class Stepwise:
    """Turns a configuration into what the kernel of cells does.

    Effects are asked once: what they say holds for every step, with streams of its own.

    Args:
        config: of what is rehearsed.
        effects: those that are on, in the order of their stages.
    """

    def __init__(self, config: CrossbarConfig, effects: Mapping[str, NonIdeality]) -> None:
        self._config, self._effects = config, effects
        self._fits = _is_told(config, effects) and _is_nominal(config.device)
        self._said: _Said | None = None
        self._parts: TwoParts | None = None  #: what the mapper said, if it holds for all weights
        self._highest = config.device.nominal_range()[1] if self._fits else math.nan

    def writing(self, matrix: Tensor, ctx: Context) -> Writing | None:
        """How a matrix becomes cells; None where the kernel does not know all that happens.

        Args:
            matrix: the weights, [groups, outputs, inputs].
            ctx: of this step.
        """
        mapper = self._config.mapper
        if not self._fits or mapper is None or not matrix.numel():
            return None
        whole = self._parts or self._asked(mapper, matrix, ctx)
        if whole is None:
            return None
        scale = whole.scale_of(matrix).reshape(-1).to(matrix.dtype)
        if len(scale) not in (1, matrix.shape[1]) or not _is_usable(scale, whole.span):
            return None  # the smallest weights have no slope; else the arrays say what is wrong
        if self._said is None:
            self._said = self._ask(matrix)
        said = self._said
        if said is None:
            self._fits = False
            return None
        highest = self._highest
        most = whole.span if whole.limited else math.inf
        return Writing(
            matrix.contiguous(),
            scale,
            (whole.span, whole.start, most, highest, said.relative, said.constant),
            said.steps,
            said.keys(ctx.random),
        )

    def _asked(self, mapper: Mapper, matrix: Tensor, ctx: Context) -> TwoParts | None:
        """What the mapper does to these weights."""
        weight, device = matrix.transpose(1, 2), self._config.device
        whole = mapper.two_parts(weight, device, ctx.child("mapper"))
        self._parts = whole if whole is not None and whole.scale is None else None
        return whole

    def _ask(self, matrix: Tensor) -> _Said | None:
        """What happens to the cells; None if an effect does not say it."""
        found: list[tuple[cell_steps.CellStep, ...]] = []
        ctx = Context(random=Stream(0, _ASKED), temperature=self._config.temperature)
        info = _info(self._config, matrix)
        for name, effect in self._effects.items():
            said = [effect.steps(info, ctx.child(name, part)) for part in range(2)]
            if said[0] is None or said[1] is None:
                return None
            found += zip(*said, strict=True)
            is_read = [isinstance(step, cell_steps.WhiteNoise) for step in said[0]]
            if any(each != (effect.stage is Stage.READ) for each in is_read):
                return None
        noise = [pair[0] for pair in found if isinstance(pair[0], cell_steps.WhiteNoise)]
        writes = [pair for pair in found if not isinstance(pair[0], cell_steps.WhiteNoise)]
        paths = tuple(tuple(map(_path, pair)) for pair in writes)
        if any(None in pair for pair in paths):
            return None
        return _Said(
            Steps([_step(pair[0]) for pair in writes]),
            tuple(tuple(path for path in pair if path) for pair in paths),
            math.hypot(*(each.relative for each in noise)),
            math.fsum(each.std**2 for each in noise),
        )


def _is_usable(scale: Tensor, span: float) -> bool:
    """Whether slopes and gains of these scales are finite in single precision."""
    low, high = (float(scale),) * 2 if len(scale) == 1 else map(float, scale.aminmax())
    largest = torch.finfo(torch.float32).max
    return span / largest < low and high < span * largest


def _is_told(config: CrossbarConfig, effects: Mapping[str, NonIdeality]) -> bool:
    """Whether what plugins say beforehand is what they do, also those that inherit it."""
    mapper, programmer = config.mapper, config.programmer
    if mapper is None or not speaks_of(type(mapper), "two_parts", "map"):
        return False
    if programmer is None or not programmer.is_exact:
        return False
    writes = speaks_of(type(programmer), "is_exact", "program")
    return writes and all(_is_of_steps(each) for each in effects.values())


def _is_of_steps(effect: NonIdeality) -> bool:
    """Whether its steps are all that an effect does to cells."""
    kind = type(effect)
    return speaks_of(kind, "steps", "bind") and kind.stuck_cells is NonIdeality.stuck_cells


def _info(config: CrossbarConfig, matrix: Tensor) -> ArrayInfo:
    """What effects are told of cells in the order of the weights."""
    groups, outputs, inputs = matrix.shape
    return ArrayInfo(
        arrays=groups,
        rows=outputs,
        cols=inputs,
        device=config.device,
        nominal=config.device,
        read_voltage=config.read_voltage,
    )


def _is_nominal(device: Memristor) -> bool:
    """Whether all cells of a device are alike."""
    values = [getattr(device, field.name) for field in dataclasses.fields(device)]  # type: ignore[arg-type]
    drawn = any(isinstance(value, Distribution | Tensor) for value in values)
    return not drawn and type(device).sample is Memristor.sample


def _path(step: cell_steps.CellStep) -> tuple[str, ...] | None:
    """Where a step draws, behind the stream that it was asked with; () for nowhere."""
    if not isinstance(step, cell_steps.Factor | cell_steps.Offset):
        return ()
    path, root = step.stream.path, len(_ASKED)
    return path[root:] if path[:root] == _ASKED and len(path) > root else None


def _step(step: cell_steps.CellStep) -> CellStep:
    """As the kernel takes it."""
    if isinstance(step, cell_steps.Nearest):
        kind = "nearest_inverse" if step.inverse else "nearest"
        return CellStep(kind, step.highest - step.lowest, step.states - 1, low=step.lowest)  # type: ignore[arg-type]
    if isinstance(step, cell_steps.Offset):
        return CellStep("offset", step.std, 0.0, least=0.0)
    assert isinstance(step, cell_steps.Factor)
    law, (low, high) = step.distribution, step.distribution.bounds
    least = -math.inf if law.min is None else law.min
    most = math.inf if law.max is None else law.max
    if isinstance(law, LogNormal):
        return CellStep("log_factor", law.sigma, law.median, low, high, least, most)
    return CellStep("factor", law.std, law.mean, low, high, least, most)
