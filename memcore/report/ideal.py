"""`check_ideal`: do the arrays compute the network when nothing disturbs them?"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Layer
from memcore.errors import ConfigError
from memcore.nn.bypass import warn_of_bypass, watched
from memcore.nn.feeding import Forward, run, tensors
from memcore.nn.verbs import evaluating
from memcore.nn.walk import require_layers
from memcore.report.chip import called, stale_matrices, warn_of_stale, warn_of_unread
from memcore.report.variants import swapped, with_effects

#: Relative error that rounding of weights, conductances and sums makes, by dtype.
_TOLERANCES = {torch.float64: 1e-4, torch.float32: 1e-4, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class IdealCheck:
    """Whether the arrays compute the network when nothing disturbs them.

    Args:
        error: largest difference of the outputs, relative to the largest output.
        layers: the same for each layer alone, given the digital network's inputs.
        tolerance: what counts as the same.
        stale: matrices whose cells were written from other weights than the parameters hold now.
        unread: layers that the network did not call: their arrays do nothing.
        bypassed: layers that the network calls, but by whose weights it also multiplies elsewhere.
    """

    error: float
    layers: tuple[tuple[str, float], ...]
    tolerance: float
    stale: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    bypassed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the hardware computes the network that its parameters describe."""
        return self.error <= self.tolerance and not self.stale

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "computes" if self.ok else "does NOT compute"
        lines = [
            f"with its effects off, the hardware {verdict} the network: relative error "
            f"{self.error:.2g}, tolerance {self.tolerance:.2g}"
        ]
        worst = sorted(self.layers, key=lambda entry: -entry[1])[:3]
        if self.error > self.tolerance:
            lines += [f"  {name or '(the model)'}: {error:.2g}" for name, error in worst]
        if self.stale:
            lines.append(f"cells of other weights than the parameters: {_listed(self.stale)}")
        if self.unread:
            lines.append(f"arrays that nothing read: {_listed(self.unread)}")
        if self.bypassed:
            lines.append(f"weights multiplied past their arrays: {_listed(self.bypassed)}")
        return "\n".join(lines)


@torch.no_grad()
def check_ideal(
    model: nn.Module,
    x: Any,
    *,
    tolerance: float | None = None,
    forward: Forward | None = None,
) -> IdealCheck:
    """Does the hardware, with its non-idealities off, still compute the network?

    If not, the mapping is at fault, not the devices, or the parameters have changed since the
    cells were written.

    Args:
        model: a converted network.
        x: inputs of the network: a tensor, a tuple of several, or a mapping by keywords.
        tolerance: largest relative error to accept; by default what rounding makes of the dtype.
        forward: `forward(model, x)`, where the network is called in another way.

    Warns:
        NoEffectWarning: the network reads past a layer, whose arrays then do nothing, or
            multiplies by its weight past its arrays.
    """
    layers = require_layers(model)
    stale = stale_matrices(model)
    errors: dict[str, float] = {}
    ideal = {name: with_effects(layer, set()) for name, layer in layers.items()}
    with evaluating(model), swapped(model, ideal) as arrays, watched(arrays) as past:
        actual = tensors(run(arrays, x, forward))
    digital = {name: layer.digital() for name, layer in layers.items()}
    with evaluating(model), swapped(model, digital) as network:
        handles = [
            digital[name].register_forward_hook(
                _comparing(name, layer, errors), prepend=True, with_kwargs=True
            )
            for name, layer in ideal.items()
        ]
        try:
            with called(digital) as names:
                expected = tensors(run(network, x, forward))
        finally:
            for handle in handles:
                handle.remove()
    if not expected:
        raise ConfigError(
            "the outputs hold no floating-point tensor; expected some, alone, in a tuple or in a "
            "mapping"
        )
    unread = tuple(name for name in layers if name not in names)
    warn_of_unread(unread)
    warn_of_stale(stale)
    bypassed = tuple(name for name in past if name not in unread)
    warn_of_bypass(bypassed)
    pairs = zip(actual, expected, strict=True)
    error = max(relative(one, other) for one, other in pairs)
    if tolerance is None:
        tolerance = max(_TOLERANCES.get(output.dtype, 1e-4) for output in expected)
    return IdealCheck(error, tuple(errors.items()), tolerance, stale, unread, bypassed)


def _comparing(name: str, ideal: Layer, errors: dict[str, float]) -> Callable[..., None]:
    def hook(
        module: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any], output: Any
    ) -> None:
        del module
        # Not through the hooks of the layer, which both share and this one is among.
        actual = tensors(ideal.forward(*inputs, **named))
        pairs = zip(actual, tensors(output), strict=True)
        worst = max((relative(one, other) for one, other in pairs), default=0.0)
        errors[name] = max(errors.get(name, 0.0), worst)

    return hook


def relative(actual: Tensor, expected: Tensor) -> float:
    """The largest difference relative to the largest value expected; 0 for empty tensors."""
    if not expected.numel():
        return 0.0
    largest = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((actual - expected).abs().max() / largest)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(name or "(the model)" for name in names)
