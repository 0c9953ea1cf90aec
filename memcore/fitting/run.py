"""`memcore.fit`: a device model and measured data, made into the device that was measured."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from memcore._version import __version__
from memcore.contracts.device import Memristor
from memcore.fitting.begin import begin
from memcore.fitting.data import Data, load
from memcore.fitting.identify import Judgement, judge
from memcore.fitting.models import model_of, refusing_pulses
from memcore.fitting.options import require_acting, require_kinds, require_no_search
from memcore.fitting.records import IVCurve, Records, load_records
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.search import Problem, Scale, Solution, check, search
from memcore.fitting.space import Axis, axes, numbers, units
from memcore.fitting.tabulated import Tabulating, tabulate
from memcore.registry.specs import PluginSpec, provided_name

_AT_THE_END: Final = 1e-6  #: of the search's unit


def fit(
    device: PluginSpec,
    data: Data | IVCurve | Records | str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    delimiter: str = ",",
    dt: float | None = None,
    start: str | Mapping[str, float] | None = None,
    free: Sequence[str] | None = None,
    fixed: Sequence[str] | Mapping[str, float] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
    scale: Literal["linear", "relative", "asinh"] = "linear",
    floor: float = 0.01,
    loss: Literal["linear", "soft_l1", "huber", "cauchy"] = "linear",
    starts: int = 4,
    seed: int = 0,
    resample: bool | float = False,
    substeps: int = 1,
    date: str = "",
) -> Fit:
    """Fit the parameters of a device model to a measured loop or to a measured pulse response.

    Current under a voltage is predicted by `simulate`: the voltage measured at a sample is held
    until the next one, and the current at a sample is that of the state at its beginning. Uneven
    samples need `resample`: the voltage is then held on a grid of equal steps, and each sample is
    compared with the state at the nearest grid point. The conductance after pulses is that of
    `Memristor.pulses`, read by read, from a fresh cell.

    A device that holds what was measured, such as `tabular`, takes the data as they are, from
    several devices and cycles: nothing is searched, and of the options those for files, `fixed`
    with values and `date` apply.

    A parameter that cannot change its sign is searched by its logarithm. The uncertainties are
    those of independent noise of one size on the chosen scale: `s^2 (J^T J)^-1`, s^2 being the
    variance of the residuals. They know nothing of errors of the model itself, and there are none
    of a search that ran out of evaluations.

    An option that cannot act on the data or the device at hand is refused.

    Args:
        device: the model, by name, class, mapping or instance; distributions count as their
            nominal value.
        data: path of a CSV file, or `fitting.IVData` or `fitting.PulseData`; for a device that
            holds what was measured, a `fitting.PulseData` for each device or a `fitting.IVCurve`
            for each state.
        columns: of a file, the heading of each: time, voltage, current; or pulse, direction,
            conductance or resistance. For a device that holds what was measured, also device; or
            voltage, current and curve.
        units: of a file, the unit of each column, such as "mV" or "uS"; none is guessed.
        delimiter: of a file, between the columns.
        dt: of a file without times, s between two samples.
        start: where the parameters to be fitted begin: values by name, or a preset of the device.
            All others are those of the device given. Only of a device given by its name or class
            alone they are the preset's.
        free: parameters to fit; all numbers by default, but those that start at 0 and may be of
            any size.
        fixed: parameters to hold, or their values by name.
        bounds: least and greatest values by name.
        scale: differences of current count as they are (linear), relative to the value
            measured, or by their asinh.
        floor: for relative and asinh, the share of the largest value below which differences
            count as they are.
        loss: "linear" for least squares; the others bear outliers.
        starts: how many places to search from: the given one and the best of many drawn ones.
        seed: of the starts.
        resample: True for steps of the median interval, or their duration in s.
        substeps: steps between two samples; with more than one the voltage changes linearly.
        date: of the measurement, for the provenance.

    Raises:
        ConfigError: an argument or the data do not fit.
        MissingPackageError: scipy is not installed.

    Examples:
        >>> voltage = stimuli.sine(1.0, 1.0, dt=0.01, dtype=torch.float64)
        >>> trace = simulate(devices["linear_ion_drift"](x0=0.2), voltage, 0.01)
        >>> data = fitting.IVData(time=trace.time, voltage=voltage, current=trace.current)
        >>> found = fit("linear_ion_drift", data, free=["x0"])
        >>> round(found.device.x0, 4)
        0.2
    """
    options = {
        **{"columns": columns, "units": units, "delimiter": delimiter, "dt": dt, "start": start},
        **{"free": free, "fixed": fixed, "bounds": bounds, "scale": scale, "floor": floor},
        **{"loss": loss, "starts": starts, "seed": seed, "resample": resample},
        **{"substeps": substeps, "date": date},
    }
    require_kinds(options)
    changed = {name: value for name, value in options.items() if value != _DEFAULTS[name]}
    first, notes = begin(device, start, free, fixed)
    if isinstance(first, Tabulating):
        require_no_search(first, changed, data)
        records = load_records(data, columns, units, delimiter)  # type: ignore[arg-type]
        dated = {"date": date} if date else {}
        return tabulate(first, records, {"memcore": __version__, **dated})
    measured = load(data, columns, units, delimiter, dt)  # type: ignore[arg-type]
    require_acting({"scale": scale, **changed}, data, measured)
    searched = axes(first, free=free, fixed=tuple(fixed), bounds=bounds or {})
    check(scale, loss, floor, starts, len(measured.measured), len(searched))
    model = model_of(first, measured, resample=resample, substeps=substeps)
    refusing_pulses(lambda: model.require_repeatable({}))
    problem = Problem(model, searched, Scale(scale, model.measured, floor))
    solution = search(problem, loss, starts, seed)
    record = {
        "memcore": __version__,
        "device": provided_name(first),
        "date": date or None,
        "data": {**measured.source, "samples": len(model.measured)},
        "start": numbers(first),
        "free": [axis.name for axis in searched],
        "bounds": {name: list(pair) for name, pair in (bounds or {}).items()},
        "settings": {name: options[name] for name in _SETTINGS},
    }
    kept = {k: v for k, v in record.items() if v is not None}
    return _result(problem, solution, measured, notes, kept)


#: Of a search, for the provenance.
_SETTINGS: Final = ("scale", "floor", "loss", "starts", "seed", "resample", "substeps")
_DEFAULTS: Final = {name: p.default for name, p in signature(fit).parameters.items()}


def _result(
    problem: Problem,
    solution: Solution,
    data: Data,
    notes: Sequence[str],
    provenance: Mapping[str, Any],
) -> Fit:
    model, found = problem.model, problem.values(solution.place)
    judgement = judge(solution.jacobian, solution.noise, problem.axes)
    predicted = model.predict([found])[0]
    rms, size = (
        float(x.square().mean().sqrt()) for x in (predicted - model.measured, model.measured)
    )
    device = dataclasses.replace(model.nominal, **found)  # type: ignore[type-var]
    return Fit(
        device=device,
        parameters=_parameters(device, problem, solution, judgement),
        rms=rms,
        relative=rms / size if size else 0.0,
        unit=model.unit,
        warnings=(*notes, *model.notes, *_warnings(problem, solution, judgement)),
        provenance=provenance,
        abscissa=data.abscissa,
        voltage=data.applied,
        measured=model.measured,
        predicted=predicted,
    )


def _parameters(
    device: Memristor, problem: Problem, solution: Solution, judgement: Judgement
) -> dict[str, FittedParameter]:
    unit = units(device)
    rows = zip(
        problem.axes, solution.place, judgement.uncertainty, judgement.identifiable, strict=True
    )
    fitted = {
        axis.name: FittedParameter(
            name=axis.name,
            value=axis.value(float(u)),
            uncertainty=abs(axis.slope(axis.value(float(u)))) * float(spread)
            if solution.converged
            else math.nan,
            unit=axis.unit,
            identifiable=identifiable,
            note="at its bound" if _at_bound(axis, float(u)) else "",
        )
        for axis, u, spread, identifiable in rows
    }
    return {
        name: fitted.get(name)
        or FittedParameter(
            name=name, value=value, uncertainty=None, unit=unit[name], identifiable=None
        )
        for name, value in numbers(device).items()
    }


def _at_bound(axis: Axis, place: float) -> bool:
    return bool(np.min(np.abs(np.array(axis.limits) - place)) <= _AT_THE_END)


def _warnings(problem: Problem, solution: Solution, judgement: Judgement) -> tuple[str, ...]:
    found = []
    if judgement.unused:
        found.append(
            f"the prediction does not depend on {', '.join(judgement.unused)}, whose values mean "
            "nothing: fix them, or measure where they act"
        )
    found += judgement.combinations
    at_bound = [
        a.name for a, u in zip(problem.axes, solution.place, strict=True) if _at_bound(a, u)
    ]
    if at_bound:
        found.append(f"{', '.join(at_bound)} ended at a bound; uncertainties there mean little")
    if not solution.converged:
        found.append(
            "the search ran out of evaluations before it arrived: the values are not the best ones "
            "and how uncertain they are is unknown; give a better start or fewer parameters"
        )
    return tuple(found)
