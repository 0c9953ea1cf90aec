"""Why the accuracy is what it is: the error budget."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from memcore._text import aligned, shown
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
from memcore.report.ideal import relative
from memcore.report.summary import effects
from memcore.report.variants import swapped, with_effects, with_exact

#: Share of clipped values from which it is shown.
_SHOWN = 1e-3

Metric = Callable[[Any, Any], float]
Loader = Iterable[tuple[Any, Any]]


@dataclass(frozen=True)
class Effect:
    """One line of an error budget.

    Args:
        name: of the effect.
        alone: the metric with this effect only.
        without: the metric with all others.
        acts: whether it changed any output, beyond rounding.
    """

    name: str
    alone: float
    without: float
    acts: bool


@dataclass(frozen=True)
class Approximation:
    """How far an approximate effect is from the exact one.

    Args:
        name: of the effect.
        exact: the metric with the exact effect in its place.
        error: root mean square of the difference of the outputs, relative to that of the outputs.
    """

    name: str
    exact: float
    error: float


@dataclass(frozen=True)
class Diagnosis:
    """What each effect costs, and each component; `str()` is a table.

    Args:
        digital: the metric of the digital network.
        ideal: of the arrays with all effects off.
        actual: of the arrays as configured.
        effects: one entry for each configured effect.
        approximations: one entry for each configured effect that approximates another one.
        clipped: share of the values that converters clip, by the name of the matrix and "DAC" or
            "ADC", of the chip in hand.
        costs: what reading all batches costs by component; None if it is not known.
        unpriced: why it is not known; "" if nobody asked.
    """

    digital: float
    ideal: float
    actual: float
    effects: tuple[Effect, ...]
    approximations: tuple[Approximation, ...] = ()
    clipped: Mapping[tuple[str, str], float] = field(default_factory=dict)
    costs: CostReport | None = None
    unpriced: str = ""

    def __str__(self) -> str:
        rows = [("effect", "alone", "cost alone", "left out", "gain left out", "")]
        for effect in self.effects:
            rows.append(
                (
                    effect.name,
                    f"{effect.alone:.4g}",
                    f"{self.ideal - effect.alone:+.4g}",
                    f"{effect.without:.4g}",
                    f"{effect.without - self.actual:+.4g}",
                    "" if effect.acts else "changed nothing",
                )
            )
        head = (
            f"digital {self.digital:.4g}, ideal arrays {self.ideal:.4g}, "
            f"as configured {self.actual:.4g}"
        )
        notes = [
            f"{each.name} approximates: solved exactly, outputs differ by {100 * each.error:.2g} % "
            f"(root mean square) and the metric is {each.exact:.4g}"
            for each in self.approximations
        ]
        clips = [
            f"the {kind} of {name or 'the model'} clips {100 * share:.3g} % of its values"
            for (name, kind), share in self.clipped.items()
            if share > _SHOWN
        ]
        return "\n".join([head, *aligned(rows), *notes, *clips, *self._costs()])

    def _costs(self) -> Iterator[str]:
        if self.costs is not None:
            yield from ("", *self.costs.by_component())
        elif self.unpriced:
            yield f"no costs are known: {self.unpriced}"


def accuracy(output: Tensor, target: Tensor) -> float:
    """Share of the samples whose largest output is the target class."""
    return float((output.argmax(-1) == target).double().mean())


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
    writings = Writings()
    stale = stale_matrices(model, writings)
    if metric is not None and not callable(metric):
        raise ConfigError(f"metric={shown(metric)}; expected a function (outputs, targets)")
    configs = [matrix.crossbar.config for matrix in unique_matrices(model)]
    names = list(dict.fromkeys(name for config in configs for name in effects(config)))
    batches, targets = _read(loader)
    judge = _judge(metric, targets)

    def evaluated(variant: Mapping[str, nn.Module]) -> Any:
        with evaluating(model), swapped(model, variant) as arrays:
            return joined([run(arrays, inputs, forward) for inputs in batches])

    seen: dict[frozenset[str], Any] = {}

    def outputs(keep: frozenset[str]) -> Any:
        if keep not in seen:
            variant = {name: with_effects(each, keep, writings) for name, each in layers.items()}
            found = evaluated(variant)
            if len(names) > 2 and keep:  # of three effects and more, no other line asks for it
                return found
            seen[keep] = found
        return seen[keep]

    with called(layers) as used, reads_unused(model):
        actual = evaluated(layers)
    ideal = outputs(frozenset())
    budget = []
    for name in names:
        alone, without = outputs(frozenset({name})), outputs(frozenset(names) - {name})
        acts = _differ(alone, ideal) or _differ(without, actual)
        budget.append(Effect(name, judge(alone), judge(without), acts))
    digital = evaluated({name: layer.digital() for name, layer in layers.items()})
    exact = ((name, _exactly(layers, name)) for name in names)
    approximations = tuple(
        _approximation(name, judge, evaluated(variant), actual)
        for name, variant in exact
        if variant is not None
    )
    with evaluating(model), swapped(model, copy.deepcopy(layers)) as arrays:
        shares = clipped(arrays, lambda: [run(arrays, inputs, forward) for inputs in batches])
        warn_of_clipping(arrays)
        costs, unpriced = _priced(arrays, batches, forward, pricing)
    _warn_of_idle(budget)
    warn_of_unread([name for name in layers if name not in used])
    warn_of_stale(stale)
    return Diagnosis(
        judge(digital),
        judge(ideal),
        judge(actual),
        tuple(budget),
        approximations,
        shares,
        costs,
        unpriced,
    )


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


def _read(loader: object) -> tuple[list[Any], Any]:
    """The inputs of all batches, and all targets."""
    expected = "expected batches (inputs, targets), as a DataLoader or a list such as [(x, y)]"
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise ConfigError(f"the loader is {type(loader).__name__}; {expected}")
    batches, targets = [], []
    for index, batch in enumerate(loader):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            what = (
                f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
            )
            raise ConfigError(f"batch {index} of the loader is {what}; {expected}")
        batches.append(batch[0])
        targets.append(batch[1])
    if not batches:
        raise ConfigError(f"the loader has no batches; {expected}")
    return batches, joined(targets)


def _judge(metric: Metric | None, targets: Any) -> Callable[[Any], float]:
    if metric is not None:
        return lambda outputs: float(metric(outputs, targets))
    if not isinstance(targets, Tensor) or targets.is_floating_point():
        kind = targets.dtype if isinstance(targets, Tensor) else type(targets).__name__
        raise ConfigError(
            f"targets are {kind}, which accuracy cannot judge; expected classes as integers, or "
            "metric=f with f(outputs, targets), more being better"
        )
    return lambda outputs: accuracy(_logits(outputs), targets)


def _logits(outputs: Any) -> Tensor:
    """The scores of the classes, of a network whose outputs may have more parts."""
    if isinstance(outputs, Tensor):
        return outputs
    if isinstance(outputs, Mapping) and isinstance(outputs.get("logits"), Tensor):
        logits: Tensor = outputs["logits"]
        return logits
    raise ConfigError(
        f"the outputs are a {type(outputs).__name__}; expected a tensor, a mapping with 'logits', "
        "or metric=f with f(outputs, targets)"
    )


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
