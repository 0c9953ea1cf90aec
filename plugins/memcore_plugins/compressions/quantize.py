"""Weights of few values, as the cells have them or of a number of bits."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from memcore import ArraySettings, Compressed, CompressionPass, ConfigError, parameter
from memcore.compression import nearest_levels, prunable, states


@dataclass(frozen=True, kw_only=True)
class Quantize(CompressionPass):
    """Each weight becomes the nearest that its cells can hold, zeros staying zero.

    Without `bits` the weights take the way of the configuration: its mapper, which may round, and
    the states that `finite_states` gives to cells. With `bits` they become multiples of
    `max |w| / (2^(b-1) - 1)` in each layer. With `epochs`, training goes on with rounded weights,
    gradients passing straight through; with `memcore.compress(distil=...)` it listens to the
    network before.
    """

    bits: int | None = parameter(
        None, "1", "bits of a weight, its sign among them; None for the states of the cells"
    )
    epochs: int = parameter(0, "1", "epochs of training with rounded weights", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits is not None and not 2 <= self.bits <= 24:
            raise ConfigError(f"Quantize: bits={self.bits!r}; expected 2 to 24, or None")

    def prepare(
        self, model: nn.Module, config: ArraySettings, inputs: Iterable[Any] | None
    ) -> nn.Module:
        del inputs
        self._require_states(config)
        state = _Names()
        for name, module in prunable(model).items():
            weight = cast(Tensor, module.weight)
            rounded = _Rounded(self.bits, config, weight.detach() != 0)
            parametrize.register_parametrization(module, "weight", rounded)
            state.names.append(name)
        return state

    def finalize(self, model: nn.Module, state: nn.Module) -> Compressed:
        notes = {}
        for name in cast(_Names, state).names:
            module = model.get_submodule(name)
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
            weight = cast(Tensor, module.weight)
            notes[name] = f"{len(torch.unique(weight.detach()))} values"
        return Compressed(model=model, notes=notes)

    def _require_states(self, config: ArraySettings) -> None:
        if self.bits is None:
            nearest_levels(
                torch.ones(1, 1, 1, device="cpu"), config
            )  # which refuses cells of any state
            return
        there = states(config)
        if there is not None and 2 ** (self.bits - 1) > there:
            raise ConfigError(
                f"Quantize: bits={self.bits} wants {2 ** (self.bits - 1)} magnitudes, but a cell "
                f"has {there} states; expected bits=None for the states of the cells"
            )


class _Names(nn.Module):
    """Which layers are rounded; the weights themselves are in the network."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []


class _Rounded(nn.Module):
    """The weights that cells can hold, gradients passing straight through."""

    present: Tensor  #: which weights there are; those that were zero stay so

    def __init__(self, bits: int | None, config: ArraySettings, present: Tensor) -> None:
        super().__init__()
        self.bits, self.config = bits, config
        self.register_buffer("present", present)

    def forward(self, weight: Tensor) -> Tensor:
        with torch.no_grad():
            weight = weight * self.present
            if self.bits is None:
                rounded = nearest_levels(weight.flatten(1).unsqueeze(0), self.config)
            else:
                step = weight.abs().max() / (2 ** (self.bits - 1) - 1)
                rounded = torch.where(step > 0, (weight / step).round() * step, weight)
            rounded = rounded.view_as(weight)
        if not torch.is_grad_enabled():
            return rounded
        return weight + (rounded - weight).detach()

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight
