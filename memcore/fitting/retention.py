"""`fit_retention`: an effect of ageing and reads in time, made into the effect that was measured.

The logarithms of the conductances are fitted with a level for each cell, its conductance right
after the write, and with parameters that are shared or differ from cell to cell.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from memcore import _check
from memcore._tensor import as_tensor
from memcore._text import shown
from memcore._version import __version__
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution, LogNormal, Normal
from memcore.contracts.effect import NonIdeality
from memcore.contracts.units import KELVIN, MOST_KELVIN
from memcore.errors import ConfigError
from memcore.fitting.ageing import AgeingModel, Reads, Retaining, require_retaining
from memcore.fitting.identify import Judgement, judge
from memcore.fitting.options import FitOptions
from memcore.fitting.result import FittedParameter
from memcore.fitting.retention_data import RetentionData, load_retention
from memcore.fitting.retention_result import RetentionFit
from memcore.fitting.retention_search import (
    TOLD,
    Search,
    Solution,
    require_numbers,
    root,
)
from memcore.fitting.space import numbers
from memcore.registry.specs import PluginSpec, plugin, provided_name

_ACTING: Final = (
    *("columns", "units", "read_voltage", "delimiter", "decimal", "encoding", "record", "marks"),
    *("missing", "transposed", "start", "free", "fixed", "bounds", "seed", "date", "progress"),
)
_WIDE: Final = 1.96  #: standard deviations to each side that hold 95 %


def fit_retention(
    effect: PluginSpec,
    data: "RetentionData | Sequence[RetentionData] | str | Path",
    *,
    device: PluginSpec | None = None,
    temperature: float = 300.0,
    spread: bool | None = None,
    options: FitOptions | None = None,
    **settings: Any,
) -> RetentionFit:
    """Fit an effect of ageing to conductances that were read as time passed.

    Each cell has a conductance right after its write, which is fitted, too, and noise of reads in
    proportion to the conductance. A parameter such as the drift exponent may differ from cell to
    cell: then the result has a distribution there, whose spread is that of the cells without what
    the noise adds.

    Args:
        effect: the effect, such as "drift" or "retention"; parameters that are not fitted keep
            their values.
        data: path of a text file with the columns time and conductance, resistance or current, and
            perhaps device and level, whose labels tell the cells apart; or a
            `fitting.RetentionData` for each cell.
        device: the device whose window the cells have; None for a window from the lowest to the
            highest conductance of the data.
        temperature: temperature of the cells in K.
        spread: whether cells may differ in a parameter that can be a distribution. None lets the
            data tell, where there are three cells or more.
        options: how the file is read, and `start`, `free`, `fixed` and `bounds`; None for the
            defaults.
        settings: options by their names in `fitting.FitOptions`, in place of those in `options`.

    Raises:
        ConfigError: an argument or the data do not fit, or an option cannot act.
        MissingPackageError: scipy is not installed.

    Examples:
        >>> time = torch.logspace(1, 5, 20)
        >>> data = fitting.RetentionData(time=time, conductance=2e-5 * (1 + time / 20) ** -0.05)
        >>> fitted = fitting.fit_retention("drift", data, fixed=["t0"])
        >>> round(fitted.effect.nu, 4)
        0.05
    """
    chosen = FitOptions.of(options, settings)
    _require_acting(chosen)
    temperature = _check.number(
        "temperature", temperature, unit="K", above=0, largest=MOST_KELVIN, remedy=KELVIN
    )
    if not isinstance(spread, bool | None):
        raise ConfigError(f"spread={shown(spread)}; expected True, False or None")
    records = load_retention(
        data,
        chosen.columns,
        chosen.units,
        read_voltage=chosen.volts_of_reads,
        **chosen.dialect,
    )
    reads = Reads(records)
    first, window = _started(effect, device, reads, chosen)
    search = Search(AgeingModel(first, window, reads, temperature), chosen, spread)
    remarks = [line for each in records for line in each.remarks]
    return _result(search, search.solved(), records, remarks, chosen)


def _require_acting(options: FitOptions) -> None:
    for name, value in options.changed.items():
        if name not in _ACTING:
            raise ConfigError(
                f"{name}={shown(value)} does not act on a fit of retention; leave {name} out"
            )


def _started(
    spec: PluginSpec, device: PluginSpec | None, reads: Reads, options: FitOptions
) -> tuple[NonIdeality, Memristor]:
    """The effect at the start of the search, and a device with the window of the cells."""
    effect: NonIdeality = plugin("nonidealities", spec)
    require_retaining(effect)
    held = dict(options.fixed) if isinstance(options.fixed, Mapping) else {}
    if isinstance(options.start, str):
        raise ConfigError(
            f"start={options.start!r}; expected values by name: effects have no preset"
        )
    given = {**(options.start or {}), **held}
    require_numbers(effect, "start", options.start or {})
    require_numbers(effect, "fixed", options.fixed)
    nominal = {
        field.name: value.nominal
        for field in dataclasses.fields(effect)  # type: ignore[arg-type]
        if isinstance(value := getattr(effect, field.name), Distribution)
    }
    effect = dataclasses.replace(effect, **{**nominal, **given})  # type: ignore[type-var]
    window = plugin("devices", device).nominal() if device is not None else _window(reads)
    if isinstance(effect, Retaining):
        ends = window.nominal_range() if device is not None else None
        effect = effect.anchored(as_tensor(reads.first).exp(), ends)
    return effect, window


def _window(reads: Reads) -> Memristor:
    low, high = math.exp(reads.first.min()), math.exp(reads.first.max())
    made: Memristor = plugin("devices", {"name": "ideal", "r_on": 1 / high, "r_off": 1.001 / low})
    return made


def _result(
    search: Search,
    found: Solution,
    records: Sequence[RetentionData],
    remarks: Sequence[str],
    options: FitOptions,
) -> RetentionFit:
    model, place = search.model, found.place
    said = judge(root(found.solved.information), found.solved.sigma, found.axes)
    certain = not found.misfit and found.converged
    values: dict[str, Any] = {
        axis.name: axis.value(float(u)) for axis, u in zip(found.axes, place.shared, strict=True)
    }
    drawn, spreads = _spreads(found, certain)
    predicted = np.exp(search.at(found.axes, place, found.differing))
    return RetentionFit(
        effect=dataclasses.replace(model.effect, **{**values, **drawn}),  # type: ignore[type-var]
        parameters={**_parameters(found, said, values, certain), **spreads},
        rms=float(np.sqrt(np.mean((predicted / np.exp(model.reads.logs) - 1) ** 2))),
        noise=found.solved.sigma,
        warnings=(*remarks, *_warnings(found, said.combinations, said.unused)),
        misfit=found.misfit,
        cells=tuple(each.label or f"cell {k}" for k, each in enumerate(records)),
        initial=tuple(float(x) for x in np.exp(place.levels)),
        time=tuple(each.time for each in records),
        measured=tuple(each.conductance for each in records),
        predicted=tuple(np.split(predicted, np.flatnonzero(np.diff(model.reads.cell)) + 1)),
        provenance=_provenance(model, found, records, options),
    )


def _parameters(
    found: Solution, said: Judgement, values: Mapping[str, Any], certain: bool
) -> dict[str, FittedParameter]:
    """The parameters that all cells share, with their uncertainties where the fit is certain."""
    few = np.array([_few(_freedom(found, k)) for k in range(len(found.axes))])
    return {
        axis.name: FittedParameter(
            name=axis.name,
            value=values[axis.name],
            uncertainty=axis.distance(values[axis.name], *map(float, side))
            if certain
            else math.nan,
            unit=axis.unit,
            identifiable=known,
        )
        for axis, side, known in zip(
            found.axes, (said.sides * few).T, said.identifiable, strict=True
        )
    }


def _provenance(
    model: AgeingModel, found: Solution, records: Sequence[RetentionData], options: FitOptions
) -> dict[str, Any]:
    """What was fitted to what, from where."""
    return {
        "memcore": __version__,
        "effect": provided_name(model.effect),
        **({"date": options.date} if options.date else {}),
        "data": {
            **records[0].source,
            "samples": len(model.reads.logs),
            "cells": model.reads.cells,
        },
        "temperature": model.temperature,
        "window": [float(end) for end in model.device.nominal_range()],
        "start": numbers(model.effect),
        "free": [axis.name for axis in found.axes],
    }


def _freedom(found: Solution, k: int) -> int:
    """The cells, or samples, that tell a parameter, less those that are needed to do so."""
    if k not in found.differing:
        return found.linear.freedom
    told = found.linear.products[:, k, k]
    return int((told > TOLD * told.max()).sum()) - 1


def _few(freedom: int) -> float:
    """The factor of an uncertainty that comes from few samples or cells, by Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, max(freedom, 1))) / _WIDE


