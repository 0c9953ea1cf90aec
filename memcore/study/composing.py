"""A study file to begin with: every default with its unit, its range, its meaning and source."""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from memcore import _toml
from memcore._text import printable
from memcore._version import __version__
from memcore.contracts.ranges import allowed
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.training import Rehearsal
from memcore.errors import StudyError
from memcore.registry.specs import PluginSpec, plain
from memcore.study.config import General
from memcore.study.files import encoded, write_atomic
from memcore.study.life import Life
from memcore.study.training import Recipe
from memcore.study.trial import tried

_WIDE: Final = 98  #: characters of a line
#: Settings of `[crossbar]` that are tables of their own.
_TABLES: Final = (
    "device",
    "mapper",
    "programmer",
    "nonidealities",
    "dac",
    "adc",
    "lanes",
    "training",
)
_HEAD: Final = (
    "A study with every default written out, its unit in brackets, its range, its meaning and its "
    "source. A line such as `# name =` is a setting that is absent, which the texts also call None."
)
_TRAIN: Final = (
    "How the network is trained, where no checkpoint gives its weights. The networks of memcore "
    "bring a recipe of their own; what you uncomment here wins."
)


def compose(path: str | Path, device: PluginSpec, **crossbar: Any) -> Path:
    """Write a study file in which every parameter of the chosen plugins stands with its source.

    `memcore.study.run` accepts the file as it is: it evaluates the small network that comes with
    memcore on five chips of the crossbars, and ends with a sweep to uncomment. One small layer is
    written and read before the file is, so that parts that do not go together are refused here; an
    effect that waits for time, cycles or reads gets a month, or a million of them.

    Args:
        path: path of the file, such as "study.toml"; its stem is the name of the study.
        device: device, as in a `CrossbarConfig`.
        crossbar: other settings of `CrossbarConfig`, such as `adc="sar"` or
            `nonidealities=["ir_drop", "stuck_at"]`.

    Returns:
        The path of the file.

    Raises:
        StudyError: the file is there already, or cannot be written.
        ConfigError: a plugin or a setting does not exist or does not fit, or not to another.

    Examples:
        >>> memcore.study.compose("mine.toml", "vteam", adc="uniform")  # doctest: +SKIP
    """
    place = Path(path)
    config = CrossbarConfig(device=device, **crossbar)
    if place.exists():
        raise StudyError(f"'{place}' exists already; expected the name of a new file")
    write_atomic(place, encoded(text(_name(place.stem), config, tried(config))))
    return place


def text(name: str, config: CrossbarConfig, life: Life | None = None) -> str:
    """The content of a study file.

    Args:
        name: name of the study.
        config: crossbars of the study.
        life: what passes before the evaluation; nothing by default.
    """
    passed = {} if life is None else life.model_dump()
    general = General(name=name, checkpoint="digits_vgg", **passed).model_dump(mode="json")
    recipe = {name: field.default for name, field in Recipe.model_fields.items()}
    lines = [
        *_comment(f"Written by memcore {__version__}. {_HEAD}"),
        *_comment("Run it with: memcore run FILE"),
        *_section("study", general, _meanings(General)),
        *_comment("", _TRAIN),
        *_section("train", recipe, _meanings(Recipe), as_comments=True),
        *_crossbar(config),
        *_sweep(config),
    ]
    return "\n".join(lines) + "\n"


def _name(stem: str) -> str:
    """A name of a study from that of its file."""
    kept = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_")[:100]
    return kept or "study"


