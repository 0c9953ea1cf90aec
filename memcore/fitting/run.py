"""`memcore.fit`: a device model and measured data, made into the device that was measured."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from memcore._version import __version__
from memcore.contracts.device import Memristor
from memcore.fitting.amplitudes import unlike
from memcore.fitting.device_records import IVCurve, Records, load_records
from memcore.fitting.identify import Judgement, judge
from memcore.fitting.measurements import Data, load
from memcore.fitting.oddities import oddities
from memcore.fitting.options import (
    FitOptions,
    require_acting,
    require_no_search,
    signature_of,
)
from memcore.fitting.predictions import models_of, refusing_pulses
from memcore.fitting.problem import Problem
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.scaling import DataScale
from memcore.fitting.search import Optimum, require_enough, search
from memcore.fitting.space import SearchAxis, axes, lengths, numbers, units
from memcore.fitting.start import says_nothing, starting_device
from memcore.fitting.tabulated import Tabulating, tabulate
from memcore.fitting.zeros import left_at_zero
from memcore.registry.specs import PluginSpec, provided_name

_AT_THE_END: Final = 1e-6  #: of the search's unit


def fit(
    device: PluginSpec,
    data: Data | IVCurve | Records | str | Path,
    *,
    options: FitOptions | None = None,
    **settings: Any,
) -> Fit:
    """Fit the parameters of a device model to a measured loop or to a measured pulse response.

    Current under a voltage is predicted by `simulate`: the voltage measured at a sample is held
    until the next one, and the current at a sample is that of the state at its beginning. Uneven
    samples need `resample`: the voltage is then held on a grid of equal steps, and each sample is
    compared with the state at the nearest grid point. The conductance after pulses is that of
    `Memristor.pulses`, read by read, from a fresh cell.

    A device that holds what was measured, such as `tabular`, takes the data as they are, from
    several devices and cycles: nothing is searched, and only the options that describe files,
    `fixed` with values and `date` apply.

    A parameter that cannot change its sign is searched by its logarithm. The uncertainties are
    those of independent noise of one size on the chosen scale: `s^2 (J^T J)^-1`, s^2 being the
    variance of the residuals. They do not include errors of the model itself, and there are none
    for a search that ran out of evaluations.

    An option that cannot act on the data or the device at hand is refused.

    Args:
        device: the model, by name, class, mapping or instance; distributions count as their
            nominal value.
        data: path of a CSV file, or `fitting.IVData` or `fitting.PulseData`; for a device that
            holds what was measured, a `fitting.PulseData` for each device or a `fitting.IVCurve`
            for each state.
        options: how the file is read and how the search is done; None for the defaults.
        settings: options by their names in `fitting.FitOptions`, in place of those in `options`.

    Raises:
        ArgumentTypeError: there is no such option.
        ConfigError: an argument or the data do not fit.
        MissingPackageError: scipy is not installed.

    Examples:
        >>> voltage = stimuli.sine(1.0, 1.0, dt=0.01, dtype=torch.float64)
        >>> trace = simulate(devices["linear_ion_drift"](x0=0.2), voltage, 0.01)
        >>> data = fitting.IVData(time=trace.time, voltage=voltage, current=trace.current)
        >>> fitted = fit("linear_ion_drift", data, free=["x0"])
        >>> round(fitted.device.x0, 4)
        0.2
    """
    chosen = FitOptions.of(options, settings)
    first, notes = starting_device(device, chosen)
    if isinstance(first, Tabulating):
        return _tabulated(first, data, chosen)
    given = chosen.start is not None or not says_nothing(device)
    return _searched(first, data, chosen, notes, given)


#: What editors and `help` show: every option by its name.
fit.__signature__ = signature_of(fit)  # type: ignore[attr-defined]


def _tabulated(device: Tabulating, data: Any, options: FitOptions) -> Fit:
    """The device that holds the data."""
    require_no_search(device, options, data)
    records = load_records(
        data, options.columns, options.units, options.volts_of_reads, **options.dialect
    )
    dated = {"date": options.date} if options.date else {}
    made = tabulate(device, records, {"memcore": __version__, **dated})
    return dataclasses.replace(made, warnings=(*made.warnings, *unlike(records, made.device)))


def _searched(
    first: Memristor, data: Any, options: FitOptions, notes: Sequence[str], given: bool
) -> Fit:
    """The device that fits the data best."""
    measured = load(
        data,
        options.columns,
        options.units,
        dt=options.dt,
        read_voltage=options.volts_of_reads,
        **options.dialect,
    )
    require_acting(options, data, measured)
    fitted = axes(
        first,
        free=options.free,
        fixed=tuple(options.fixed),
        bounds=options.bounds or {},
        scale=DataScale.of(measured, lengths(first)),
    )
    models = refusing_pulses(
        lambda: models_of(
            first,
            measured,
            resample=options.resample,
            substeps=options.substeps,
            load=options.load,
        )
    )
    require_enough(int(models[0].compared.sum()), len(fitted))
    refusing_pulses(lambda: models[0].require_repeatable({}))
    robust = options.loss != "linear"
    problems = [Problem.of(m, fitted, options.scale, options.floor, robust) for m in models]
    solution = search(problems, options.loss, options.starts, options.seed, options.progress)
    odd = oddities(measured, first, options.limit, given=given)
    remarks = (*notes, *measured.remarks, *odd, *unlike([measured], first))
    if solution.misfit and options.free is None:
        values = solution.problem.values(solution.place)
        remarks = (*remarks, *left_at_zero(solution.problem.model, values, tuple(options.fixed)))
    return _result(solution, measured, remarks, _provenance(solution.problem, measured, options))


def _provenance(problem: Problem, data: Data, options: FitOptions) -> dict[str, Any]:
    first = problem.model.nominal
    conditions = getattr(problem.model, "conditions", None)
    return {
        "memcore": __version__,
        "device": provided_name(first),
        **({"date": options.date} if options.date else {}),
        "data": {**data.source, "samples": len(problem.model.measured)},
        "start": numbers(first),
        "free": [axis.name for axis in problem.axes],
        "bounds": {name: list(pair) for name, pair in (options.bounds or {}).items()},
        "settings": options.recorded,
        **({"understood": str(conditions)} if conditions is not None else {}),
    }


def _result(
    solution: Optimum, data: Data, notes: Sequence[str], provenance: Mapping[str, Any]
) -> Fit:
    problem = solution.problem
    model, values = problem.model, problem.values(solution.place)
    judgement = judge(solution.jacobian, solution.noise, problem.axes).widened(
        [solution.spread.get(axis.name, (0.0, 0.0)) for axis in problem.axes], problem.axes
    )
    predicted = model.predict([values])[0]
    rms, size = (
        float(x[model.compared].square().mean().sqrt())
        for x in (predicted - model.measured, model.measured)
    )
    device = dataclasses.replace(model.nominal, **values)  # type: ignore[type-var]
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
        misfit=solution.misfit,
    )


def _parameters(
    device: Memristor, problem: Problem, solution: Optimum, judgement: Judgement
) -> dict[str, FittedParameter]:
    unit = units(device)
    rows = zip(problem.axes, solution.place, judgement.sides.T, judgement.identifiable, strict=True)
    fitted = {
        axis.name: FittedParameter(
            name=axis.name,
            value=axis.value(float(u)),
            uncertainty=axis.distance(axis.value(float(u)), *map(float, sides))
            if solution.converged and not solution.misfit
            else math.nan,
            unit=axis.unit,
            identifiable=identifiable,
            note="at its bound" if _at_bound(axis, float(u)) else "",
        )
        for axis, u, sides, identifiable in rows
    }
    return {
        name: fitted.get(name)
        or FittedParameter(
            name=name, value=value, uncertainty=None, unit=unit[name], identifiable=None
        )
        for name, value in numbers(device).items()
    }


def _at_bound(axis: SearchAxis, place: float) -> bool:
    return bool(np.min(np.abs(np.array(axis.limits) - place)) <= _AT_THE_END)


def _warnings(problem: Problem, solution: Optimum, judgement: Judgement) -> tuple[str, ...]:
    lines = []
    if solution.misfit:
        lines.append(
            f"{solution.misfit}; there are no uncertainties: compare the picture of the fit, give "
            "another model or a better start, or say what the data hold besides the device"
        )
    if judgement.unused:
        lines.append(
            f"the prediction does not depend on {', '.join(judgement.unused)}, whose values mean "
            "nothing: fix them, or measure where they act"
        )
    lines += judgement.combinations
    at_bound = [
        a.name for a, u in zip(problem.axes, solution.place, strict=True) if _at_bound(a, u)
    ]
    if at_bound:
        lines.append(f"{', '.join(at_bound)} ended at a bound; uncertainties there mean little")
    if not solution.converged:
        lines.append(
            "the search ran out of evaluations before it arrived: the values are not the best ones "
            "and how uncertain they are is unknown; give a better start or fewer parameters"
        )
    return tuple(lines)
