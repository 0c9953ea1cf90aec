"""`CrossbarConfig`: everything that turns a layer into arrays of devices, as one frozen value."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import torch
from torch import Tensor

from memcore import _check, _toml
from memcore._text import hint, shown
from memcore.contracts.contract import Contract
from memcore.contracts.converter import Converter
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapper
from memcore.contracts.programmer import Programmer
from memcore.contracts.records import Stage
from memcore.contracts.units import KELVIN, MOST_KELVIN, MOST_READ_VOLTS, VOLTS
from memcore.crossbar.training import Rehearsal, rehearsal
from memcore.errors import ConfigError
from memcore.registry import device_file
from memcore.registry.instances import devices
from memcore.registry.specs import PluginSpec, effect_names, plain, plugin

_MOST_LINES: Final = 2**31  #: more than any array has
#: Settings that are one of a few words.
_CHOICES: Final = {
    "bias": ("digital", "mapped"),
    "adc_per": ("output", "column"),
    "dac_per": ("layer", "vector"),
    "groups": ("apart", "packed"),
    "faults": ("ignored", "avoided"),
}


@dataclass(frozen=True, kw_only=True)
class CrossbarConfig:
    """How weights become arrays of devices, and how these are read.

    A plugin is given by name, as a mapping `{"name": ..., parameter: value}`, or as an instance; a
    device also by the name of a file, `"mine.toml"`, as `Fit.to_toml` writes it, and so a
    non-ideality, as `RetentionFit.to_toml` does.

    Args:
        device: the memristor; a parameter that is a distribution is drawn for every cell.
        mapper: from weights to conductances.
        programmer: the routine that writes them; `"default"` or None for the one that the device
            names, `open_loop` if its physics is in its pulses, else `direct`.
        nonidealities: in the order in which those of one stage act, after those that belong to
            the device.
        without: names of effects to leave out, as `effects` has them.
        tile: word lines and bit lines of one array; None for one array as large as needed.
        dac: converter of the inputs; None applies them exactly.
        adc: converter of the outputs of each array; None reads them exactly.
        read_voltage: V, applied for an input of 1, or for the DAC's largest input; at most 10.
        bias: `"digital"`, added after the arrays, or `"mapped"` onto an extra word line.
        adc_per: one conversion per `"output"`, after its columns were subtracted in the analogue
            domain, or per `"column"`, before.
        dac_per: one scale of the inputs for a `"layer"`, as calibrated, or for each `"vector"`, a
            token for instance, which is divided by its largest magnitude before the DAC and
            multiplied by it behind the ADC, both digitally.
        temperature: K, of the arrays, for what feels it.
        rows_at_once: word lines of an array that are driven at once, each group with conversions of
            its own; None for all. Without an ADC and noise of the lines it changes no output, only
            how many reads that takes.
        groups: `"apart"`, arrays of its own for each group of a convolution, or `"packed"`, along
            the diagonal of one array as many as its lines, and `rows_at_once`, allow. That takes
            fewer arrays and reads; cells of zeros between the groups add their errors and noise.
        faults: `"ignored"`, or `"avoided"`: rows and columns are assigned to the lines of arrays so
            that the stuck cells, which are known, do least harm.
        spare_cols: bit lines of each array, of those of a tile, that carry nothing unless others
            are faulty.
        layers: names of `memcore.layers` that come before all others, for modules that are
            converted on request only, such as `"embedding"`, or in more than one way.
        training: what is read in training mode: a `Rehearsal`, a mapping of its settings, or
            `"rehearsal"` with all effects; `"off"` or None for the cells that were programmed.
    """

    device: Memristor
    mapper: Mapper | None = "differential"  # type: ignore[assignment]
    programmer: Programmer | None = "default"  # type: ignore[assignment]
    nonidealities: tuple[NonIdeality, ...] = ()
    without: tuple[str, ...] = ()
    tile: tuple[int, int] | None = (128, 128)
    dac: Converter | None = None
    adc: Converter | None = None
    read_voltage: float = 0.2
    bias: Literal["digital", "mapped"] = "digital"
    adc_per: Literal["output", "column"] = "output"
    dac_per: Literal["layer", "vector"] = "layer"
    temperature: float = 300.0
    rows_at_once: int | None = None
    groups: Literal["apart", "packed"] = "apart"
    faults: Literal["ignored", "avoided"] = "ignored"
    spare_cols: int = 0
    layers: tuple[str, ...] = ()
    training: Rehearsal | None = "rehearsal"  # type: ignore[assignment]

    _is_written_by_default: ClassVar[bool] = True  #: whether nobody asked for the programmer

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            device: PluginSpec,
            mapper: PluginSpec = "differential",
            programmer: PluginSpec | None = "default",
            nonidealities: Sequence[PluginSpec] = (),
            without: Sequence[str] = (),
            tile: tuple[int, int] | None = (128, 128),
            dac: PluginSpec | None = None,
            adc: PluginSpec | None = None,
            read_voltage: float = 0.2,
            bias: Literal["digital", "mapped"] = "digital",
            adc_per: Literal["output", "column"] = "output",
            dac_per: Literal["layer", "vector"] = "layer",
            temperature: float = 300.0,
            rows_at_once: int | None = None,
            groups: Literal["apart", "packed"] = "apart",
            faults: Literal["ignored", "avoided"] = "ignored",
            spare_cols: int = 0,
            layers: Sequence[str] = (),
            training: Rehearsal | Mapping[str, Any] | str | None = "rehearsal",
        ) -> None: ...

    def __post_init__(self) -> None:
        device = plugin("devices", self.device)
        resolved: dict[str, Any] = {
            "device": device,
            "mapper": None if self.mapper is None else plugin("mappers", self.mapper),
            "programmer": self._routine(device),
            "_is_written_by_default": not _is_asked_for(self.programmer),
            "nonidealities": tuple(
                plugin("nonidealities", spec)
                for spec in sequence("nonidealities", self.nonidealities)
            ),
            "without": tuple(sequence("without", self.without)),
            "layers": tuple(sequence("layers", self.layers)),
            "dac": None if self.dac is None else plugin("converters", self.dac),
            "adc": None if self.adc is None else plugin("converters", self.adc),
            "tile": tuple(self.tile) if isinstance(self.tile, list) else self.tile,
            "training": rehearsal(self.training),
        }
        for name, value in resolved.items():
            object.__setattr__(self, name, value)
        self._validate()

    def _routine(self, device: Memristor) -> Programmer | None:
        """The routine that is asked for, or that of the device; none for given conductances."""
        if self.programmer is None and self.mapper is None:
            return None
        named = self.programmer if _is_asked_for(self.programmer) else device.programmer
        routine: Programmer = plugin("programmers", named)
        return routine

    def _validate(self) -> None:
        tile = self.tile
        if tile is not None and not (
            isinstance(tile, tuple) and len(tile) == 2 and all(_is_count(n) for n in tile)
        ):
            raise ConfigError(f"tile={shown(tile)}; expected (word lines, bit lines) or None")
        if self.rows_at_once is not None and not _is_count(self.rows_at_once):
            raise ConfigError(
                f"rows_at_once={shown(self.rows_at_once)}; expected a number of word lines or None"
            )
        if not _is_count(self.spare_cols) and not (
            type(self.spare_cols) is int and self.spare_cols == 0
        ):
            raise ConfigError(
                f"spare_cols={shown(self.spare_cols)}; expected a number of bit lines, 0 for none"
            )
        for name, unit, most, remedy in (
            ("read_voltage", "V", MOST_READ_VOLTS, VOLTS),
            ("temperature", "K", MOST_KELVIN, KELVIN),
        ):
            value = _check.number(
                name, getattr(self, name), unit=unit, above=0, largest=most, remedy=remedy
            )
            object.__setattr__(self, name, value)
        for name, choices in _CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in choices:
                raise ConfigError(f"{name}={getattr(self, name)!r}; expected one of {choices}")
        every = effect_names([*self.device.effects(), *self.nonidealities])
        for name in self.without:
            if not isinstance(name, str):
                raise ConfigError(f"without has {shown(name)}; expected names of effects: {every}")
            if name not in every:
                raise ConfigError(f"without: there is no effect {name!r}{hint(name, every)}")
        for name in self.layers:
            if not isinstance(name, str):
                raise ConfigError(f"layers has {shown(name)}; expected names of memcore.layers")
        _require_one_product(self.effects)
        _require_scalable(self)
        if self.training is not None:
            self.training.require(every)
            _require_range(self)

    @property
    def effects(self) -> dict[str, NonIdeality]:
        """All effects by name, the device's own first, less those left out."""
        return dict(self._effects)

    @functools.cached_property
    def _effects(self) -> dict[str, NonIdeality]:
        every = [*self.device.effects(), *self.nonidealities]
        named = zip(effect_names(every), every, strict=True)
        return {name: effect for name, effect in named if name not in self.without}

    @classmethod
    def of_conductances(cls, **settings: Any) -> "CrossbarConfig":
        """The configuration of arrays whose conductances are given: nothing maps or writes them."""
        return cls(**settings, mapper=None, programmer=None)  # type: ignore[arg-type]

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "CrossbarConfig":
        """Read what a TOML or JSON table holds.

        Raises:
            ConfigError: naming the key, and the nearest that exists.
        """
        if not isinstance(mapping, Mapping):
            raise ConfigError(
                f"the crossbar is {shown(mapping)}; expected a mapping of its settings"
            )
        names = [field.name for field in dataclasses.fields(cls)]
        for key in mapping:
            if key not in names:
                raise ConfigError(f"a crossbar has no setting {shown(key)}{hint(key, names)}")
        if "device" not in mapping:
            raise ConfigError(f"a crossbar needs a device; installed: {', '.join(devices)}")
        values = dict(mapping)
        if values.get("tile") is False or values.get("tile") == "none":
            values["tile"] = None
        return cls(**values)

    @classmethod
    def from_toml(cls, path: str | Path) -> "CrossbarConfig":
        """Read a TOML file, or the table `[crossbar]` of one.

        The names of device files and effect files in it are relative to the folder of the TOML
        file.

        Raises:
            ConfigError: there is no such file, or it holds something else.
        """
        content = _toml.read(path, "crossbar file")
        table = content.get("crossbar", content)
        if isinstance(table, Mapping) and "device" in table:
            device = device_file.expanded(table["device"], Path(path).parent)
            table = {**table, "device": device}
        if isinstance(table, Mapping) and isinstance(table.get("nonidealities"), list):
            effects = [
                device_file.expanded(each, Path(path).parent, "nonidealities")
                for each in table["nonidealities"]
            ]
            table = {**table, "nonidealities": effects}
        return cls.from_mapping(table)

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`: plain values, every default written out."""
        fields = dataclasses.fields(self)
        values = {f.name: plain(getattr(self, f.name)) for f in fields if f.name != "training"}
        training = "off" if self.training is None else self.training.to_mapping()
        return {**values, "training": training}

    def replace(self, **changes: Any) -> "CrossbarConfig":
        """A copy with some settings changed.

        Another device is written as it says, unless a programmer was asked for.
        """
        if self._is_written_by_default and self.programmer is not None:
            changes.setdefault("programmer", "default")
        return dataclasses.replace(self, **changes)


def _require_scalable(config: CrossbarConfig) -> None:
    """Refuse what inputs that are scaled one by one do not go with."""
    if config.dac_per == "layer":
        return
    if config.bias == "mapped":
        raise ConfigError(
            "dac_per='vector' with bias='mapped', which would be scaled as the inputs are; "
            "expected bias='digital'"
        )
    if config.training is not None and config.training.input_range is not None:
        raise ConfigError(
            "dac_per='vector' with an input_range of training, which is one for all vectors; "
            "expected one of the two"
        )


def _require_range(config: CrossbarConfig) -> None:
    """Refuse a range of the inputs that training should find and nothing has."""
    if config.training is None or config.training.input_range is None:
        return
    if config.dac is None:
        raise ConfigError(
            "training has an input_range, but there is no DAC that has a range; expected "
            'dac="uniform" or another'
        )
    if config.dac.observe(torch.zeros(0)) is not None:
        raise ConfigError(
            "training has an input_range, but the range of the DAC is fixed; expected a DAC "
            "without full_scale"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST_LINES


def _is_asked_for(programmer: object) -> bool:
    return not (programmer is None or (isinstance(programmer, str) and programmer == "default"))


def sequence(name: str, value: Any) -> Sequence[Any]:
    """What should be a list, and is one if it is a single one.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, str | Mapping | Contract | type):
        return [value]
    if not isinstance(value, Iterable) or isinstance(value, Tensor | bytes):
        raise ConfigError(f"{name}={shown(value)}; expected a list of effects")
    return list(value)


def _require_one_product(effects: Mapping[str, NonIdeality]) -> None:
    """Refuse effects of which each has another answer to what multiplies the voltages."""
    products = {name: each for name, each in effects.items() if each.stage is Stage.MVM}
    if len(products) <= 1:
        return
    alone = [name for name, each in products.items() if not each.brings]
    if alone:
        raise ConfigError(
            f"{', '.join(products)} all compute the product, {', '.join(alone)} in a way of its "
            "own; expected one such effect alone, or effects that bring different parts of one "
            "circuit: wires (ir_drop), a law (nonlinear_iv), what is in series (transistor, "
            "selector)"
        )
    names: dict[str, str] = {}
    for name, each in products.items():
        for part in sorted(each.brings):
            other = names.setdefault(part, name)
            if other != name:
                raise ConfigError(
                    f"{other} and {name} both bring {_PARTS.get(part, part)} to the circuit of an "
                    "array; expected one of them: leave the other out"
                )


#: Parts of a circuit, as they are called in messages.
_PARTS = {"wires": "wires", "law": "a law of the cells", "series": "an element in series"}
