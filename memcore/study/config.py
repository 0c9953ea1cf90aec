"""The study file `study.toml`, checked key by key."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from memcore import _toml
from memcore._text import did_you_mean
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError, StudyError
from memcore.registry.specs import plain
from memcore.study.axes import LARGEST, LONGEST, NAME, TABLE, Axis, Sweep
from memcore.study.compressing import Compression
from memcore.study.hardware import settled
from memcore.study.in_place import InPlace
from memcore.study.life import Amount, Kelvin
from memcore.study.training import Recipe, Whole

_PACKAGED = Path(__file__).parent


class _Section(BaseModel):
    model_config = TABLE


def _named(value: Any) -> Any:
    """Let `model = "vgg16"` stand for `model = { name = "vgg16" }`."""
    value = {"name": value} if isinstance(value, str) else value
    if isinstance(value, Mapping) and not isinstance(value.get("name"), str):
        raise ConfigError('needs a name; expected "x" or { name = "x", parameters }')
    return value


def _listed(value: Any) -> Any:
    """Let `cost = "mnsim"` stand for `cost = ["mnsim"]`."""
    return [value] if isinstance(value, str | Mapping) else value


def _or_none(name: Any) -> Any:
    return None if isinstance(name, str) and not name else name


def _plain(value: Any) -> Any:
    """Let Python callers give a `CrossbarConfig`, plugin instances and distributions."""
    if isinstance(value, CrossbarConfig):
        return value.to_mapping()
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise ConfigError(f"has the key {odd[0]!r}; expected words as keys")
        return {key: _plain(entry) for key, entry in value.items()}
    return plain(value)


Component = Annotated[dict[str, Any], BeforeValidator(_named)]


Tight = Annotated[float, Strict(), Field(gt=0, le=LARGEST, allow_inf_nan=False)]


class Reference(_Section):
    """A published value that the digital network is compared with.

    Attributes:
        value: value of the metric, of an accuracy in percent.
        source: where it was published.
    """

    value: Annotated[float, Strict(), Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
    source: str = ""


class General(_Section):
    """The table `[study]`.

    Attributes:
        name: name of the results folder.
        title: title of the plot; the name when empty.
        note: text under the plot.
        model: network: "digits_vgg", "digits_lstm", "digits_mlp", "mnist_mlp", "orders_gpt",
            "matrix", "lenet5", "vgg16" or "package.module:function", or `{ name, parameters }`.
        data: data set: "digits", "orders", "products", "mnist", "cifar10" or
            "package.module:function", or `{ name, parameters }`.
        metric: how outputs are judged: "accuracy" of one label for each sample, "sequence" of many,
            "mse", "rmse", "mae" or "r2" of numbers, or "package.module:function", a function of
            all outputs and all targets that returns a number, better if larger; or `{ name,
            parameters }`.
        reference: published value that the digital network is compared with, `{ value, source }`;
            of an accuracy in percent.
        cost: cost models that price an inference at each point, beside the metric: a name of
            `memcore.costs` or `{ name, parameters }` each.
        checkpoint: weights to load: a safetensors file, or "digits_vgg", which come with memcore.
            `memcore convert-checkpoint` converts those of torch.save. The network is trained when
            absent or empty.
        chips: number of virtual chips, the same ones at every point; with `interval`, the number
            of those that the spread is estimated from.
        interval: half of the 95 % interval of the mean that every point shall have at most, in
            percentage points of an accuracy, else in units of the metric; each point then gets as
            many chips as that needs. Every point has `chips` chips when absent.
        most_chips: number of chips that no point exceeds, however wide its interval.
        seed: random seed of the training and of the chips.
        samples: number of test images used, the first ones; all when absent.
        batch: number of images evaluated at once, which changes speed and memory, not the results.
        calibration: number of training images that set the ranges of the converters.
        device: torch device to compute on.
        age: seconds that pass between the writing of the cells and the evaluation.
        cycles: SET and RESET cycles that every cell has gone through, beside its programming.
        reads: reads of every cell before the evaluation.
        temperature: kelvin, at which the network ages and is read; that of `[crossbar]` when
            absent.
        age_temperature: kelvin, at which the age, the cycles and the reads pass, as in a bake;
            the temperature of the network when absent.
    """

    name: str = Field(default="study", pattern=NAME, max_length=LONGEST)
    title: str = ""
    note: str = ""
    model: Component = {"name": "digits_vgg"}
    data: Component = {"name": "digits"}
    metric: Component = {"name": "accuracy"}
    reference: Reference | None = None
    cost: Annotated[tuple[Component, ...], BeforeValidator(_listed)] = ()
    checkpoint: Annotated[str | None, BeforeValidator(_or_none)] = None
    chips: Whole = Field(default=5, ge=1)
    interval: Tight | None = None
    most_chips: Whole = Field(default=1000, ge=1)
    seed: Whole = Field(default=0, ge=-(2**63), lt=2**63)
    samples: Whole | None = Field(default=None, ge=1)
    batch: Whole = Field(default=500, ge=1)
    calibration: Whole = Field(default=128, ge=1)
    device: str = "cpu"
    age: Amount = 0.0
    cycles: Amount = 0.0
    reads: Amount = 0.0
    temperature: Kelvin | None = None
    age_temperature: Kelvin | None = None

    @model_validator(mode="after")
    def _has_a_spread(self) -> Self:
        if self.interval is not None and self.chips < 2:
            raise ConfigError(
                "interval needs a spread between chips, but chips = 1; expected chips of at least "
                "2, better 10, to begin with"
            )
        if self.interval is not None and self.most_chips < self.chips:
            raise ConfigError(
                f"most_chips = {self.most_chips} is below chips = {self.chips}, the number that "
                "every point begins with; expected at least as many"
            )
        return self


class Study(_Section):
    """A whole study; `read` makes one from a file or a mapping."""

    study: General = General()
    train: Recipe = Recipe()
    compress: Compression | None = None
    in_place: InPlace | None = None
    crossbar: Annotated[dict[str, Any], BeforeValidator(_plain)] = {}
    sweep: tuple[Sweep, ...] = (Sweep(name="point"),)
    folder: Path = Field(default=Path(), exclude=True)

    @field_validator("sweep", mode="after")
    @classmethod
    def _names_differ(cls, sweeps: tuple[Sweep, ...]) -> tuple[Sweep, ...]:
        names = [sweep.name for sweep in sweeps]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ConfigError(f"two sweeps are named {sorted(twice)[0]!r}; give each its own name")
        return sweeps

    def resolved(self) -> dict[str, Any]:
        """The whole study with its defaults, in a form for JSON."""
        return self.model_dump(mode="json")


def read(source: "Study | Mapping[str, Any] | str | Path", **overrides: Any) -> Study:
    """Read a study from a TOML file, or check one given as a mapping.

    Args:
        source: path, name of a packaged study, mapping or a `Study`.
        overrides: entries of `[study]` that win over those of the file; None leaves those of the
            file.

    Raises:
        StudyError: the file is missing or no TOML, or a key or a value is wrong; says which and
            names the nearest valid key.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    content, folder, label = _content(source)
    general = content.get("study", {})
    if given and isinstance(general, General):
        general = general.model_dump(exclude_unset=True)
    if given and isinstance(general, Mapping):
        content["study"] = {**general, **given}
    try:
        study = Study.model_validate({**content, "folder": folder})
    except ValidationError as error:
        lines = [f"{label}: {line}" for line in _problems(error)]
        raise StudyError("\n".join(lines)) from None
    except RecursionError:
        raise StudyError(f"{label}: is nested too deeply; expected the tables of a study") from None
    if study.train.crossbar is None:
        return study
    crossbar = settled(study.crossbar, study.train.crossbar, folder, label)
    return study.model_copy(update={"train": study.train.model_copy(update={"crossbar": crossbar})})


