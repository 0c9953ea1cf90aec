"""Why the accuracy is what it is: the ideal check and the error budget."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore._text import aligned
from memcore.contracts.layer import Layer
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError, NoEffectWarning
from memcore.nn.reconfigured import reconfigured
from memcore.nn.verbs import evaluating
from memcore.nn.walk import replace_module, require_layers, unique_matrices
from memcore.report.summary import device_effect, effects

Metric = Callable[[Tensor, Tensor], float]
Loader = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class IdealCheck:
    """Whether the arrays compute the network when nothing disturbs them.

    Args:
        error: largest difference of the outputs, relative to the largest output.
        layers: the same for each layer alone, given the digital network's inputs.
        tolerance: what counts as the same.
    """

    error: float
    layers: tuple[tuple[str, float], ...]
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the hardware computes the network."""
        return self.error <= self.tolerance

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "computes" if self.ok else "does NOT compute"
        lines = [
            f"with its effects off, the hardware {verdict} the network: relative error "
            f"{self.error:.2g}, tolerance {self.tolerance:.2g}"
        ]
        worst = sorted(self.layers, key=lambda entry: -entry[1])[:3]
        if not self.ok:
            lines += [f"  {name or '(the model)'}: {error:.2g}" for name, error in worst]
        return "\n".join(lines)


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
    """What each effect costs; `str()` is a table.

    Args:
        digital: the metric of the digital network.
        ideal: of the arrays with all effects off.
        actual: of the arrays as configured.
        effects: one entry for each configured effect.
        approximations: one entry for each configured effect that approximates another one.
    """

    digital: float
    ideal: float
    actual: float
    effects: tuple[Effect, ...]
    approximations: tuple[Approximation, ...] = ()

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
        return "\n".join([head, *aligned(rows), *notes])


def accuracy(output: Tensor, target: Tensor) -> float:
    """Share of the samples whose largest output is the target class."""
    return float((output.argmax(-1) == target).double().mean())


@torch.no_grad()
def check_ideal(model: nn.Module, x: Tensor, *, tolerance: float = 1e-4) -> IdealCheck:
    """Does the hardware, with its non-idealities off, still compute the network?

    If not, the mapping is at fault, not the devices.

    Args:
        model: a converted network.
        x: inputs of the network.
        tolerance: largest relative error to accept.
    """
    layers = require_layers(model)
    errors: dict[str, float] = {}

    def compare(name: str, ideal: Layer) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            del module
            # Not through the hooks of the layer, which both share and this one is among.
            error = _relative(ideal.forward(inputs[0]), output)
            errors[name] = max(errors.get(name, 0.0), error)

        return hook

    ideal = {name: _with_effects(layer, set()) for name, layer in layers.items()}
    with evaluating(model), _swapped(model, ideal) as arrays:
        actual = arrays(x)
    digital = {name: layer.digital() for name, layer in layers.items()}
    with evaluating(model), _swapped(model, digital) as network:
        handles = [
            digital[name].register_forward_hook(compare(name, layer), prepend=True)
            for name, layer in ideal.items()
        ]
        try:
            expected = network(x)
        finally:
            for handle in handles:
                handle.remove()
    return IdealCheck(_relative(actual, expected), tuple(errors.items()), tolerance)


