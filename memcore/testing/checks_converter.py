"""What every converter promises."""

import copy
import dataclasses
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.converter import Converter
from memcore.contracts.lines import Lines
from memcore.contracts.sums import OperationUnit, Sums
from memcore.random import Stream
from memcore.testing.cases import (
    ReferenceDevice,
    Untouched,
    compiled,
    context,
    fail,
    leaves_global_randomness_alone,
)

#: Signed, unsigned and lopsided ranges, of volts and of microamperes.
RANGES = ((-1.0, 1.0), (0.0, 1.0), (-0.5, 1.5), (-3e-6, 3e-6))
_POINTS = 4097

Check = Callable[[Converter], None]


def _of_currents(check: Check) -> Check:
    """A check of converters that are told currents; one that counts open lines is told sums."""

    @wraps(check)
    def checked(converter: Converter) -> None:
        if not converter.counts_open:
            check(converter)

    return checked


def _bind(converter: Converter, scale: tuple[float, float] = RANGES[0]) -> nn.Module:
    form = converter.bind(torch.tensor(scale), context(0, "converter"))
    if not isinstance(form, nn.Module):
        fail(converter, f"bind returns {form!r}", "return UniformLevels, Lookup or an nn.Module")
    return form


def _sweep(scale: tuple[float, float], beyond: float = 0.0) -> Tensor:
    """Ascending values over a range and a share of it beyond both ends, 0 among them."""
    low, high = scale
    extra = beyond * (high - low)
    values = torch.linspace(low - extra, high + extra, _POINTS)
    return torch.cat([values, torch.zeros(1)]).sort().values


def _largest_step(levels: Tensor) -> float:
    return float(levels.diff().max()) if len(levels) > 1 else float("inf")


def check_observes_a_range(converter: Converter) -> None:
    """`observe` gives the lowest and the highest value to cover, or None for a fixed range."""
    for values in (_sweep((-2.0, 5.0)), _sweep((0.0, 1e-6)), torch.zeros(10)):
        observed = converter.observe(values)
        if observed is None:
            continue
        if (
            tuple(observed.shape) != (2,)
            or not bool(observed.isfinite().all())
            or observed[0] > observed[1]
        ):
            fail(
                converter,
                f"observe returns {observed}",
                "expected a tensor [2], (lowest, highest), or None",
            )


@_of_currents
def check_is_idempotent(converter: Converter) -> None:
    """What was converted once converts to itself, where converters have no errors of their own."""
    for scale in () if converter.differs else RANGES:
        form = _bind(converter, scale)
        once = form(_sweep(scale, beyond=0.5))
        twice = form(once)
        if not torch.allclose(once, twice, rtol=1e-6, atol=0):
            fail(
                converter,
                f"converting twice moves values by {float((once - twice).abs().max()):.2g} in "
                f"{scale}",
                "let every level convert to itself: compare values and steps of one scale",
            )


@_of_currents
def check_is_monotone(converter: Converter) -> None:
    """A larger value never gives a smaller code, where converters have no errors of their own."""
    for scale in () if converter.differs else RANGES:
        steps = _bind(converter, scale)(_sweep(scale, beyond=0.5)).diff()
        if not bool((steps >= 0).all()):
            fail(
                converter,
                f"the output falls by {float(-steps.min()):.2g} while the input rises in {scale}",
                "sort the levels and the edges between them",
            )


@_of_currents
def check_count_of_levels(converter: Converter) -> None:
    """There are at most 2^bits levels."""
    bits = getattr(converter, "bits", None)
    for scale in RANGES:
        count = len(_bind(converter, scale)(_sweep(scale, beyond=0.5)).unique())
        if isinstance(bits, int) and count > 2**bits:
            fail(
                converter,
                f"{count} levels for {bits} bits in {scale}",
                f"count both ends: at most {2**bits} levels",
            )
        if count < 2:
            fail(converter, f"every value becomes the same in {scale}", "use the range given")


@_of_currents
def check_zero_is_a_level(converter: Converter) -> None:
    """Where the range holds 0, 0 is converted without error: no input means no current.

    Converters that differ from each other may have offsets.
    """
    for scale in () if converter.differs else RANGES:
        converted = float(_bind(converter, scale)(torch.zeros(1)))
        if converted != 0:
            fail(
                converter,
                f"0 becomes {converted:.3g} in {scale}",
                "shift the levels so that 0 is one",
            )