def packaged() -> list[str]:
    """The studies that come with memcore, which may be named instead of a file."""
    return sorted(path.stem for path in _PACKAGED.glob("*.toml"))


def _content(source: Study | Mapping[str, Any] | str | Path) -> tuple[dict[str, Any], Path, str]:
    if isinstance(source, Study):
        return source.model_dump(mode="json", exclude_unset=True), source.folder, "study"
    if isinstance(source, Mapping):
        return dict(source), Path.cwd(), "study"
    if not isinstance(source, str | Path):
        raise StudyError(f"a study is {source!r}; expected a path, a name, a mapping or a Study")
    path = Path(source)
    if path.name in packaged() and not path.suffix and not path.is_file():
        path = _PACKAGED / f"{path.name}.toml"
    brought = f"memcore brings the studies {', '.join(packaged())}"
    try:
        return _toml.read(path, "study file", otherwise=brought), path.resolve().parent, str(path)
    except ConfigError as error:
        raise StudyError(str(error)) from None


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        *place, last = problem["loc"] or ("",)
        if problem["type"] == "extra_forbidden":
            keys = _keys_at(place)
            where = _dotted(place) or "the study"
            yield (
                f"{where} has no key {str(last)!r}{did_you_mean(str(last), keys)}\n"
                f"  its keys are: {', '.join(keys)}"
            )
        elif problem["type"] == "missing":
            yield f"{_dotted(place)} needs a key {str(last)!r}"
        else:
            text = problem["msg"].removeprefix("Value error, ")
            came = problem["input"]
            shown = "" if isinstance(came, Mapping) or len(repr(came)) > 80 else f"; got {came!r}"
            yield f"{_dotted(problem['loc'])}: {text[:1].lower()}{text[1:]}{shown}"


def _dotted(place: Any) -> str:
    words = ""
    for part in place:
        words += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return words.lstrip(".")


def _keys_at(place: list[int | str]) -> list[str]:
    """The keys of the section that a pydantic location names."""
    sections: dict[str, type[BaseModel]] = {
        "study": General,
        "train": Recipe,
        "compress": Compression,
        "in_place": InPlace,
        "sweep": Sweep,
    }
    if not place:
        section: type[BaseModel] = Study
    elif "axes" in place:
        section = Axis
    else:
        section = sections[str(place[0])]
    return [name for name in section.model_fields if name != "folder"]