@torch.no_grad()
def diagnose(model: nn.Module, loader: Loader, metric: Metric = accuracy) -> Diagnosis:
    """The error budget: what each configured effect costs, alone and when left out.

    Args:
        model: a converted network.
        loader: yields (inputs, targets); it is read several times.
        metric: `metric(outputs, targets)` of all samples; more is better.

    Raises:
        ConfigError: the loader yields something else, nothing, or only once.

    Warns:
        NoEffectWarning: names each configured effect that changed no output.
    """
    layers = require_layers(model)
    configs = [matrix.crossbar.config for matrix in unique_matrices(model)]
    names = list(dict.fromkeys(name for config in configs for name in effects(config)))

    def outputs(keep: set[str]) -> Tensor:
        variant = {name: _with_effects(layer, keep) for name, layer in layers.items()}
        with evaluating(model), _swapped(model, variant) as arrays:
            return _outputs(arrays, loader)

    def exactly(name: str) -> Approximation | None:
        variant = {key: _exactly(layer, name) for key, layer in layers.items()}
        if all(layer is None for layer in variant.values()):
            return None
        known = {key: layer or layers[key] for key, layer in variant.items()}
        with evaluating(model), _swapped(model, known) as arrays:
            found = _outputs(arrays, loader)
        error = float((found - actual).square().mean() / found.square().mean()) ** 0.5
        return Approximation(name, metric(found, targets), error)

    targets = _targets(loader)
    ideal, actual = outputs(set()), outputs(set(names))
    budget = []
    for name in names:
        alone, without = outputs({name}), outputs(set(names) - {name})
        acts = _differ(alone, ideal) or _differ(without, actual)
        budget.append(Effect(name, metric(alone, targets), metric(without, targets), acts))
    with evaluating(model), _swapped(model, {n: la.digital() for n, la in layers.items()}) as net:
        digital = _outputs(net, loader)
    _warn_of_idle(budget)
    return Diagnosis(
        metric(digital, targets),
        metric(ideal, targets),
        metric(actual, targets),
        tuple(budget),
        tuple(found for found in map(exactly, names) if found is not None),
    )


def _warn_of_idle(budget: Sequence[Effect]) -> None:
    for effect in budget:
        if not effect.acts:
            warnings.warn(
                f"{effect.name!r} is configured but changed no output; check its parameters",
                NoEffectWarning,
                stacklevel=4,
            )


def _with_effects(layer: Layer, keep: set[str]) -> Layer:
    """The same layer on the same chip, with only some of its effects."""

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        return config.replace(
            device=config.device if device_effect(config) in keep else config.device.nominal(),
            without=(*config.without, *(name for name in config.effects if name not in keep)),
            dac=config.dac if "dac" in keep else None,
            adc=config.adc if "adc" in keep else None,
        )

    return reconfigured(layer, changed)


def _exactly(layer: Layer, name: str) -> Layer | None:
    """The same layer with the exact form of an effect, None if it has no approximate one."""
    acts = False

    def changed(config: CrossbarConfig) -> CrossbarConfig:
        nonlocal acts
        effect = config.effects.get(name)
        exact = None if effect is None else effect.exact()
        if exact is None:
            return config
        acts = True
        others = (exact if each is effect else each for each in config.nonidealities)
        return config.replace(nonidealities=tuple(others))

    exact = reconfigured(layer, changed)
    return exact if acts else None


@contextmanager
def _swapped(model: nn.Module, layers: Mapping[str, nn.Module]) -> Iterator[nn.Module]:
    """The model with other layers in some places, for a while."""
    before = {name: model.get_submodule(name) for name in layers}
    root = model
    try:
        for name, layer in layers.items():
            root = replace_module(root, name, layer)
        yield root
    finally:
        for name, layer in before.items():
            replace_module(model, name, layer)


def _targets(loader: object) -> Tensor:
    """All targets, of a loader that can be read again."""
    expected = "expected batches (inputs, targets), as a DataLoader or a list such as [(x, y)]"
    if isinstance(loader, Tensor) or not isinstance(loader, Iterable):
        raise ConfigError(f"the loader is {type(loader).__name__}; {expected}")
    if iter(loader) is loader:
        raise ConfigError("the loader can be read once only; expected list(loader)")
    targets = []
    for index, batch in enumerate(loader):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            found = (
                f"{len(batch)} parts" if isinstance(batch, list | tuple) else type(batch).__name__
            )
            raise ConfigError(f"batch {index} of the loader is {found}; {expected}")
        targets.append(batch[1])
    if not targets:
        raise ConfigError(f"the loader has no batches; {expected}")
    return torch.cat(targets)


def _outputs(model: nn.Module, loader: Loader) -> Tensor:
    return torch.cat([model(inputs) for inputs, _ in loader])


def _differ(one: Tensor, other: Tensor) -> bool:
    """Whether outputs differ by more than two ways of summation do."""
    return not _relative(one, other) <= 100 * torch.finfo(other.dtype).eps


def _relative(actual: Tensor, expected: Tensor) -> float:
    largest = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((actual - expected).abs().max() / largest)
