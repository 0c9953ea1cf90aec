"""The simulated clock of one layer's arrays: how long, how hot, how often switched and read."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.contracts.forms import Count
from memcore.contracts.units import KELVIN, MOST_KELVIN
from memcore.errors import ConfigError
from memcore.ops.surrogate import for_training

_COUNTS: tuple[Count, ...] = get_args(Count)


class Clock(nn.Module):
    """What an array has lived through, one row for each temperature.

    Attributes:
        segments: [n, 4], float64: temperature in K, and what passed at it: seconds and reads since
            the last write, and write cycles ever.
    """

    segments: Tensor

    def __init__(self, device: torch.device | None = None) -> None:
        super().__init__()
        self.register_buffer("segments", torch.zeros(0, 4, dtype=torch.float64, device=device))

    @property
    def seconds(self) -> Tensor:
        """How long ago the last write was."""
        return self.segments[:, 1].sum()

    @property
    def has_moved(self) -> bool:
        """Whether time or reads have passed since the last write."""
        return bool(self.segments[:, 1::2].any())

    def elapsed(
        self, count: Count, acceleration: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """All that passed of one kind, each segment times the acceleration at its temperature."""
        if count not in _COUNTS:
            raise ConfigError(f"clock={count!r}; expected one of {', '.join(_COUNTS)}")
        passed = self.segments[:, 1 + _COUNTS.index(count)]
        if acceleration is not None:
            passed = passed * acceleration(self.segments[:, 0])
        return passed.sum(-1)

    def advance(self, temperature: float, **passed: float) -> None:
        """Let some of each kind pass at `temperature` K.

        Raises:
            ConfigError: what should be a number is none, or it is negative, infinite or NaN.
        """
        temperature = _check.number(
            "temperature", temperature, unit="K", above=0, largest=MOST_KELVIN, remedy=KELVIN
        )
        new = [_check.number(count, passed.get(count, 0.0), at_least=0) for count in _COUNTS]
        rows = self.segments.tolist()
        same = [row for row in rows if row[0] == temperature]
        for row in same:
            row[1:] = [before + more for before, more in zip(row[1:], new, strict=True)]
        self.segments = self.segments.new_tensor(rows if same else [*rows, [temperature, *new]])

    def rewrite(self, temperature: float) -> None:
        """The cells are written again: time and reads count from now on, and it wears them."""
        self.segments = self.segments * self.segments.new_tensor([1.0, 0.0, 1.0, 0.0])
        self.advance(temperature, cycles=1.0)

    def _apply(self, fn: Any, recurse: bool = True) -> "Clock":
        del recurse
        # model.float() and model.bfloat16() leave the clock alone: years are counted in seconds.
        self.segments = self.segments.to(fn(self.segments).device)
        return self

    def prepare(self, state: dict[str, Tensor], prefix: str) -> None:
        """Refuse a state that no clock has.

        Raises:
            ConfigError: it has one.
        """
        kept = state.get(f"{prefix}segments")
        if isinstance(kept, Tensor):
            _require_life(kept, f"{prefix}segments")

    @for_training
    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        self.prepare(state_dict, prefix)
        kept = state_dict.get(f"{prefix}segments")
        if isinstance(kept, Tensor):  # another life may have had other temperatures
            self.segments = self.segments.new_zeros(kept.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _require_life(segments: Tensor, name: str) -> None:
    """Refuse what no clock shows."""
    if segments.is_meta:
        return
    fits = segments.dim() == 2 and segments.shape[1] == 1 + len(_COUNTS)
    if fits and bool(segments.isfinite().all() & (segments >= 0).all()):
        fits = bool((segments[:, 0] > 0).all())
    elif fits:
        fits = False
    if not fits:
        raise ConfigError(
            f"{name} of the state is no clock; expected [n, {1 + len(_COUNTS)}]: temperatures "
            "in K, above 0, and for each seconds, cycles and reads, finite and not negative: look "
            "at what saved it"
        )
