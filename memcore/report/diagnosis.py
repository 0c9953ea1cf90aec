"""Why the accuracy is what it is: `diagnose` writes the error budget of a chip."""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from memcore._text import shown
from memcore.contracts.layer import Layer
from memcore.crossbar.writings import Writings
from memcore.errors import ConfigError, MemcoreError, NoEffectWarning, warn
from memcore.nn.clipping import clipped, warn_of_clipping
from memcore.nn.feeding import Forward, joined, run, tensors
from memcore.nn.verbs import evaluating
from memcore.nn.walk import require_layers, unique_matrices
from memcore.registry.specs import PluginSpec, plugin
from memcore.report.chip import called, reads_unused, stale_matrices, warn_of_stale, warn_of_unread
from memcore.report.cost import cost as priced
from memcore.report.cost_report import CostReport
from memcore.report.error_budget import Approximation, Diagnosis, Effect
from memcore.report.ideal import relative
from memcore.report.judged import Metric, batches_of, judging
from memcore.report.summary import effects
from memcore.report.variants import swapped, with_effects, with_exact

Loader = Iterable[tuple[Any, Any]]


@torch.no_grad()
def diagnose(
    model: nn.Module,
    loader: Loader,
    metric: Metric | None = None,
    *,
    forward: Forward | None = None,
    cost: PluginSpec | None = "components",
) -> Diagnosis:
    """The error budget: what each configured effect costs, alone and when left out.

    Beside it stands what each component of the arrays costs in energy, time and area.

    The loader is read once and its batches are kept, so that it may shuffle. "As configured" is
    the chip in hand; the others are the same chip with some of its effects.

    Args:
        model: a converted network.
        loader: batches (inputs, targets); inputs may be a tensor, a tuple or a mapping.
        metric: `metric(outputs, targets)` of all samples, more is better; accuracy by default.
        forward: `forward(model, inputs)`, where the network is called in another way.
        cost: cost model for energy, time and area; None for no costs. What it cannot price is said
            in the result and is no error.

    Raises:
        UnknownPluginError: there is no such cost model.
        ConfigError: the loader yields something else or nothing, or the metric does not fit.

    Warns:
        NoEffectWarning: names each configured effect that changed no output, and each layer that
            the network reads past.
        StaleCellsWarning: the parameters have changed since the cells were written.
    """
    layers = require_layers(model)
    pricing = None if cost is None else plugin("costs", cost)
    chip = _Chip(model, layers, forward)
    stale = stale_matrices(model, chip.writings)
    if metric is not None and not callable(metric):
        raise ConfigError(f"metric={shown(metric)}; expected a function (outputs, targets)")
    chip.batches, targets = batches_of(loader)
    judge = judging(metric, targets)
    with called(layers) as used, reads_unused(model):
        actual = chip.outputs(layers)
    ideal = chip.with_only(frozenset())
    budget = tuple(chip.budget(judge, ideal, actual))
    digital = chip.outputs({name: layer.digital() for name, layer in layers.items()})
    approximations = tuple(chip.approximations(judge, actual))
    shares, costs, unpriced = chip.clipped_and_priced(pricing)
    _warn_of_idle(budget)
    warn_of_unread([name for name in layers if name not in used])
    warn_of_stale(stale)
    return Diagnosis(
        digital=judge(digital),
        ideal=judge(ideal),
        actual=judge(actual),
        effects=budget,
        approximations=approximations,
        clipped=shares,
        costs=costs,
        unpriced=unpriced,
    )


