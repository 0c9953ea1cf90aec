"""What every non-ideality promises."""

import copy
import dataclasses
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Affine, Aging, Count, Gaussian, Lookup, Steady, UniformLevels
from memcore.contracts.records import Stage
from memcore.errors import NoEffectWarning
from memcore.random import ReadStream
from memcore.testing.cases import (
    Untouched,
    array,
    compiled,
    conductances,
    context,
    fail,
    leaves_global_randomness_alone,
    voltages,
)

_READS = 6
#: For what ages: one hour, and as many cycles and reads as wear a cell.
_ELAPSED: dict[Count, float] = {"seconds": 3600.0, "cycles": 1e8, "reads": 1e8}
#: K, unlike the temperature at which parameters commonly hold.
_TEMPERATURE = 350.0


class _Case:
    """An effect on arrays of a device: the reference device, or the one that it belongs to."""

    def __init__(self, effect: NonIdeality, device: Memristor | None) -> None:
        self.effect = effect
        self.info = array(device=device)

    def bind(self) -> nn.Module:
        ctx = dataclasses.replace(context(0, "effect"), temperature=_TEMPERATURE)
        with warnings.catch_warnings():
            # Not every effect has something to act on in every device, and may say so.
            warnings.simplefilter("ignore", NoEffectWarning)
            form = self.effect.bind(self.info, ctx)
        if not isinstance(form, nn.Module):
            fail(
                self.effect,
                f"bind returns {form!r}",
                "return Affine, Gaussian, UniformLevels, Lookup or an nn.Module",
            )
        if isinstance(form, Gaussian):
            form.settle(conductances(self.info), torch.zeros((), dtype=torch.float64))
        return form

    def elapsed(self) -> float:
        """The count on the clock of an ageing effect."""
        form = self.bind()
        count = getattr(form, "clock", "seconds")
        if count not in _ELAPSED:
            fail(self.effect, f"its clock is {count!r}", f"expected one of {', '.join(_ELAPSED)}")
        return _ELAPSED[count]

    def inputs(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
        """The arguments that the pipeline hands to the bound form, before the stream."""
        g, v = conductances(self.info, dtype), voltages(self.info, _READS, dtype)
        stage = self.effect.stage
        if stage is Stage.PROGRAM:
            return (g,)
        if stage is Stage.AGE:
            return (g, torch.tensor(self.elapsed(), dtype=dtype))
        if stage is Stage.READ:
            return (g.unsqueeze(0),)
        if stage is Stage.MVM:
            return (v, g.unsqueeze(0))
        return (torch.einsum("nar,arc->nac", v, g),)

    def takes_a_stream(self, form: nn.Module) -> bool:
        steady = isinstance(form, Affine | UniformLevels | Lookup | Steady)
        return self.effect.stage in (Stage.READ, Stage.CURRENT) and not steady

    def run(
        self, form: nn.Module, inputs: tuple[Tensor, ...], reads: Tensor | None = None
    ) -> Tensor:
        arguments: tuple[Any, ...] = inputs
        if self.takes_a_stream(form):
            numbers = torch.arange(_READS) if reads is None else reads
            arguments = (*inputs, context(0, "effect", "read").random.at(numbers))
        result: Tensor = form(*arguments)
        return result

    def ideal(self, inputs: tuple[Tensor, ...]) -> Tensor:
        if self.effect.stage is Stage.MVM:
            return torch.einsum("nar,zarc->nac", *inputs)
        return inputs[0]


# -- what it does ----------------------------------------------------------------------------------


def check_neutral_is_the_identity(effect: NonIdeality, device: Memristor | None = None) -> None:
    """With the parameters of the class attribute `neutral` the effect changes nothing."""
    if device is not None and not effect.neutral:
        return  # part of a device's nature, which nothing switches off
    if not effect.neutral:
        fail(
            effect,
            "the class does not say which parameters switch it off",
            'declare neutral: ClassVar = {"std": 0.0} or whatever has no effect; one that cannot '
            "be switched off is declared so in expected_failures",
        )
    off = dataclasses.replace(effect, **effect.neutral)  # type: ignore[type-var]
    case = _Case(off, device)
    inputs = case.inputs()
    wanted, result = case.ideal(inputs), case.run(case.bind(), inputs)
    error = float((result - wanted).abs().max()) / float(wanted.abs().max())
    if not error <= 1e-5:
        fail(
            effect,
            f"with {dict(effect.neutral)} it still changes values by {100 * error:.2g} %",
            "at zero severity a non-ideality is the identity",
        )


def check_shapes(effect: NonIdeality, device: Memristor | None = None) -> None:
    """The result has the shape of its stage."""
    case = _Case(effect, device)
    info = case.info
    shape = tuple(case.run(case.bind(), case.inputs()).shape)
    cells, lines = info.shape, (_READS, info.arrays, info.cols)
    expected = {
        Stage.PROGRAM: (cells,),
        Stage.AGE: (cells,),
        Stage.READ: ((1, *cells), (_READS, *cells)),
        Stage.MVM: (lines,),
        Stage.CURRENT: (lines,),
    }[effect.stage]
    if shape not in expected:
        fail(
            effect,
            f"the bound form returns {shape} at Stage.{effect.stage.name}",
            f"expected {' or '.join(map(str, expected))}",
        )


def check_result_is_physical(effect: NonIdeality, device: Memristor | None = None) -> None:
    """The result is finite, and no negative conductance is stored."""
    case = _Case(effect, device)
    result = case.run(case.bind(), case.inputs())
    stored = effect.stage in (Stage.PROGRAM, Stage.AGE)
    if not bool(result.isfinite().all()) or (stored and bool((result < 0).any())):
        fail(
            effect,
            f"results lie between {float(result.min()):.3g} and {float(result.max()):.3g}",
            "return finite values, and conductances >= 0: truncate distributions",
        )


def check_no_time_no_ageing(effect: NonIdeality, device: Memristor | None = None) -> None:
    """At Stage.AGE nothing changes before any time, cycle or read has passed."""
    case = _Case(effect, device)
    if effect.stage is not Stage.AGE:
        return
    g = case.inputs()[0]
    after = case.run(case.bind(), (g, torch.tensor(0.0)))
    if not torch.allclose(after, g, rtol=1e-5):
        fail(
            effect,
            f"conductances change by {float((after / g - 1).abs().max()):.2g} in no time",
            "what elapsed counts from programming; let forward(g, 0) return g",
        )


def check_acceleration_is_that_of_the_clock(
    effect: NonIdeality, device: Memristor | None = None
) -> None:
    """A clock runs at its own speed at the temperature of the arrays, and never backwards."""
    case = _Case(effect, device)
    form = case.bind()
    if not isinstance(form, Aging):
        return
    kelvin = torch.tensor([_TEMPERATURE, 250.0, 300.0, 400.0], dtype=torch.float64)
    rate = form.acceleration(kelvin)
    if rate.shape[-1:] != kelvin.shape:
        came = f"acceleration of {len(kelvin)} temperatures returns {tuple(rate.shape)}"
        fail(effect, came, "return a factor for each temperature, [n], or several, [k, n]")
    at_home = (rate[..., 0] - 1).abs() < 1e-6
    if not bool(at_home.all() and (rate >= 0).all() and rate.isfinite().all()):
        fail(
            effect,
            f"its clock runs {rate.tolist()} times as fast at {kelvin.tolist()} K, in arrays at "
            f"{_TEMPERATURE:g} K",
            "acceleration is relative to ctx.temperature, where it is 1",
        )


def check_statistics(effect: NonIdeality, device: Memristor | None = None) -> None:
    """Noise with a `variance(x)` has that variance and no mean, within five standard errors."""
    case = _Case(effect, device)
    form = case.bind()
    variance = getattr(form, "variance", None)
    if variance is None or not case.takes_a_stream(form):
        return
    reads = 4000
    (x,) = case.inputs()
    x = x[:1]
    noise = (case.run(form, (x,), torch.arange(reads)) - x).double()
    declared = variance(x).double().expand(x.shape)[0]
    limit = 5 * (declared / reads).sqrt() + 1e-6 * x.abs().max()
    spread = 5 * declared * (2 / reads) ** 0.5 + (1e-6 * x.abs().max()) ** 2
    if bool((noise.mean(0).abs() > limit).any()):
        worst = float((noise.mean(0).abs() / limit).max())
        fail(
            effect,
            f"the noise has a mean of {5 * worst:.2g} standard errors",
            "noise is centred on what is read; put a shift into the variance-free part",
        )
    if bool(((noise.var(0) - declared).abs() > spread).any()):
        ratio = float((noise.var(0) / declared).nan_to_num().mean())
        fail(
            effect,
            f"the noise has {ratio:.3g} times the variance that its variance(x) declares",
            "variance(x) is the variance of what forward adds to x",
        )


# -- how it draws ----------------------------------------------------------------------------------


def check_same_seed_same_effect(effect: NonIdeality, device: Memristor | None = None) -> None:
    """A chip is the same chip again."""
    case = _Case(effect, device)
    inputs = case.inputs()
    first, again = (case.run(case.bind(), inputs) for _ in range(2))
    if not torch.equal(first, again):
        fail(
            effect,
            "two binds with one seed differ",
            "draw from ctx.random in bind and from the stream that forward is given",
        )


def check_randomness_is_keyed(effect: NonIdeality, device: Memristor | None = None) -> None:
    """Nothing draws from the global generators."""
    case = _Case(effect, device)
    inputs = case.inputs()
    leaves_global_randomness_alone(effect, lambda: case.run(case.bind(), inputs))


def check_reads_do_not_depend_on_the_batch(
    effect: NonIdeality, device: Memristor | None = None
) -> None:
    """Six reads at once are what three and three are."""
    case = _Case(effect, device)
    if effect.stage not in (Stage.READ, Stage.MVM, Stage.CURRENT):
        return
    form, inputs, numbers = case.bind(), case.inputs(), torch.arange(_READS)
    whole = case.run(form, inputs, numbers)
    parts = []
    for part in (slice(0, 3), slice(3, _READS)):
        per_read = [x[part] if len(x) == _READS else x for x in inputs]
        parts.append(case.run(form, tuple(per_read), numbers[part]))
    split = parts[0] if len(whole) == 1 else torch.cat(parts)
    if not torch.allclose(whole, split, rtol=1e-5, atol=1e-6 * float(whole.abs().max())):
        fail(
            effect,
            "a read depends on the batch that it is in",
            "draw with stream.normal(shape), one draw for each read, and avoid sums over reads",
        )


# -- how it is built -------------------------------------------------------------------------------


def check_inputs_stay_as_they_are(effect: NonIdeality, device: Memristor | None = None) -> None:
    """The bound form does not write into its arguments."""
    case = _Case(effect, device)
    inputs = case.inputs()
    form = case.bind()
    untouched = Untouched(**{f"argument {n + 1}": x for n, x in enumerate(inputs)})
    case.run(form, inputs)
    untouched.require(effect, "the bound form")


def check_tensors_are_buffers(effect: NonIdeality, device: Memristor | None = None) -> None:
    """Values drawn for an array follow `.to()` and `state_dict`."""
    case = _Case(effect, device)
    for name, module in case.bind().named_modules():
        for key, value in vars(module).items():
            if isinstance(value, Tensor):
                fail(
                    effect,
                    f"the tensor {'.'.join(filter(None, (name, key)))!r} of the bound form would "
                    "not follow .to()",
                    f"register_buffer({key!r}, ...) in the module's __init__",
                )


def check_follows_to(effect: NonIdeality, device: Memristor | None = None) -> None:
    """The bound form moves to another dtype and to another device as a whole."""
    case = _Case(effect, device)
    form = case.bind()
    double = case.run(copy.deepcopy(form).double(), case.inputs(torch.float64))
    if double.dtype != torch.float64:
        fail(
            effect,
            f"after .double() the bound form returns {double.dtype}",
            "keep tensors in buffers and take the dtype from the argument",
        )
    inputs = tuple(x.to("meta") for x in case.inputs())
    try:
        moved = case.run(
            copy.deepcopy(form).to("meta"), inputs, torch.arange(_READS, device="meta")
        )
    except (RuntimeError, NotImplementedError) as error:
        fail(
            effect,
            f"after .to() another device the bound form fails: {error}",
            "keep tensors in buffers, create others with device=x.device, and use torch.where "
            "instead of if",
        )
    if not moved.is_meta:
        fail(
            effect,
            f"after .to() another device the bound form returns a tensor on {moved.device}",
            "create tensors with device=x.device",
        )


def check_form_copies_and_pickles(effect: NonIdeality, device: Memristor | None = None) -> None:
    """Converted models are copied, saved and sent to other processes."""
    case = _Case(effect, device)
    form, inputs = case.bind(), case.inputs()
    expected = case.run(form, inputs)
    try:
        copies = [copy.deepcopy(form), pickle.loads(pickle.dumps(form))]
    except Exception as error:
        fail(
            effect,
            f"the bound form cannot be copied: {type(error).__name__}: {error}",
            "define its class at the top of a module; no lambdas and no local functions in it",
        )
    if not all(torch.equal(case.run(other, inputs), expected) for other in copies):
        fail(
            effect,
            "a copy of the bound form gives other results",
            "keep all that matters in buffers and plain attributes",
        )


def check_compiles(effect: NonIdeality, device: Memristor | None = None) -> None:
    """`torch.compile` takes the bound form in one graph."""
    case = _Case(effect, device)
    form, inputs, numbers = case.bind(), case.inputs(), torch.arange(_READS)
    key, streams = context(0, "effect", "read").random.key, case.takes_a_stream(form)

    def forward(*arguments: Tensor) -> Tensor:
        stream = (ReadStream(key, numbers),) if streams else ()
        result: Tensor = form(*arguments, *stream)
        return result

    expected = forward(*inputs)
    try:
        result = compiled(forward)(*inputs)
    except Exception as error:
        fail(
            effect,
            f"torch.compile cannot take the bound form in one graph: {str(error).strip()[:300]}",
            "use torch functions of tensors only; no numpy, no .item(), no if on a value, and make "
            "streams in bind",
        )
    if not torch.allclose(result, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max())):
        fail(
            effect,
            f"the compiled form differs by {float((result - expected).abs().max()):.3g}",
            "let it depend on its arguments only",
        )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_neutral_is_the_identity,
    check_shapes,
    check_result_is_physical,
    check_no_time_no_ageing,
    check_acceleration_is_that_of_the_clock,
    check_statistics,
    check_same_seed_same_effect,
    check_randomness_is_keyed,
    check_reads_do_not_depend_on_the_batch,
    check_inputs_stay_as_they_are,
    check_tensors_are_buffers,
    check_follows_to,
    check_form_copies_and_pickles,
    check_compiles,
)
