"""Devices that identical pulses program: many pulses at once, their noise, and the bounds.

A model says what one pulse does and where any number of them leads; everything else is here. With
noise, n pulses are one draw that has the distribution of n single ones:

- noise in proportion to the step makes the number of pulses random, n + c2c sqrt(n) N(0, 1), plus
  what the curvature of the step adds on average (Ito's term);
- noise that does not know the step adds up to c2c sqrt(n), less what the steps themselves correct
  on the way;
- a path of pulses that would leave the window stops at its end and may come back, so what it loses
  there is drawn as well, from the law of the maximum of a Brownian bridge (with the correction for
  discrete steps of Broadie, Glasserman and Kou, Math. Finance 7:325, 1997).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.parameters import Parameter, parameter
from memcore.contracts.records import Context
from memcore.errors import ConfigError
from memcore.modelling.state import as_state, between, filled, fraction, nonzero, tensor
from memcore.modelling.trains import added, jumps, reflected

_MOST: Final = 1e15  #: pulses; more change nothing and overflow in single precision
FORWARD: Final = 0.3  #: up to this c2c, practically all pulses move in their direction
_REACHED: Final = 1 - 1e-6  #: an amplitude counts as reached in spite of rounding


@dataclass(frozen=True, kw_only=True)
class Pulsed(Memristor):
    """A position w between two ends, moved by pulses of which only sign and number count.

    A subclass says what a pulse adds (`change`) and where a number of pulses leads (`flow`), and
    perhaps between which `ends`, with which noise, and which conductance a position has:

    For example::

        @dataclass(frozen=True, kw_only=True)
        class Halving(Pulsed):  # each pulse goes a tenth of the way that is left
            r_on: Parameter = parameter(1e4, "ohm", "lowest resistance", above=0, below="r_off")
            r_off: Parameter = parameter(1e6, "ohm", "highest resistance")

            def change(self, w, up):
                return 0.1 * (up.to(w) - w)

            def flow(self, w, up, count):
                return up + (w - up.to(w)) * 0.9**count

    Positions w, directions `up` (bool) and numbers of pulses are [*cells]. The state is
    x = (w - low) / (high - low), [1, *cells]; with write noise it has a second variable, by which
    what is read differs from x.
    """

    programmer = "open_loop"
    singles: ClassVar[int] = 0  #: pulses computed one by one before the others are taken at once
    #: Additive noise depends on where it acts: what part of the pulses left is taken at once.
    share: ClassVar[float] = 0.75

    v_set: float = parameter(
        1.0, "V", "amplitude of a SET pulse, whose sign is the polarity; a round number"
    )
    v_reset: float = parameter(
        -1.0, "V", "amplitude of a RESET pulse, of the opposite sign; a round number"
    )
    t_set: float = parameter(1e-7, "s", "duration of a SET pulse; a round number", above=0)
    t_reset: float = parameter(1e-7, "s", "duration of a RESET pulse; a round number", above=0)
    x0: Parameter = parameter(
        0.5, "1", "position of fresh cells, 0 at the lowest conductance", within=(0, 1)
    )
    c2c: float = parameter(
        0.0, "1", "cycle-to-cycle noise of a pulse, in the unit of the model", at_least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.v_set * self.v_reset < 0:
            raise ConfigError(
                f"{type(self).__name__}: v_set={self.v_set!r} and v_reset={self.v_reset!r}; "
                "expected two voltages of opposite signs: the sign tells a SET from a RESET"
            )

    # -- what a model says -------------------------------------------------------------------------

    def change(self, w: Tensor, up: Tensor) -> Tensor:
        """What the next pulse adds to w, without noise."""
        raise NotImplementedError

    def flow(self, w: Tensor, up: Tensor, count: Tensor) -> Tensor:
        """The position after any real number of pulses, negative ones too, as if without ends."""
        raise NotImplementedError

    @property
    def ends(self) -> tuple[Parameter, Parameter]:
        """The lowest and the highest position, 0 and 1 unless overridden."""
        return 0.0, 1.0

    @property
    def noisy(self) -> bool:
        """Whether pulses are noisy: by default, if c2c is above 0."""
        return self.c2c > 0

    @property
    def additive(self) -> bool:
        """Whether the noise of a pulse is `spread`; otherwise it is c2c times the step."""
        return False

    def spread(self, w: Tensor, up: Tensor) -> Tensor:
        """Standard deviation of a pulse with additive noise, in units of the position."""
        raise NotImplementedError

    @property
    def noise_of_update(self) -> float:
        """Standard deviation of one draw for all pulses of a call, in units of the position."""
        return 0.0

    @property
    def variables(self) -> int:
        """Number of variables of the state: 2 if what is read differs from x, else 1."""
        return 1

    @property
    def write_noise(self) -> Parameter:
        """Standard deviation of what is read about the position, in units of the position."""
        return 0.0

    @property
    def most_pulses(self) -> float:
        """A number of pulses beyond which more change nothing."""
        return _MOST

    def pulses_between(self, w: Tensor, end: Tensor, up: Tensor) -> Tensor:
        """How many pulses lead from w to `end`, negative if it lies behind; by quadrature."""
        middle, half = 0.5 * (w + end), 0.5 * (end - w)
        total = torch.zeros_like(w)
        for place, weight in ((-0.7745966692, 5 / 9), (0.0, 8 / 9), (0.7745966692, 5 / 9)):
            total = total + weight * half / nonzero(self.change(middle + place * half, up))
        return total

    def log_kept(self, w: Tensor, end: Tensor, up: Tensor, count: Tensor) -> Tensor:
        """Logarithm of the share of a deviation that a pulse leaves, the mean from w to `end`."""
        ratio = self._ratio(w, end, up)
        return ratio.log() / count.clamp(min=1)

    # -- the contract ------------------------------------------------------------------------------

    @property
    def polarity(self) -> int:  # type: ignore[override]
        """The sign of `v_set`."""
        return 1 if self.v_set > 0 else -1

    @property
    def set_pulse(self) -> tuple[float, float]:  # type: ignore[override]
        """Amplitude and duration of a SET pulse."""
        return self.v_set, self.t_set

    @property
    def reset_pulse(self) -> tuple[float, float]:  # type: ignore[override]
        """Amplitude and duration of a RESET pulse."""
        return self.v_reset, self.t_reset

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        up, down = (min(dt / t, _MOST) for t in (self.t_set, self.t_reset))
        push = voltage * self.polarity
        sets = (push >= abs(self.v_set) * _REACHED).to(state.dtype)
        resets = (push <= -abs(self.v_reset) * _REACHED).to(state.dtype)
        return self.moved(state, up * sets - down * resets, max(up, down), ctx)

    def pulses(self, state: Tensor, count: Tensor, ctx: Context) -> Tensor:
        count = (count.to(state.dtype) + torch.zeros_like(state[0])).clamp(-_MOST, _MOST)
        unknown = count.is_meta or torch.compiler.is_compiling()
        most = math.inf if unknown else float(count.abs().max()) if count.numel() else 0.0
        return self.moved(state, count, most, ctx)

    def initial_state(self, shape: Sequence[int], ctx: Context) -> Tensor:
        return self._with_noise(filled(shape, self.x0, ctx)[0])

    def conductance(self, state: Tensor) -> Tensor:
        low, high = (tensor(end, state) for end in self.conductance_range())
        return low + (high - low) * self._read(state)

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = (tensor(end, conductance) for end in self.conductance_range())
        return self._with_noise(fraction(conductance, low, high))

    def position(self, state: Tensor) -> Tensor:
        """The position as it is read, [*cells]."""
        low, high = self.ends
        return low + (high - low) * self._read(state)

    def state_at(self, w: Tensor) -> Tensor:
        """The state that reads `w`, or the nearest end."""
        return self._with_noise(fraction(w, *self.ends))

    def _read(self, state: Tensor) -> Tensor:
        """The state x as it is read."""
        return state[0] if self.variables == 1 else (state[0] + state[1]).clamp(0, 1)

    def _with_noise(self, x: Tensor) -> Tensor:
        return as_state(x, torch.zeros_like(x)) if self.variables == 2 else as_state(x)

    # -- pulses ------------------------------------------------------------------------------------

    def moved(self, state: Tensor, count: Tensor, most: float, ctx: Context) -> Tensor:
        """As `pulses`, for counts whose magnitudes are known.

        Args:
            state: [k, *cells].
            count: pulses [*cells], of the dtype of the state.
            most: no cell takes more; how the noise of many pulses is drawn depends on it.
            ctx: context of these pulses.
        """
        if (limit := self.most_pulses) < _MOST:
            count, most = count.clamp(-limit, limit), min(most, limit)
        x, up, number = state[0], count > 0, count.abs()
        low, high = self.ends
        w = low + (high - low) * x
        w = self._after(w, up, number, most, ctx)
        if self.noise_of_update:
            draw = ctx.random.normal(w.shape, device=w.device, dtype=w.dtype)
            w = between(w + self.noise_of_update * number.clamp(max=1) * draw, low, high)
        x = torch.where(count == 0, x, fraction(w, low, high))
        if self.variables == 1:
            return as_state(x)
        fresh = number.clamp(max=1)
        random = ctx.random.child("written") if self.noise_of_update else ctx.random
        noise = random.normal(x.shape, device=x.device, dtype=x.dtype) * self.write_noise
        return as_state(x, state[1] + fresh * (noise / (high - low) - state[1]))

    def cuts(self, most: float) -> tuple[bool, ...]:
        """How `moved` takes pulses of which no cell has more: whether each part is a single one."""
        parts = jumps(
            torch.zeros((), device="cpu"), min(most, self.most_pulses), *self._plan(), self.share
        )
        return tuple(single for _, single in parts)

    def _after(self, w: Tensor, up: Tensor, count: Tensor, most: float, ctx: Context) -> Tensor:
        """The positions after `count` pulses, part by part."""
        parts = jumps(count, most, *self._plan(), self.share)
        behind: list[tuple[Tensor, Tensor]] = []
        for part, (take, single) in enumerate(parts):
            after = between(self._jump(w, up, take, single, ctx, 3 * part + 1), *self.ends)
            if w.is_meta:  # of a recording: who takes no pulse of a part takes none of those behind
                behind.append((take > 0, w))
                w = after
            else:  # the same without keeping all parts in memory
                w = torch.where(take > 0, after, w)  # which spares cells without pulses
        for some, before in reversed(behind):
            w = torch.where(some, w, before)
        return w

    def _plan(self) -> tuple[int, int]:
        """How many single pulses and how many parts a call takes at most, besides the rest."""
        if not self.noisy:
            return self.singles, 0
        # The rest is 1/256: what happens at a bound is decided by the last pulses.
        parts = round(math.log(256) / -math.log1p(-self.share)) if self.additive else 0
        return max(self.singles, 1), parts

    def _jump(
        self, w: Tensor, up: Tensor, count: Tensor, single: bool, ctx: Context, key: int
    ) -> Tensor:
        exact = single and (self.singles > 0 or self.noisy)
        if not self.noisy:
            return w + count * self.change(w, up) if exact else self.flow(w, up, count)
        noise = self._noise(w, count, ctx, key)
        if exact:
            return self._single(w, up, count, noise)
        if not self.additive and self.c2c <= FORWARD:
            return self.flow(w, up, self._random_count(w, up, count, noise))
        rounds = (key + 1, key + 2)
        draws = [
            ctx.random.uniform(w.shape, round=r, device=w.device, dtype=w.dtype) for r in rounds
        ]
        jump = self._additive if self.additive else self._multiplicative
        return jump(w, up, count, noise, torch.stack(draws))

    def _noise(self, w: Tensor, count: Tensor, ctx: Context, key: int) -> Tensor:
        """What as many pulses draw, in units of one; a fraction of a pulse has its fraction."""
        drawn = ctx.random.normal(w.shape, round=key, device=w.device, dtype=w.dtype)
        return drawn * torch.minimum(count, count.sqrt())

    def _single(self, w: Tensor, up: Tensor, count: Tensor, noise: Tensor) -> Tensor:
        change = self.change(w, up)
        size = self.spread(w, up) if self.additive else self.c2c * change
        return w + count * change + noise * size

    def _random_count(self, w: Tensor, up: Tensor, count: Tensor, noise: Tensor) -> Tensor:
        """The pulses that noise in proportion to the step makes of `count`."""
        end = between(self.flow(w, up, count), *self.ends)
        return count + self.c2c * noise - 0.5 * self.c2c**2 * self._ratio(w, end, up).log()

    def _multiplicative(
        self, w: Tensor, up: Tensor, count: Tensor, noise: Tensor, draws: Tensor
    ) -> Tensor:
        low, high = (tensor(end, w) for end in self.ends)
        ahead = self.pulses_between(w, torch.where(up, high, low), up)
        behind = self.pulses_between(w, torch.where(up, low, high), up)
        shift = self._random_count(w, up, count, noise)
        variance = self.c2c**2 * count
        shift = reflected(shift, variance, count, ahead.clamp(min=0), -behind.clamp(max=0), draws)
        return self.flow(w, up, shift)

    def _additive(
        self, w: Tensor, up: Tensor, count: Tensor, noise: Tensor, draws: Tensor
    ) -> Tensor:
        low, high = (tensor(end, w) for end in self.ends)
        far = 10 * (high - low)
        end = torch.clamp(self.flow(w, up, count), low - far, high + far)
        variance = self.spread(w, up).square() * added(count, self.log_kept(w, end, up, count))
        variance = torch.where(count > 0, torch.minimum(variance, far.square()), 0)
        shift = end - w + noise * (variance / nonzero(count)).sqrt()
        return w + reflected(shift, variance, count, high - w, w - low, draws)

    def _ratio(self, w: Tensor, end: Tensor, up: Tensor) -> Tensor:
        """The step at `end` as a share of that at `w`."""
        before, after = self.change(w, up).abs(), self.change(end, up).abs()
        return torch.where(before > 0, after / nonzero(before), 1).clamp(1e-6, 1e6)