def _above(error: float) -> float:
    """The uncertainty of a spread over it, whose logarithm has an error: that upwards, by chi^2."""
    from scipy.stats import chi2

    freedom = max(0.5 / max(error, 1e-9) ** 2, 0.5)
    return (math.sqrt(freedom / float(chi2.ppf(0.025, freedom))) - 1) / _WIDE


def _spreads(
    found: Solution, certain: bool
) -> tuple[dict[str, Distribution], dict[str, FittedParameter]]:
    """Distributions of the parameters that differ, and their spreads as parameters."""
    drawn: dict[str, Distribution] = {}
    told: dict[str, FittedParameter] = {}
    for column, k in enumerate(found.differing):
        axis = found.axes[k]
        std = float(found.solved.ratios[column] * found.solved.sigma)
        centre = axis.value(float(found.place.shared[k]))
        word, size, unit = ("sigma", std, "1") if axis.log else ("std", std * axis.scale, axis.unit)
        drawn[axis.name] = LogNormal(centre, size) if axis.log else Normal(centre, size)
        error = found.linear.spread_error(found.solved, column)
        told[f"{axis.name}.{word}"] = FittedParameter(
            name=f"{axis.name}.{word}",
            value=size,
            uncertainty=size * _above(error) if certain else math.nan,
            unit=unit,
            identifiable=error <= 1,
        )
    return drawn, told


def _warnings(
    found: Solution, combinations: Sequence[str], unused: Sequence[str]
) -> tuple[str, ...]:
    lines = []
    if found.misfit:
        lines.append(
            f"{found.misfit}; there are no uncertainties: compare the picture of the fit, and give "
            "another model"
        )
    if found.idle:
        lines.append(
            f"the data do not determine {', '.join(found.idle)}, kept as given: measure earlier, "
            "later or at other levels"
        )
    if unused:
        lines.append(f"the prediction does not depend on {', '.join(unused)}")
    lines += combinations
    if not found.converged:
        lines.append("the search did not arrive; give a better start or fewer parameters")
    return tuple(lines)