class _Chip:
    """A chip, the batches that it is judged by, and what its variants make of them."""

    def __init__(
        self, model: nn.Module, layers: Mapping[str, Layer], forward: Forward | None
    ) -> None:
        self.model, self.layers, self.forward = model, layers, forward
        self.batches: list[Any] = []
        self.writings = Writings()
        configs = [matrix.crossbar.config for matrix in unique_matrices(model)]
        self.names = tuple(dict.fromkeys(name for config in configs for name in effects(config)))
        self._seen: dict[frozenset[str], Any] = {}

    def outputs(self, variant: Mapping[str, nn.Module]) -> Any:
        """The outputs of all batches, with other layers in the place of the chip's."""
        with evaluating(self.model), swapped(self.model, variant) as arrays:
            return joined([run(arrays, inputs, self.forward) for inputs in self.batches])

    def with_only(self, keep: frozenset[str]) -> Any:
        """The outputs of the same chip with some of its effects."""
        if keep in self._seen:
            return self._seen[keep]
        found = self.outputs(
            {name: with_effects(each, keep, self.writings) for name, each in self.layers.items()}
        )
        if len(self.names) <= 2 or not keep:  # of three effects and more, no other line asks again
            self._seen[keep] = found
        return found

    def budget(self, judge: Callable[[Any], float], ideal: Any, actual: Any) -> Iterable[Effect]:
        """What each effect does alone, and what all others do without it."""
        for name in self.names:
            alone = self.with_only(frozenset({name}))
            without = self.with_only(frozenset(self.names) - {name})
            acts = _differ(alone, ideal) or _differ(without, actual)
            yield Effect(name, judge(alone), judge(without), acts)

    def approximations(self, judge: Callable[[Any], float], actual: Any) -> Iterable[Approximation]:
        """How far each approximate effect is from the exact one."""
        for name in self.names:
            variant = _exactly(self.layers, name)
            if variant is not None:
                yield _approximation(name, judge, self.outputs(variant), actual)

    def clipped_and_priced(
        self, pricing: Any
    ) -> tuple[Mapping[tuple[str, str], float], CostReport | None, str]:
        """The shares that converters clip, and what the components cost or why it is not known."""
        with (
            evaluating(self.model),
            swapped(self.model, copy.deepcopy(self.layers)) as arrays,
        ):
            shares = clipped(
                arrays, lambda: [run(arrays, inputs, self.forward) for inputs in self.batches]
            )
            warn_of_clipping(arrays)
            return shares, *_priced(arrays, self.batches, self.forward, pricing)


def _priced(
    model: nn.Module, batches: list[Any], forward: Forward | None, spec: PluginSpec | None
) -> tuple[CostReport | None, str]:
    """What the components cost, or why that is not known."""
    if spec is None:
        return None, ""

    def as_before(network: nn.Module, pair: Any) -> Any:
        return run(network, pair[0], forward)

    try:
        # In pairs, so that a batch of several inputs is not taken for inputs and targets.
        pairs = [(inputs,) for inputs in batches]
        return priced(model, pairs, model=spec, forward=as_before), ""
    except MemcoreError as error:
        return None, str(error)


def _exactly(layers: Mapping[str, Layer], name: str) -> dict[str, nn.Module] | None:
    """All layers with the exact form of an effect, None if nothing approximates it."""
    exact = {key: with_exact(layer, name) for key, layer in layers.items()}
    if all(layer is None for layer in exact.values()):
        return None
    return {key: layer or layers[key] for key, layer in exact.items()}


def _approximation(
    name: str, judge: Callable[[Any], float], exact: Any, actual: Any
) -> Approximation:
    pairs = list(zip(tensors(exact), tensors(actual), strict=True))
    missed = sum(float((one - other).square().sum()) for one, other in pairs)
    whole = sum(float(one.square().sum()) for one, _ in pairs)
    return Approximation(name, judge(exact), (missed / whole) ** 0.5 if whole else 0.0)


def _warn_of_idle(budget: Sequence[Effect]) -> None:
    for effect in budget:
        if not effect.acts:
            warn(
                f"{effect.name!r} is configured but changed no output; check its parameters",
                NoEffectWarning,
            )


def _differ(one: Any, other: Any) -> bool:
    """Whether outputs differ by more than two ways of summation do."""
    pairs = zip(tensors(one), tensors(other), strict=True)
    return any(not relative(a, b) <= 100 * torch.finfo(b.dtype).eps for a, b in pairs)
