"""From what a user writes to plugin instances, and back to plain values."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError
from torch import Tensor

from memcore import _check
from memcore._text import hint, shown
from memcore.contracts import CONTRACTS
from memcore.contracts.contract import Contract
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import DISTRIBUTIONS, Distribution
from memcore.contracts.effect import NonIdeality
from memcore.errors import ConfigError
from memcore.registry import device_file
from memcore.registry.instances import registries
from memcore.registry.verify import verify

C = TypeVar("C", bound=Contract)

#: A name, a mapping `{"name": ..., parameter: value}`, a class, or an instance; for a device or a
#: non-ideality also a file `x.toml` in place of the name.
PluginSpec = str | Path | Mapping[str, Any] | Contract | type[Contract]


def plugin(kind: str, spec: Any) -> Any:
    """The plugin instance that a name, a mapping, a class or an instance stands for.

    Raises:
        ConfigError: the spec or a parameter does not fit.
        RegistryError: the name is unknown or its plugin is broken.
    """
    contract = CONTRACTS[kind]
    spec = device_file.expanded(spec, kind=kind)
    if isinstance(spec, contract):
        verify(type(spec), kind, type(spec).__name__)
        return spec
    if isinstance(spec, type) and issubclass(spec, contract):
        verify(spec, kind, spec.__name__)
        return _build(spec, spec.__name__, {})
    registry = registries()[kind]
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
        f"{shown(spec)} is no {contract.__name__}; expected a name, a mapping with a name, or an "
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
    registry = registries()[type(instance).kind]
    # An installed name rather than one that this process gave the same class.
    providers = sorted(registry.providers(), key=lambda p: p.entry_point is None)
    return next((p.name for p in providers if p.target == target), target)


def _build(cls: type[C], name: str, values: dict[str, Any]) -> C:
    preset = values.pop("preset", None)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ConfigError(f"{name!r} has no parameter {key!r}{hint(key, list(fields))}")
    hints = get_type_hints(cls)
    parsed = {key: _parse(name, fields[key], hints[key], value) for key, value in values.items()}
    if preset is not None:
        if not issubclass(cls, Memristor):
            raise ConfigError(f"{name!r} has no presets; only devices do")
        return cls.preset(preset, **parsed)
    try:
        return cls(**parsed)
    except TypeError as error:
        raise ConfigError(f"{name!r}: {error}") from error


def _parse(name: str, field: dataclasses.Field[Any], kind: Any, value: Any) -> Any:
    key = field.name
    if isinstance(value, Distribution | Tensor):
        return value
    if isinstance(value, Mapping) and Distribution in get_args(kind):
        return _distribution(name, key, value)
    if Distribution in get_args(kind):
        kind = float
    try:
        parsed = TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
            value
        )
    except ValidationError as error:
        expected = _number(field, kind)
        told = f"; expected {expected}" if expected else f": {error.errors()[0]['msg']}"
        raise ConfigError(f"{name!r}: {key}={shown(value)}{told}") from error
    if isinstance(parsed, int | float) and isinstance(value, bool | str) and parsed is not value:
        raise ConfigError(
            f"{name!r}: {key}={value!r}; expected {_number(field, kind) or 'a number'}"
        )
    return parsed


def _number(field: dataclasses.Field[Any], kind: Any) -> str:
    """What a number of a plugin is, with its unit; empty where something else is expected."""
    if get_origin(kind) not in (None, UnionType, Union):
        return ""
    kinds = get_args(kind) or (kind,)
    if not {int, float} & set(kinds):
        return ""
    noun = "a number" if float in kinds else "a whole number"
    unit = field.metadata.get("unit", "1")
    return noun if unit == "1" else f"{noun} in {unit}"


def _distribution(name: str, key: str, value: Mapping[str, Any]) -> Distribution:
    if len(value) != 1 or not isinstance(next(iter(value.values())), Mapping):
        raise ConfigError(
            f"{name!r}: {key}={dict(value)!r}; expected a number or one distribution such as "
            "{normal = {mean = 100.0, std = 10.0}}; there are " + ", ".join(DISTRIBUTIONS)
        )
    kind, arguments = next(iter(value.items()))
    if kind not in DISTRIBUTIONS:
        raise ConfigError(f"{name!r}: {key}: no distribution {kind!r}{hint(kind, DISTRIBUTIONS)}")
    try:
        return DISTRIBUTIONS[kind](**arguments)
    except TypeError as error:
        raise ConfigError(f"{name!r}: {key}: {error}") from error


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
        if not _check.is_plain(value):
            raise ConfigError(f"{shown(value)}; expected a dense tensor of real numbers")
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
