"""`Calibrated`: a converter together with the ranges that it was calibrated to."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.converter import Converter
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.lines import Lines
from memcore.contracts.records import Context
from memcore.contracts.sums import Sums
from memcore.contracts.transfer import Transfer
from memcore.crossbar import together
from memcore.crossbar.conversions import Conversions
from memcore.crossbar.states import complete_ranges
from memcore.errors import CalibrationWarning, ConfigError, ConversionError, warn
from memcore.random import Stream

#: Values that a range is taken from together.
_KEPT = 1 << 22


class Calibrated(nn.Module):
    """The inputs or the outputs of arrays; without a converter it passes values unchanged.

    Args:
        converter: the DAC or the ADC, None for none.
        ctx: handed to `Converter.bind`.
        like: gives dtype and device.
        lanes: for each leading index of the values, the lane whose range it has; one range for all
            values by default.
        parts: sizes of the parts of the last dimension of the values that have a range each, in
            place of lanes; () for one range.
        of_lanes: the converter of each lane, where lanes have some of their own; () where all have
            `converter`.
        lines: gives the bit lines of the values of each leading index; None for a DAC.
    """

    #: Lowest and highest value to represent, [lanes or parts, 2]; NaN where not known yet.
    range: Tensor

    def __init__(
        self,
        converter: Converter | None,
        ctx: Context,
        like: Tensor,
        lanes: tuple[int, ...] = (0,),
        *,
        parts: tuple[int, ...] = (),
        of_lanes: tuple[Converter, ...] = (),
        lines: Callable[[int], Lines] | None = None,
    ) -> None:
        super().__init__()
        self.converter = converter
        self.of_lanes = of_lanes
        self.lanes, self.parts, self.lines = lanes, parts, lines
        self._context = ctx
        self.form: nn.Module | None
        self.register_module("form", None)  # so that `bind` replaces it at once
        #: Whether training finds the range; calibration then leaves it alone.
        self.is_learned = False
        self._seen: list[Sample] = []
        ranges = len(parts) or 1 + max(lanes)
        self.register_buffer("range", like.new_full((ranges, 2), torch.nan))
        #: What `note` saw of each lane since `restart`.
        self.conversions: list[Conversions] = []
        self.restart()
        self.register_load_state_dict_pre_hook(complete_ranges)  # type: ignore[no-untyped-call]
        self.reset()

    @property
    def converters(self) -> list[Converter]:
        """The converter of each range; none without any."""
        if self.converter is None:
            return []
        return list(self.of_lanes) or [self.converter] * len(self.range)

    @property
    def is_ready(self) -> bool:
        """Whether values can be converted: there is a range, or nothing to convert."""
        return self.converter is None or self.form is not None

    @property
    def levels(self) -> list[UniformLevels] | None:
        """The form of each lane if all are uniform with one step, which kernels can fuse.

        Of inputs in parts there is one form, whose step differs from input to input.
        """
        if self.form is None or self._differs:
            return None
        forms = self.form.forms if isinstance(self.form, LaneForms) else [self.form]
        uniform = [form for form in forms if isinstance(form, UniformLevels)]
        fits = len(uniform) == len(forms) and all(
            (self.parts or form.step.numel() == 1) and not form.offset for form in uniform
        )
        return uniform if fits else None

    def forward(self, values: Tensor) -> Tensor:
        """What the converter makes of the values."""
        return values if self.form is None else self.form(values)

    def reset(self) -> None:
        """Forget the ranges, unless the converter has a fixed one or training finds it."""
        if self.is_learned:
            return
        self.range.fill_(torch.nan)
        self._seen = [Sample() for _ in self.range]
        self.observe(self.range.new_zeros(0, 0))
        self.bind()

    @property
    def is_fixed(self) -> bool:
        """Whether the range does not depend on values."""
        return self.is_learned or (self.converter is not None and all(self._fixed))

    @property
    def _fixed(self) -> list[bool]:
        """Of each range, whether its converter has it whatever the values."""
        nothing = self.range.new_zeros(0)
        return [converter.observe(nothing) is not None for converter in self.converters]

    def rescale(self, factor: float) -> None:
        """Express ranges that were observed in another unit."""
        if self.converter is None:
            return
        for low_high, is_fixed in zip(self.range, self._fixed, strict=True):
            low_high.mul_(1.0 if is_fixed else factor)

    def stretch(self, factor: float) -> None:
        """Multiply all ranges, which training finds from now on."""
        self.is_learned = True
        self.range.mul_(factor)
        self.bind()

    def observe(self, values: Tensor) -> None:
        """Widen the ranges to what the converter wants for these values too; `bind` uses them."""
        if self.is_learned:
            return
        for lane, converter in enumerate(self.converters):
            here, low_high = self._of_lane(values, lane), self.range[lane]
            if converter.of_all_values:
                here, _ = self._seen[lane].add(here), low_high.fill_(torch.nan)
            seen = converter.observe(here)
            if seen is not None:
                low_high[0] = torch.fmin(low_high[0], seen[0])
                low_high[1] = torch.fmax(low_high[1], seen[1])

    def join(self) -> None:
        """Let the ranges be those for what all processes that train together have observed."""
        if self.is_fixed:
            return
        for seen, low_high, converter, is_fixed in zip(
            self._seen, self.range, self.converters, self._fixed, strict=True
        ):
            if converter.of_all_values:
                found = converter.observe(together.of_all(seen.values(low_high)))
                low_high.copy_(low_high if found is None else found)
            elif not is_fixed:
                together.widen(low_high)

    def agree(self, gain: Tensor) -> None:
        """Let the converter relate the ranges of the lanes, whose gain is [lanes, ...]."""
        if self.converter is None or self.is_fixed or not self.range.isfinite().all():
            return
        weight = gain.abs().reshape(len(gain), -1).amax(1).to(self.range)
        if not self.of_lanes:
            self.range.copy_(self.converter.agree(self.range.clone(), weight))
            return
        fixed = torch.tensor(self._fixed, device=self.range.device).unsqueeze(1)
        steps, ranges = self._steps(), self.range.clone()
        for converter in {id(each): each for each in self.of_lanes}.values():
            ranges = converter.agree(ranges / steps, weight) * steps
        self.range.copy_(torch.where(fixed, self.range, ranges))

    def _steps(self) -> Tensor:
        """Steps from zero to the largest magnitude of each range, [lanes, 1], all signed or none.

        Converters of different bits relate these, as ranges of the same shape differ in them.
        """
        signed = bool((self.range[:, 0] < 0).any())
        peaks = self.range.abs().amax(1, keepdim=True)
        whole = torch.cat([-peaks if signed else torch.zeros_like(peaks), peaks], dim=1)
        pairs = list(zip(self.converters, whole, strict=True))
        forms = [self._bound_to(converter, each, self._context) for converter, each in pairs]
        counts = [
            max(abs(form.lo), abs(form.hi))
            if isinstance(form, UniformLevels)
            else 2.0 ** max(converter.resolution - signed, 1) - 1
            for form, (converter, _) in zip(forms, pairs, strict=True)
        ]
        return self.range.new_tensor(counts).unsqueeze(1)

    def note(self, values: Tensor) -> None:
        """Count how many of these values are clipped, and how well all are resolved."""
        if self.converter is None or self.form is None or not values.numel():
            return
        converted = self.form(values)
        for lane, (low, high) in enumerate(self.range):
            here, there = self._of_lane(values, lane), self._of_lane(converted, lane)
            self.conversions[lane].add(here, there, low, high)

    def restart(self) -> None:
        """Forget what `note` counted."""
        self.conversions = [Conversions() for _ in self.range]

    @property
    def clipped(self) -> float | None:
        """Share of the values beyond the range that `note` saw; None if it saw none."""
        count = sum(seen.count for seen in self.conversions)
        return sum(seen.beyond for seen in self.conversions) / count if count else None

    def follow(self, random: Stream) -> None:
        """Bind converters as the chip has them whose stream this is."""
        self._context = dataclasses.replace(self._context, random=random)

    def forget(self) -> None:
        """Drop the values that ranges were taken from."""
        self._seen = [Sample() for _ in self.range]

    def _of_lane(self, values: Tensor, lane: int) -> Tensor:
        if len(self.range) == 1 or not values.numel():
            return values
        if self.parts:
            return torch.split(values, list(self.parts), dim=-1)[lane]
        return values[[index for index, each in enumerate(self.lanes) if each == lane]]

    def bind(self) -> None:
        """Derive the forms from the ranges."""
        if self.converter is None or not self.range.isfinite().all():
            self.form = None
            return
        if self.converter.counts_open:  # one table, whatever the lane
            self.form = self._bound_to(self.converter, self.range[0], self._context)
            return
        if self._differs:
            forms = self._of_lines()
            lanes = tuple(range(len(forms)))
        else:
            forms, lanes = self._bound(self.range), self.lanes
        if self.parts:
            self.form = self._of_parts(self.converter, forms)
        else:
            self.form = forms[0] if len(forms) == 1 else LaneForms(forms, lanes)

    def require_levels(self, ranges: Tensor) -> None:
        """Refuse other ranges for which there are no levels; nothing is kept of them.

        Raises:
            ConfigError: a converter has none for one of them.
        """
        fits = ranges.shape == self.range.shape and bool(ranges.isfinite().all())
        if self.converter is None or not fits or self._differs or self.converter.counts_open:
            return
        self._bound(ranges.to(self.range))

    @property
    def _differs(self) -> bool:
        """Whether each leading index of the values has converters of its own."""
        return self.lines is not None and any(each.differs for each in self.converters)

    def _of_lines(self) -> list[nn.Module]:
        assert self.lines is not None
        forms, converters = [], self.converters
        for value, lane in enumerate(self.lanes):
            ctx = dataclasses.replace(self._context.child("lines", value), lines=self.lines(value))
            forms.append(self._bound_to(converters[lane], self.range[lane], ctx))
        return forms

    def _of_parts(self, converter: Converter, forms: list[nn.Module]) -> nn.Module:
        """One form for all inputs; the converters are all signed if those of one part are."""
        joined = joined_levels(forms, self.parts)
        if joined is None and all(isinstance(form, UniformLevels) for form in forms):
            peaks = self.range.abs().amax(1, keepdim=True)
            signed = self._bound(torch.cat([-peaks, peaks], dim=1))
            joined = joined_levels(signed, self.parts)
        if joined is None and any(isinstance(form, SerialLevels) for form in forms):
            raise ConfigError(
                f"{type(converter).__name__} applies digits, and their codes differ from one part "
                "of the inputs to the other; expected codes that no range changes, or a layer "
                "whose parts have arrays of their own"
            )
        return PartForms(forms, self.parts) if joined is None else joined

    @property
    def sums(self) -> Sums | None:
        """What is told of sums of one-bit cells, for a converter that counts open word lines.

        Raises:
            ConfigError: its form is something else.
        """
        if self.converter is None or not self.converter.counts_open or self.form is None:
            return None
        if not isinstance(self.form, Sums):
            raise ConfigError(
                f"{type(self.converter).__name__} counts open word lines, but binds "
                f"{type(self.form).__name__}; expected a Sums form"
            )
        return self.form

    @property
    def noises(self) -> tuple[tuple[Transfer, int] | None, ...]:
        """For each leading index, a form that draws noise and the key of its draws, or None.

        Empty if none draws any.
        """
        if isinstance(self.form, LaneForms):
            forms = [self.form.forms[lane] for lane in self.form.lanes]
        else:
            forms = [] if self.form is None else [self.form] * len(self.lanes)
        found = tuple(
            (form, self._context.random.key_of("conversion", value))
            if isinstance(form, Transfer) and form.is_noisy
            else None
            for value, form in enumerate(forms)
        )
        return found if any(found) else ()

    def _bound(self, ranges: Tensor) -> list[nn.Module]:
        ctx, pairs = self._context, zip(self.converters, ranges, strict=True)
        return [
            self._bound_to(converter, each, ctx if lane == 0 else ctx.child("lane", lane))
            for lane, (converter, each) in enumerate(pairs)
        ]

    def _bound_to(self, converter: Converter, low_high: Tensor, ctx: Context) -> nn.Module:
        form = converter.bind(low_high.clone(), ctx).to(self.range.device)
        _require_levels(form, converter)
        if self.lines is None:
            _require_quiet(form, converter)
        for module in form.modules():  # derived from the range, so no part of the state
            if isinstance(module, UniformLevels):
                module.step = module.step.to(self.range.dtype)
            for name, value in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, value, persistent=False)
        return form

    def extra_repr(self) -> str:
        """The converter and its ranges."""
        return f"{self.converter}, range={self.range.tolist()}"


class Sample:
    """Values of all batches together, of which quantiles are taken; thinned when they are many.

    Sorted values of which every second one is left have the same quantiles up to one rank, so the
    order of the batches and their size make no difference that shows.
    """

    def __init__(self) -> None:
        self._values: Tensor | None = None
        self._every = 1

    def add(self, values: Tensor) -> Tensor:
        """All values by now."""
        flat = values.flatten()
        if self._every > 1:
            flat = flat.sort().values[self._every // 2 :: self._every]
        whole = flat if self._values is None else torch.cat([self._values, flat])
        while whole.numel() > _KEPT:
            whole, self._every = whole.sort().values[::2], 2 * self._every
        self._values = whole
        return whole

    def values(self, like: Tensor) -> Tensor:
        """All values by now, as a tensor that is like another where there are none."""
        return like.new_zeros(0) if self._values is None else self._values


class LaneForms(nn.Module):
    """A form for each lane; values [parts or lanes, ...] have their lane first."""

    def __init__(self, forms: list[nn.Module], lanes: tuple[int, ...]) -> None:
        super().__init__()
        self.forms = nn.ModuleList(forms)
        self.lanes = lanes

    def forward(self, values: Tensor) -> Tensor:
        """What the converter of each lane makes of its values."""
        pairs = zip(values.unbind(0), self.lanes, strict=True)
        return torch.stack([self.forms[lane](each) for each, lane in pairs])


class PartForms(nn.Module):
    """A form for each part of the inputs; they lie one behind the other in the last dimension."""

    def __init__(self, forms: list[nn.Module], parts: tuple[int, ...]) -> None:
        super().__init__()
        self.forms = nn.ModuleList(forms)
        self.parts = parts

    def forward(self, values: Tensor) -> Tensor:
        """What the converter of each part makes of its values."""
        pairs = zip(self.forms, torch.split(values, list(self.parts), dim=-1), strict=True)
        return torch.cat([form(each) for form, each in pairs], dim=-1)


def joined_levels(forms: list[nn.Module], parts: tuple[int, ...]) -> UniformLevels | None:
    """Levels of all parts as one form with a step for each input; None if they differ in more."""
    uniform = [form for form in forms if isinstance(form, UniformLevels) and not form.offset]
    kinds = [(type(form), _settings(form)) for form in uniform]
    if len(uniform) != len(forms) or any(kind != kinds[0] for kind in kinds):
        return None
    steps = [form.step.expand(size) for form, size in zip(uniform, parts, strict=True)]
    joined = copy.copy(uniform[0])
    joined._buffers = dict(joined._buffers)
    joined.register_buffer("step", torch.cat(steps), persistent=False)
    return joined


def _settings(form: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(form).items() if not name.startswith("_")}


def _require_levels(form: nn.Module, converter: Converter) -> None:
    """Refuse levels that lie so close, or so far, that values between them are NaN."""
    if not isinstance(form, UniformLevels) or form.step.is_meta:
        return
    least = torch.finfo(form.step.dtype).tiny
    if bool((form.step.isfinite() & (form.step >= least)).all()):
        return
    raise ConfigError(
        f"the levels of {type(converter).__name__} are {form.step.flatten()[0].item():.3g} apart; "
        f"expected at least {least:.3g}: look at its full_scale and at the values it converts"
    )


def _require_quiet(form: nn.Module, converter: Converter) -> None:
    """Refuse noise of conversions that nobody draws."""
    if isinstance(form, Transfer) and form.is_noisy:
        raise ConfigError(
            f"{type(converter).__name__} as a DAC has noise, which is drawn for conversions of "
            "currents only; expected a DAC without noise, noise_std=0 say"
        )


def warn_uncalibrated(n: int, *, joins: bool = True) -> None:
    """Say that `n` reads, which nobody chose, set the ranges.

    Args:
        n: number of reads.
        joins: whether they are those of all processes that train together.
    """
    if torch.compiler.is_compiling():
        raise ConversionError(
            "converters have no range yet; expected ranges: call memcore.calibrate(model, inputs) "
            "before torch.compile"
        )
    parts = together.process()[1]
    whose = "" if joins or parts == 1 else f" of this process, one of {parts} that then differ"
    warn(
        f"converters take their ranges from the first batch ({n} reads){whose}; to choose the "
        "inputs, pass calibration= to memcore.convert or call memcore.calibrate",
        CalibrationWarning,
    )
