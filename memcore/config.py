"""`CrossbarConfig`: everything that turns a layer into arrays of devices, as one frozen value."""

import dataclasses
import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

import memcore
from memcore import device_file
from memcore.distributions import DISTRIBUTIONS, Distribution
from memcore.errors import ConfigError
from memcore.hookspecs import (
    CONTRACTS,
    Contract,
    Converter,
    Mapper,
    Memristor,
    NonIdeality,
    Programmer,
)
from memcore.records import Stage
from memcore.verification import verify

C = TypeVar("C", bound=Contract)

#: A name, a mapping `{"name": ..., parameter: value}`, a class, or an instance; for a device also
#: a file `x.toml` in place of the name.
PluginSpec = str | Path | Mapping[str, Any] | Contract | type[Contract]


@dataclass(frozen=True, kw_only=True)
class CrossbarConfig:
    """How weights become arrays of devices, and how these are read.

    A plugin is given by name, as a mapping `{"name": ..., parameter: value}`, or as an instance; a
    device also by the name of a file, `"mine.toml"`, as `Fit.to_toml` writes it.

    Args:
        device: the memristor; a parameter that is a distribution is drawn for every cell.
        mapper: from weights to conductances.
        programmer: the routine that writes them.
        nonidealities: in the order in which those of one stage act, after those that belong to
            the device.
        without: names of effects to leave out, as `effects` has them.
        tile: word lines and bit lines of one array; None for one array as large as needed.
        dac: converter of the inputs; None applies them exactly.
        adc: converter of the outputs of each array; None reads them exactly.
        read_voltage: V, applied for an input of 1, or for the DAC's largest input.
        bias: `"digital"`, added after the arrays, or `"mapped"` onto an extra word line.
        adc_per: one conversion per `"output"`, after its columns were subtracted in the analogue
            domain, or per `"column"`, before.
        temperature: K.
    """

    device: Memristor
    mapper: Mapper = "differential"  # type: ignore[assignment]
    programmer: Programmer = "direct"  # type: ignore[assignment]
    nonidealities: tuple[NonIdeality, ...] = ()
    without: tuple[str, ...] = ()
    tile: tuple[int, int] | None = (128, 128)
    dac: Converter | None = None
    adc: Converter | None = None
    read_voltage: float = 0.2
    bias: Literal["digital", "mapped"] = "digital"
    adc_per: Literal["output", "column"] = "output"
    temperature: float = 300.0

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            device: PluginSpec,
            mapper: PluginSpec = "differential",
            programmer: PluginSpec = "direct",
            nonidealities: Sequence[PluginSpec] = (),
            without: Sequence[str] = (),
            tile: tuple[int, int] | None = (128, 128),
            dac: PluginSpec | None = None,
            adc: PluginSpec | None = None,
            read_voltage: float = 0.2,
            bias: Literal["digital", "mapped"] = "digital",
            adc_per: Literal["output", "column"] = "output",
            temperature: float = 300.0,
        ) -> None: ...

    def __post_init__(self) -> None:
        resolved: dict[str, Any] = {
            "device": plugin("devices", self.device),
            "mapper": plugin("mappers", self.mapper),
            "programmer": plugin("programmers", self.programmer),
            "nonidealities": tuple(
                plugin("nonidealities", spec)
                for spec in _sequence("nonidealities", self.nonidealities)
            ),
            "without": tuple(_sequence("without", self.without)),
            "dac": None if self.dac is None else plugin("converters", self.dac),
            "adc": None if self.adc is None else plugin("converters", self.adc),
            "tile": tuple(self.tile) if isinstance(self.tile, list) else self.tile,
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        self._validate()

    def _validate(self) -> None:
        tile = self.tile
        if tile is not None and not (
            isinstance(tile, tuple)
            and len(tile) == 2
            and all(isinstance(n, int) and n > 0 for n in tile)
        ):
            raise ConfigError(f"tile={tile!r}; expected (word lines, bit lines) or None")
        for name, unit in (("read_voltage", "V"), ("temperature", "K")):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < inf):
                raise ConfigError(f"{name}={value!r}; expected a number of {unit} > 0")
        for name, choices in (("bias", ("digital", "mapped")), ("adc_per", ("output", "column"))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}={getattr(self, name)!r}; expected one of {choices}")
        every = effect_names([*self.device.effects(), *self.nonidealities])
        for name in self.without:
            if name not in every:
                raise ConfigError(f"without: there is no effect {name!r}{_hint(name, every)}")
        mvm = [name for name, effect in self.effects.items() if effect.stage is Stage.MVM]
        if len(mvm) > 1:
            raise ConfigError(f"{', '.join(mvm)} all compute the product; at most one can")

    @property
    def effects(self) -> dict[str, NonIdeality]:
        """All effects by name, the device's own first, less those left out."""
        every = [*self.device.effects(), *self.nonidealities]
        named = zip(effect_names(every), every, strict=True)
        return {name: effect for name, effect in named if name not in self.without}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "CrossbarConfig":
        """Read what a TOML or JSON table holds.

        Raises:
            ConfigError: naming the key, and the nearest that exists.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for key in mapping:
            if key not in names:
                raise ConfigError(f"a crossbar has no setting {key!r}{_hint(key, names)}")
        if "device" not in mapping:
            raise ConfigError(f"a crossbar needs a device; installed: {', '.join(memcore.devices)}")
        values = dict(mapping)
        if values.get("tile") in ("none", False):
            values["tile"] = None
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path) -> "CrossbarConfig":
        """Read a TOML file, or the table `[crossbar]` of one."""
        table = tomllib.loads(Path(path).read_text())
        return cls.from_mapping(table.get("crossbar", table))

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`: plain values, every default written out."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def replace(self, **changes: Any) -> "CrossbarConfig":
        """A copy with some settings changed."""
        return dataclasses.replace(self, **changes)


def plugin(kind: str, spec: Any) -> Any:
    """The plugin instance that a name, a mapping, a class or an instance stands for.

    Raises:
        ConfigError: the spec or a parameter does not fit.
        RegistryError: the name is unknown or its plugin is broken.
    """
    contract = CONTRACTS[kind]
    if kind == "devices":
        spec = device_file.expanded(spec)
    if isinstance(spec, contract):
        verify(type(spec), kind, type(spec).__name__)
        return spec
    if isinstance(spec, type) and issubclass(spec, contract):
        verify(spec, kind, spec.__name__)
        return _build(spec, spec.__name__, {})
    registry = memcore.registries()[kind]
    if isinstance(spec, str):
        return _build(registry[spec], spec, {})
    if isinstance(spec, Mapping):
        values = dict(spec)
        name = values.pop("name", None)
        if not isinstance(name, str):
            raise ConfigError(
                f'{dict(spec)!r} has no "name"; expected one of {", ".join(registry)}'
            )
        return _build(registry[name], name, values)
    raise ConfigError(
        f"{spec!r} is no {contract.__name__}; expected a name, a mapping with a name, or an "
        f"instance of memcore.{contract.__name__}"
    )


def effect_names(nonidealities: Sequence[NonIdeality]) -> list[str]:
    """One distinct name for each effect: its registry name, numbered if it occurs again.

    The effects of a device are in no registry; theirs is the name of the class.
    """
    seen: Counter[str] = Counter()
    names = []
    for effect in nonidealities:
        name = provided_name(effect)
        if ":" in name:
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(effect).__name__).lower()
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names


def provided_name(instance: Contract) -> str:
    """The registry name of a plugin instance, `module:Class` if it has none."""
    target = f"{type(instance).__module__}:{type(instance).__qualname__}"
    registry = memcore.registries()[type(instance).kind]
    # An installed name rather than one that this process gave the same class.
    providers = sorted(registry.providers(), key=lambda p: p.entry_point is None)
    return next((p.name for p in providers if p.target == target), target)


def _build(cls: type[C], name: str, values: dict[str, Any]) -> C:
    preset = values.pop("preset", None)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{name!r} has no parameter {key!r}{_hint(key, list(fields))}")
    hints = get_type_hints(cls)
    parsed = {key: _parse(name, key, hints[key], value) for key, value in values.items()}
    if preset is not None:
        if not issubclass(cls, Memristor):
            raise ConfigError(f"{name!r} has no presets; only devices do")
        return cls.preset(preset, **parsed)
    try:
        return cls(**parsed)
    except TypeError as error:
        raise ConfigError(f"{name!r}: {error}") from error


def _parse(name: str, key: str, hint: Any, value: Any) -> Any:
    if isinstance(value, Distribution | Tensor):
        return value
    if isinstance(value, Mapping) and Distribution in get_args(hint):
        return _distribution(name, key, value)
    if Distribution in get_args(hint):
        hint = float
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            value
        )
    except ValidationError as error:
        problem = error.errors()[0]
        raise ConfigError(f"{name!r}: {key}={value!r}: {problem['msg']}") from error


def _distribution(name: str, key: str, value: Mapping[str, Any]) -> Distribution:
    if len(value) != 1 or not isinstance(next(iter(value.values())), Mapping):
        raise ConfigError(
            f"{name!r}: {key}={dict(value)!r}; expected a number or one distribution such as "
            "{normal = {mean = 100.0, std = 10.0}}; there are " + ", ".join(DISTRIBUTIONS)
        )
    kind, arguments = next(iter(value.items()))
    if kind not in DISTRIBUTIONS:
        raise ConfigError(f"{name!r}: {key}: no distribution {kind!r}{_hint(kind, DISTRIBUTIONS)}")
    try:
        return DISTRIBUTIONS[kind](**arguments)
    except TypeError as error:
        raise ConfigError(f"{name!r}: {key}: {error}") from error


def _hint(word: str, words: Sequence[str] | Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(words) or 'none'}"


def _sequence(name: str, value: Any) -> Sequence[Any]:
    if isinstance(value, str | Mapping | Contract | type):
        return [value]
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name}={value!r}; expected a list of effects")
    return list(value)


def plain(value: Any) -> Any:
    """Plugins, distributions and tensors as mappings, lists and numbers."""
    if isinstance(value, Contract):
        fields = dataclasses.fields(value)  # type: ignore[arg-type]
        values = {f.name: plain(getattr(value, f.name)) for f in fields if f.init}
        return {"name": provided_name(value), **values}
    if isinstance(value, Distribution):
        values = {k: v for k, v in dataclasses.asdict(value).items() if v is not None}
        return {type(value).name: values}
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
