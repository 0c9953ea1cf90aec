"""What a network in training mode sees of its hardware: `Rehearsal`, and ranges that it finds."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from memcore import _check
from memcore._text import hint, shown
from memcore.errors import ConfigError
from memcore.registry.specs import PluginSpec, plain, plugin

T = TypeVar("T")

_CHIPS = ("any", "this")
_SCALES = ("tensor", "channel")
_ANEW = ("step", "read")


@dataclass(frozen=True, kw_only=True)
class LearnedRange:
    """A range of the DAC that training finds, `[-r, r]` in units of the inputs.

    During the first `batches` batches r is the running mean of `sigmas` standard deviations of the
    inputs. Afterwards it is a parameter, with the gradient
    `r (sum of min(g, 0) where x >= r, less the sum of max(g, 0) where x <= -r)` for a gradient g of
    the applied inputs, plus `decay * r` where more than 95 % of the inputs lie inside. The rule is
    that of Rasch et al., "Hardware-aware training for large-scale and diverse deep learning
    inference workloads using in-memory computing-based accelerators", Nat. Commun. 14:5282 (2023).

    Args:
        start: r before the first batch, in units of the inputs.
        sigmas: standard deviations of the inputs that the range covers at first.
        batches: number of batches whose standard deviation counts.
        decay: pull towards a smaller range.
    """

    start: float = 3.0
    sigmas: float = 3.0
    batches: int = 100
    decay: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("start", "sigmas"):
            _set(self, name, _check.number(name, getattr(self, name), above=0))
        _set(self, "batches", _check.integer("batches", self.batches, at_least=0))
        _set(self, "decay", _check.number("decay", self.decay, at_least=0))


@dataclass(frozen=True, kw_only=True)
class LearnedOutputRange:
    """A range of the ADC that training finds, as a share of the calibrated one.

    The share is one parameter for all arrays of a matrix: the ranges of slices, and of all tiles,
    keep their ratios. Its gradient is that of rounding which is passed straight through: a current
    i that is read as q changes q by `q - i` for a relative change of the range where i lies inside,
    and by q at the ends and beyond. What that makes of the outputs, times their gradients, is
    summed up, and divided by the square root of the number of outputs so that the share moves about
    as fast as weights do; `decay * share` is added where more than 95 % of the currents lie inside.
    The rule is that of Esser et al., "Learned Step Size Quantization", ICLR 2020, for a step that
    is a share of a calibrated one.

    Args:
        start: share of the calibrated range that training begins with. Far below 1, with weights
            that are trained too, the share needs a learning rate of ten to twenty times theirs.
        decay: pull towards a smaller range, beside the gradient, which narrows and widens it.
    """

    start: float = 1.0
    decay: float = 0.0

    def __post_init__(self) -> None:
        _set(self, "start", _check.number("start", self.start, above=0))
        _set(self, "decay", _check.number("decay", self.decay, at_least=0))


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What a network in training mode reads instead of the cells that were programmed.

    Its present weights are written anew at each step of the optimiser, into cells that only this
    step sees; gradients go straight through to the parameters. The default rehearsal begins when
    the parameters differ from what the cells were written from, any other one with the first pass.

    Args:
        effects: names of the effects to rehearse, as `CrossbarConfig.effects` has them; None for
            all.
        chip: `"any"` draws another chip at each step, so that the weights suit every chip;
            `"this"` keeps what is for life and draws what a rewrite draws anew.
        programmer: the routine that writes; None for that of the configuration, or `direct` where
            that one sends pulses.
        seconds: s, age at which the written cells are read; two ages for one between them that is
            drawn anew at each step, its logarithm uniformly.
        anew: whether cells are written anew at each `"step"`, when the weights have changed, or at
            each `"read"` of a batch, as it takes where the weights are frozen and something beside
            the arrays is trained. The latter knows no recomputed activations.
        weight_noise: standard deviation of normal noise on the weights, new at each step, as a
            share of their largest magnitude.
        weight_noise_per: whether the largest magnitude is that of the `"tensor"` or of each
            `"channel"`, the weights of one output.
        output_noise: standard deviation of normal noise on the outputs, new at each read, as a
            share of the largest weight times the largest input, over the square root of the number
            of tiles that the inputs are spread over.
        input_range: a range of the DAC that training finds; None for a calibrated or fixed one.
        output_range: a range of the ADC that training finds; None for a calibrated or fixed one.
    """

    effects: tuple[str, ...] | None = None
    chip: Literal["any", "this"] = "any"
    programmer: PluginSpec | None = None
    seconds: float | tuple[float, float] = 0.0
    anew: Literal["step", "read"] = "step"
    weight_noise: float = 0.0
    weight_noise_per: Literal["tensor", "channel"] = "tensor"
    output_noise: float = 0.0
    input_range: LearnedRange | None = None
    output_range: LearnedOutputRange | None = None

    def __post_init__(self) -> None:
        for name in ("weight_noise", "output_noise"):
            _set(self, name, _check.number(name, getattr(self, name), at_least=0))
        _set(self, "seconds", _ages(self.seconds))
        for name, choices in (("chip", _CHIPS), ("weight_noise_per", _SCALES), ("anew", _ANEW)):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in choices:
                raise ConfigError(f"{name}={shown(value)}; expected one of {choices}")
        if self.effects is not None:
            _set(self, "effects", _names(self.effects))
        if self.programmer is not None:
            _set(self, "programmer", plugin("programmers", self.programmer))
        for name, kind in _RANGES.items():
            _set(self, name, _range(getattr(self, name), name, kind))

    @property
    def waits(self) -> bool:
        """Whether the programmed cells are read as long as they hold the present weights."""
        return not self.changed

    @property
    def changed(self) -> list[str]:
        """Names of the settings that are not as by default."""
        names = [field.name for field in dataclasses.fields(self)]
        return [name for name in names if getattr(self, name) != getattr(Rehearsal, name)]

    def require(self, effects: Sequence[str]) -> None:
        """Refuse names of effects that a configuration does not have.

        Raises:
            ConfigError: naming the nearest that it has.
        """
        for name in self.effects or ():
            if name not in effects:
                raise ConfigError(f"training: there is no effect {name!r}{hint(name, effects)}")

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, every default written out."""
        values = {f.name: plain(getattr(self, f.name)) for f in dataclasses.fields(self)}
        for name in _RANGES:
            learned = getattr(self, name)
            values[name] = None if learned is None else dataclasses.asdict(learned)
        return values

    def with_converters(self, *, dac: bool, adc: bool) -> "Rehearsal":
        """A copy without the ranges of converters that are not there."""
        keeps = {"input_range": dac, "output_range": adc}
        gone: dict[str, Any] = {
            n: None for n, keep in keeps.items() if not keep and getattr(self, n) is not None
        }
        return dataclasses.replace(self, **gone) if gone else self


#: Settings that are ranges of a converter, and what they are.
_RANGES = {"input_range": LearnedRange, "output_range": LearnedOutputRange}


def rehearsal(value: Any) -> Rehearsal | None:
    """The rehearsal that a setting stands for; None for training on the programmed cells.

    Raises:
        ConfigError: it stands for none.
    """
    if value is None or isinstance(value, Rehearsal):
        return value
    if isinstance(value, str) and value in ("rehearsal", "off"):
        return Rehearsal() if value == "rehearsal" else None
    if isinstance(value, Mapping):
        return _parsed(Rehearsal, value, "training")
    raise ConfigError(
        f'training={shown(value)}; expected "rehearsal", "off", a Rehearsal or a mapping of its '
        "settings"
    )


def _parsed(cls: type[T], mapping: Mapping[str, Any], name: str) -> T:
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in mapping:
        if key not in names:
            raise ConfigError(f"{name} has no setting {shown(key)}{hint(str(key), names)}")
    try:
        return cls(**mapping)
    except ConfigError as error:
        raise ConfigError(_within(name, str(error), names)) from error


def _within(name: str, message: str, settings: Sequence[str]) -> str:
    """A message about one of some settings that says which mapping the setting is in."""
    is_of_one = re.match(r"\w+", message)
    return f"{name}{'.' if is_of_one and is_of_one[0] in settings else ': '}{message}"


def _range(value: Any, name: str, kind: type[T]) -> T | None:
    if value is None or isinstance(value, kind):
        return value
    if isinstance(value, Mapping):
        return _parsed(kind, value, name)
    raise ConfigError(
        f"{name}={shown(value)}; expected a {kind.__name__}, a mapping of its settings, or None"
    )


def _ages(value: Any) -> float | tuple[float, float]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _check.number("seconds", value, at_least=0)
    ages = tuple(_check.number("seconds", age, above=0) for age in value)
    if len(ages) != 2 or ages[0] > ages[1]:
        raise ConfigError(f"seconds={shown(value)}; expected one age, or a first and a last one")
    return ages[0], ages[1]


def _names(value: Any) -> tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"effects={shown(value)}; expected names of effects, or None for all")
    return tuple(names)


def _set(value: object, name: str, to: Any) -> None:
    object.__setattr__(value, name, to)
