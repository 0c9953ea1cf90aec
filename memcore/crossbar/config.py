"""`CrossbarConfig`: everything that turns a layer into arrays of devices, as one frozen value."""

import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from memcore import _check, _toml
from memcore._text import hint, shown
from memcore.contracts.converter import Converter
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.mapper import Mapper
from memcore.contracts.programmer import Programmer
from memcore.contracts.units import KELVIN, MOST_KELVIN, MOST_READ_VOLTS, VOLTS
from memcore.crossbar.combinations import (
    require_bounded,
    require_lanes,
    require_one_product,
    require_ranges,
    require_scalable,
)
from memcore.crossbar.lane import Lane, lanes_of, sequence
from memcore.crossbar.packed import Kept
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
    "bound_management": ("none", "iterative"),
    "groups": ("apart", "packed"),
    "faults": ("ignored", "avoided"),
    "cells": ("full", "float16", "codes"),
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
            multiplied by it behind the ADC, both digitally. Elsewhere that is called noise
            management by `abs_max`.
        bound_management: `"none"`, or `"iterative"`: a vector of which an output is beyond the
            levels of the ADC is read again with half of its inputs, at most 10 times, and its
            outputs are multiplied back digitally; Gokmen, Onen and Haensch, Front. Neurosci. 11:538
            (2017). Each repetition is a read, with noise and costs of its own.
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
        cells: how conductances are kept between writings: `"full"`, in the dtype of the weights;
            `"float16"`, rounded by at most 2^-11 of each; or `"codes"`, one byte for an entry of a
            table of at most 256 conductances, which changes nothing. The last two need reads that
            are products with at most normal noise of the cells.
        lanes: what is special about each lane of the mapping, such as the slices of `bit_slice`,
            the lowest one first: a `Lane` or a mapping of its settings (device, nonidealities, adc,
            copies) for each; () where all are alike.
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
    bound_management: Literal["none", "iterative"] = "none"
    temperature: float = 300.0
    rows_at_once: int | None = None
    groups: Literal["apart", "packed"] = "apart"
    faults: Literal["ignored", "avoided"] = "ignored"
    spare_cols: int = 0
    cells: Kept = "full"
    lanes: tuple[Lane, ...] = ()
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
            bound_management: Literal["none", "iterative"] = "none",
            temperature: float = 300.0,
            rows_at_once: int | None = None,
            groups: Literal["apart", "packed"] = "apart",
            faults: Literal["ignored", "avoided"] = "ignored",
            spare_cols: int = 0,
            cells: Kept = "full",
            lanes: Sequence[Lane | Mapping[str, Any]] = (),
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
            "lanes": lanes_of(self.lanes),
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
        self._require_sizes()
        self._require_quantities()
        for name, choices in _CHOICES.items():
            if not isinstance(getattr(self, name), str) or getattr(self, name) not in choices:
                raise ConfigError(f"{name}={getattr(self, name)!r}; expected one of {choices}")
        every = list(self._every_effect)
        self._require_names(every)
        for one in self.of_lanes or (self,):
            require_one_product(one.effects)
        require_scalable(self.dac_per, self.bias, self.training)
        require_bounded(self.bound_management, self.dac, self.adcs, self.bias, self.training)
        require_lanes(self.lanes, self.mapper, self.adcs)
        if self.training is not None:
            self.training.require(every)
            require_ranges(self.training, self.dac, self.adcs)

    def _require_sizes(self) -> None:
        """Refuse numbers of lines that no array has."""
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

    def _require_quantities(self) -> None:
        """Take quantities as plain numbers, and refuse those beyond what devices see."""
        for name, unit, most, remedy in (
            ("read_voltage", "V", MOST_READ_VOLTS, VOLTS),
            ("temperature", "K", MOST_KELVIN, KELVIN),
        ):
            value = _check.number(
                name, getattr(self, name), unit=unit, above=0, largest=most, remedy=remedy
            )
            object.__setattr__(self, name, value)

    def _require_names(self, every: list[str]) -> None:
        """Refuse names of effects that there are not, and what names no layer."""
        for name in self.without:
            if not isinstance(name, str):
                raise ConfigError(f"without has {shown(name)}; expected names of effects: {every}")
            if name not in every:
                raise ConfigError(f"without: there is no effect {name!r}{hint(name, every)}")
        for name in self.layers:
            if not isinstance(name, str):
                raise ConfigError(f"layers has {shown(name)}; expected names of memcore.layers")

    @property
    def effects(self) -> dict[str, NonIdeality]:
        """All effects by name, the device's own first, less those left out.

        One of several lanes has one name, and stands here once.
        """
        return dict(self._effects)

    @functools.cached_property
    def _effects(self) -> dict[str, NonIdeality]:
        every = self._every_effect
        return {name: effect for name, effect in every.items() if name not in self.without}

    @functools.cached_property
    def _every_effect(self) -> dict[str, NonIdeality]:
        """All effects by name, those left out among them."""
        named: dict[str, NonIdeality] = {}
        for lane in self.lanes or (Lane(),):
            device = self.device if lane.device is None else lane.device
            every = [*device.effects(), *self.nonidealities, *lane.nonidealities]
            for name, effect in zip(effect_names(every), every, strict=True):
                named.setdefault(name, effect)
        return named

    @property
    def devices(self) -> tuple[Memristor, ...]:
        """The device of each lane, or the only one."""
        lanes = (self.device if lane.device is None else lane.device for lane in self.lanes)
        return tuple(lanes) or (self.device,)

    @property
    def adcs(self) -> tuple[Converter, ...]:
        """The ADC of each lane, or the only one; () without any."""
        if self.adc is None:
            return ()
        lanes = (self.adc if lane.adc is None else lane.adc for lane in self.lanes)
        return tuple(lanes) or (self.adc,)

    @property
    def lanes_differ(self) -> bool:
        """Whether the cells of lanes are of devices, or have effects, of their own."""
        return any(lane.has_own_cells for lane in self.lanes)

    @functools.cached_property
    def of_lanes(self) -> tuple["CrossbarConfig", ...]:
        """What holds for the cells of each lane, as if all were of its kind; () without lanes."""
        return tuple(self._of_lane(lane) for lane in self.lanes)

    def _of_lane(self, lane: Lane) -> "CrossbarConfig":
        device = self.device if lane.device is None else lane.device
        every = (*self.nonidealities, *lane.nonidealities)
        there = effect_names([*device.effects(), *every])
        return self.replace(
            device=device,
            nonidealities=every,
            without=tuple(name for name in self.without if name in there),
            adc=self.adc if lane.adc is None else lane.adc,
            lanes=(),
            training=None,
        )

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
        tile = values.get("tile")
        if tile is False or (isinstance(tile, str) and tile == "none"):
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
        if isinstance(table, Mapping):
            table = device_file.table_expanded(table, Path(path).parent)
        return cls.from_mapping(table)

    def to_mapping(self) -> dict[str, Any]:
        """The inverse of `from_mapping`: plain values, every default written out."""
        fields = dataclasses.fields(self)
        own = ("training", "lanes")
        values = {f.name: plain(getattr(self, f.name)) for f in fields if f.name not in own}
        training = "off" if self.training is None else self.training.to_mapping()
        lanes = [lane.to_mapping() for lane in self.lanes]
        return {**values, "lanes": lanes, "training": training}

    def without_adc(self) -> "CrossbarConfig":
        """A copy whose outputs are read exactly in all lanes."""
        lanes = tuple(dataclasses.replace(lane, adc=None) for lane in self.lanes)
        training = self._training_of({"adc"})
        return dataclasses.replace(
            self, adc=None, lanes=lanes, training=training, bound_management="none"
        )

    def _training_of(self, gone: Collection[str]) -> Rehearsal | None:
        """What is read in training mode where some of the converters are gone."""
        kept = {name: name not in gone for name in ("dac", "adc")}
        return None if self.training is None else self.training.with_converters(**kept)

    def replace(self, **changes: Any) -> "CrossbarConfig":
        """A copy with some settings changed.

        Another device is written as it says, unless a programmer was asked for. A range that
        training finds goes with its converter, and so does the management of what an ADC clips.
        """
        gone = {name for name in ("dac", "adc") if changes.get(name, self) is None}
        if gone:
            changes.setdefault("training", self._training_of(gone))
        if "adc" in gone:
            changes.setdefault("bound_management", "none")
        if self._is_written_by_default and self.programmer is not None:
            changes.setdefault("programmer", "default")
        return dataclasses.replace(self, **changes)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < _MOST_LINES


def _is_asked_for(programmer: object) -> bool:
    return not (programmer is None or (isinstance(programmer, str) and programmer == "default"))