def _crossbar(config: CrossbarConfig) -> Iterator[str]:
    values, meanings = config.to_mapping(), _meanings(CrossbarConfig)
    own = {key: value for key, value in values.items() if key not in _TABLES}
    own["tile"] = "none" if own["tile"] is None else own["tile"]
    yield from _comment("", "What turns a layer into arrays of devices.")
    yield from _section("crossbar", own, meanings)
    for key in ("device", "mapper", "programmer"):
        plugin = getattr(config, key)
        yield from _comment("", f"{key}: {meanings[key]}")
        yield from _plugin(f"[crossbar.{key}]", plugin)
    for effect in config.nonidealities:
        yield ""
        yield from _plugin("[[crossbar.nonidealities]]", effect)
    for key in ("dac", "adc"):
        plugin = getattr(config, key)
        yield from _comment("", f"{key}: {meanings[key]}")
        if plugin is None:
            yield from _comment(f'crossbar.{key}.name = "uniform", say; absent here')
        else:
            yield from _plugin(f"[crossbar.{key}]", plugin)
    yield from _comment("", f"lanes: {meanings['lanes']}")
    for lane in values["lanes"]:
        yield from ("[[crossbar.lanes]]", *(_entry(key, each) for key, each in lane.items()))
    yield from _comment("", f"training: {meanings['training']}")
    yield from _section("crossbar.training", values["training"], _meanings(Rehearsal))


def _plugin(heading: str, plugin: Any) -> Iterator[str]:
    """A table with every parameter of a plugin."""
    cls = type(plugin)
    values, ranges = plain(plugin), allowed(cls)
    docs = (inspect.getdoc(cls) or "").partition("\n\n")[0]
    yield from _comment(docs)
    presets: Mapping[str, Any] = getattr(cls, "presets", {})
    if presets:
        yield from _comment(
            "Published sets, each in place of the parameters below: "
            + "; ".join(f'preset = "{key}", {each.source}' for key, each in presets.items())
        )
    yield heading
    yield _entry("name", values["name"])
    for field in dataclasses.fields(cls):
        if field.init:
            unit = field.metadata.get("unit", "1")
            known = (f"[{unit}]" if unit != "1" else "", ranges.get(field.name, ""))
            told = "; ".join([*filter(None, known), field.metadata.get("doc", "")])
            yield from _comment(told)
            yield _entry(field.name, values[field.name])


def _section(
    name: str,
    values: Mapping[str, Any],
    meanings: Mapping[str, str],
    *,
    as_comments: bool = False,
) -> Iterator[str]:
    """A table with every setting, those that are absent as comments."""
    yield from ("", f"[{name}]")
    for key, value in values.items():
        yield from _comment(meanings.get(key, ""))
        entry = _entry(key, value)
        yield f"# {entry}" if as_comments and value is not None else entry


def _entry(key: str, value: Any) -> str:
    """A line of a setting; as a comment where it is absent."""
    return f"# {key} =" if value is None else _toml.line(key, value)


def _comment(*paragraphs: str) -> Iterator[str]:
    """Comments that no text can end: what cannot be printed is escaped, lines are broken anew."""
    for paragraph in paragraphs:
        words = " ".join(printable(paragraph).split())
        lines = textwrap.wrap(words, _WIDE, break_long_words=False, break_on_hyphens=False)
        yield from (f"# {line}" for line in lines) if words else ("",)


def _sweep(config: CrossbarConfig) -> Iterator[str]:
    """A sweep to uncomment, over the first number of the device."""
    values = plain(config.device)
    numbers = {
        key: value
        for key, value in values.items()
        if isinstance(value, float) and 0 < value < float("inf")
    }
    yield from _comment("", "Without a sweep there is one point. One more axis makes a grid:")
    yield from ("# [[sweep]]", '# name = "what"', "# [sweep.axes]")
    key, value = next(iter(numbers.items()), ("", 0.0))
    path = f"device.{key}" if key else "temperature"
    around: Sequence[float] = [value / 2, value, 2 * value] if key else [280.0, 300.0, 350.0]
    yield f'# "{path}" = {[float(f"{each:.6g}") for each in around]}'


def _meanings(cls: type) -> dict[str, str]:
    """What the list of arguments or attributes in a docstring says of each."""
    listed = re.split(r"^(?:Args|Attributes):\n", inspect.getdoc(cls) or "", flags=re.MULTILINE)
    body = re.split(r"^\S", listed[-1], maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.split(r"^    (\w+): ", body, flags=re.MULTILINE)[1:]
    return {
        key: " ".join(told.split()) for key, told in zip(entries[::2], entries[1::2], strict=True)
    }