@_of_currents
def check_stays_in_range(converter: Converter) -> None:
    """Values beyond the range saturate, and within it none is off by more than one step.

    Converters that differ from each other may be off by more.
    """
    for scale in () if converter.differs else RANGES:
        form = _bind(converter, scale)
        values = _sweep(scale)
        inside = form(values)
        step = _largest_step(inside.unique())
        slack = step * (1 + 1e-4)
        # A symmetric converter covers (-1, 1) when it is asked for (0, 1).
        peak = max(map(abs, scale))
        far = form(torch.tensor([-1e6, 1e6]) * peak)
        if float(far.abs().max()) > peak + slack:
            fail(
                converter,
                f"it reaches from {float(far[0]):.4g} to {float(far[1]):.4g} in {scale}",
                "saturate at the ends of the range, or symmetrically at the larger of the two",
            )
        error = float((inside - values).abs().max())
        if not error <= slack:
            fail(
                converter,
                f"a value inside {scale} is off by {error / step:.3g} steps",
                "spread the levels over the whole range and take the nearest",
            )


@_of_currents
def check_inputs_stay_as_they_are(converter: Converter) -> None:
    """Values and the range are not written into."""
    values, scale = _sweep(RANGES[0], beyond=0.5), torch.tensor(RANGES[0])
    untouched = Untouched(values=values, full_scale=scale)
    converter.observe(values)
    untouched.require(converter, "observe")
    form = converter.bind(scale, context(0, "converter"))
    untouched.require(converter, "bind")
    form(values)
    untouched.require(converter, "the bound form")


@_of_currents
def check_follows_to(converter: Converter) -> None:
    """The bound form moves to another dtype and to another device as a whole."""
    form = _bind(converter)
    values = _sweep(RANGES[0])
    if copy.deepcopy(form).double()(values.double()).dtype != torch.float64:
        fail(converter, "after .double() the result is no float64", "keep tensors in buffers")
    try:
        moved = copy.deepcopy(form).to("meta")(values.to("meta"))
    except (RuntimeError, NotImplementedError) as error:
        fail(
            converter,
            f"after .to() another device the bound form fails: {error}",
            "keep tensors in buffers and use torch.where instead of if",
        )
    if not moved.is_meta:
        fail(converter, f"the result is on {moved.device}", "create tensors with device=x.device")


@_of_currents
def check_randomness_is_keyed(converter: Converter) -> None:
    """The same seed gives the same codes, and nothing draws from the global generators."""
    values = _sweep(RANGES[0])
    leaves_global_randomness_alone(converter, lambda: _bind(converter)(values))
    if not torch.equal(_bind(converter)(values), _bind(converter)(values)):
        fail(converter, "two binds with one seed differ", "draw from ctx.random in bind only")


def _lines() -> Lines:
    """Two groups of two arrays of three bit lines, whose word lines are driven in two groups."""
    array = torch.tensor([[0, 0, 1, 1], [2, 2, 3, 3]]).unsqueeze(-1).expand(2, 4, 3)
    return Lines(arrays=4, cols=3, array=array, column=torch.arange(3).expand(2, 4, 3))


@_of_currents
def check_converters_of_lines_differ(converter: Converter) -> None:
    """Converters that differ keep the shape of values, and are those of bit lines.

    All groups of word lines of an array come out of the same converters, of other arrays of others.
    """
    if not converter.differs:
        return
    ctx = dataclasses.replace(context(0, "converter"), lines=_lines())
    for scale in RANGES:
        form = converter.bind(torch.tensor(scale), ctx)
        values = _sweep(scale, beyond=0.1)[:, None, None, None].expand(-1, 2, 4, 3)
        result = form(values)
        if result.shape != values.shape:
            fail(
                converter,
                f"values of shape {tuple(values.shape)} become {tuple(result.shape)}",
                "index converters by ctx.lines.shared(...), [groups, groups of word lines, cols]",
            )
        if not torch.equal(result[:, :, ::2], result[:, :, 1::2]):
            fail(
                converter,
                "groups of word lines of one array are converted differently",
                "draw errors for each of ctx.lines.shared(...), not for each value",
            )
    repeated = converter.bind(torch.tensor(RANGES[0]), ctx)
    values = _sweep(RANGES[0])[:, None, None, None].expand(-1, 2, 4, 3)
    if not torch.equal(repeated(values), converter.bind(torch.tensor(RANGES[0]), ctx)(values)):
        fail(converter, "two binds with one seed differ", "draw from ctx.random in bind only")


def check_lanes_agree(converter: Converter) -> None:
    """`agree` keeps the shape of ranges, loses no value, and leaves what agrees already."""
    ranges = torch.tensor([[-1e-6, 3e-6], [-5e-6, 2e-6], [-1e-7, 1e-7]])
    gain = torch.tensor([1.0, 4.0, 16.0])
    agreed = converter.agree(ranges.clone(), gain)
    if agreed.shape != ranges.shape or bool(
        ((agreed[:, 0] > ranges[:, 0]) | (agreed[:, 1] < ranges[:, 1])).any()
    ):
        fail(
            converter,
            f"agree turns {ranges.tolist()} into {agreed.tolist()}",
            "widen ranges, [lanes, 2], and never narrow one",
        )
    if not torch.allclose(converter.agree(agreed.clone(), gain), agreed, rtol=1e-6, atol=0):
        fail(converter, "agreeing twice changes the ranges", "leave ranges that agree as they are")


@_of_currents
def check_compiles(converter: Converter) -> None:
    """`torch.compile` takes the bound form in one graph."""
    form, values = _bind(converter), _sweep(RANGES[0], beyond=0.5)
    expected = form(values)
    try:
        result = compiled(form)(values)
    except Exception as error:
        fail(
            converter,
            f"torch.compile cannot take the bound form in one graph: {str(error).strip()[:300]}",
            "use torch functions of tensors only; no numpy, no .item(), no if on a value",
        )
    if not torch.allclose(result, expected):
        fail(converter, "compiled codes differ", "let the form depend on its argument only")


def _told(converter: Converter, reads: Tensor, opened: int, ones: int) -> Tensor:
    """What is told of sums with so many open lines and so many ones, [reads, 7]."""
    unit = OperationUnit(rows=4, device=ReferenceDevice())
    ctx = dataclasses.replace(context(0, "converter"), unit=unit)
    form = converter.bind(torch.tensor(RANGES[0]), ctx)
    if not isinstance(form, Sums):
        fail(converter, f"bind returns {type(form).__name__}", "return memcore.Sums")
    bits = (torch.arange(4) < opened).to(torch.uint8).expand(len(reads), 1, 1, 4)
    cells = (torch.arange(4) < ones).to(torch.uint8).view(1, 1, 4, 1).expand(1, 1, 4, 7)
    return form.sums(bits, cells, Stream(3).at(reads)).flatten(1)


def check_sums_are_told(converter: Converter) -> None:
    """Sums are told as integers, 0 without an open line, and the same for the same read."""
    if not converter.counts_open:
        return
    reads = torch.arange(9)
    for opened, ones in ((0, 4), (4, 0), (3, 2), (4, 4)):
        told = _told(converter, reads, opened, ones)
        if told.shape != (9, 7) or not torch.equal(told, told.round()) or bool((told < 0).any()):
            fail(converter, f"{told} is told of sums", "tell integers >= 0, [reads, groups, cols]")
        if opened == 0 and bool(told.any()):
            fail(converter, "a unit without an open line tells more than 0", "add nothing for it")
        if not torch.equal(_told(converter, reads[4:], opened, ones), told[4:]):
            fail(
                converter,
                "what a read is told depends on the reads before it",
                "draw from the stream that is handed in, one number for each sum",
            )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_observes_a_range,
    check_is_idempotent,
    check_is_monotone,
    check_count_of_levels,
    check_zero_is_a_level,
    check_stays_in_range,
    check_inputs_stay_as_they_are,
    check_follows_to,
    check_randomness_is_keyed,
    check_converters_of_lines_differ,
    check_lanes_agree,
    check_sums_are_told,
    check_compiles,
)
