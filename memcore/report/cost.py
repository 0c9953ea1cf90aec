"""`cost`: what a network costs in energy, time and area, by a model of `memcore.costs`."""

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from memcore._text import shown
from memcore.contracts.cost import Activity, Charge, Cost, CostModel, LayerWork
from memcore.contracts.schedule import Timeline
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.yields import ArrayYield, Spent
from memcore.errors import ConfigError, ConversionError, NoEffectWarning
from memcore.nn.calibration import calibrate
from memcore.nn.conversion import convert
from memcore.nn.counting import counting
from memcore.nn.feeding import Batches, Forward, again, batches, run
from memcore.nn.tracing import batch_size, traced
from memcore.nn.verbs import evaluating
from memcore.nn.walk import layers, named_matrices, require_module
from memcore.registry.specs import PluginSpec, plugin, provided_name
from memcore.report.cost_report import CostReport, LayerCost


@torch.no_grad()
def cost(
    network: nn.Module,
    inputs: Batches,
    *,
    model: PluginSpec = "components",
    crossbar: CrossbarConfig | None = None,
    forward: Forward | None = None,
    **parameters: Any,
) -> CostReport:
    """What running a network on some inputs costs in energy, time and area.

    The layers are found from shapes. Models that need the activity of arrays evaluate a converted
    network once, on all inputs, and count; models of whole systems, `"mnsim"` for instance, have
    arrays of their own and take digital networks too.

    Args:
        network: a network, converted or not.
        inputs: a batch, or an iterable of batches or of (inputs, targets) pairs.
        model: the cost model, a name of `memcore.costs`, a mapping or an instance.
        crossbar: how to convert a digital network for a model that needs arrays. Its ADCs are
            counted, but what they round is not simulated: it would change the inputs of the layers
            behind, and thus the power of cells, a little. Convert first where that matters.
        forward: `forward(network, batch)`, where the network is called in another way.
        **parameters: parameters of a model given by its name or as a mapping, whose own entries
            they replace.

    Raises:
        ConversionError: the model needs arrays and the network has none, or the network has no
            layer that it could price.
        ConfigError: the model or a parameter does not fit.

    Examples:
        >>> mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
        >>> memcore.cost(mem, torch.ones(5, 3), model="array", read_time=1e-8).total.time
        5e-08
        >>> memcore.cost(nn.Linear(3, 2), torch.ones(1, 3), model="mnsim").layers[0].events["tiles"]
        2
    """
    if not isinstance(crossbar, CrossbarConfig | None):
        raise ConfigError(f"crossbar={shown(crossbar)}; expected a CrossbarConfig, or None")
    estimator: CostModel = plugin("costs", _with(model, parameters))
    inputs = again(inputs)
    if estimator.needs_arrays and not layers(require_module(network)):
        if crossbar is None:
            raise ConversionError(
                f"cost model {provided_name(estimator)!r} prices simulated arrays, and this "
                f"{type(network).__name__} has no memristive layer; call memcore.convert first, or "
                "give crossbar=memcore.CrossbarConfig(...)"
            )
        network = _converted(network, crossbar, inputs, forward)
    else:
        crossbar = None  # what is given counts for digital networks only
    works, elsewhere = _works(network, inputs, estimator, forward, crossbar)
    works = [dataclasses.replace(work, network=tuple(works)) for work in works]
    leaves_out = estimator.leaves_out
    if elsewhere:
        leaves_out = (*leaves_out, f"{elsewhere} matrix products outside of layers")
    if not estimator.needs_arrays and any(w.array is not None and w.array.lanes for w in works):
        leaves_out = (*leaves_out, "cells of the lanes: the model has cells of its own instead")
    timeline = estimator.schedule(works)
    priced = tuple(_priced(estimator, works, timeline))
    report = CostReport(
        provided_name(estimator), priced, tuple(leaves_out), timeline, estimator.technology
    )
    if not report.layers:
        raise ConversionError(
            f"this {type(network).__name__} has no layer that {report.model!r} can price; expected "
            "linear layers or convolutions"
        )
    return report


def _converted(
    network: nn.Module, crossbar: CrossbarConfig, inputs: Batches, forward: Forward | None
) -> nn.Module:
    """A network on arrays whose results no ADC rounds: its conversions are known without them."""
    exact = dataclasses.replace(crossbar.without_adc(), adc_per=CrossbarConfig.adc_per)
    chip = convert(network, exact)
    if crossbar.dac is not None:
        with warnings.catch_warnings():
            # A converter of a fixed range needs no calibration.
            warnings.filterwarnings("ignore", "no layer has a converter", NoEffectWarning)
            calibrate(chip, inputs, forward=forward)
    return chip


def _works(
    network: nn.Module,
    inputs: Batches,
    estimator: CostModel,
    forward: Forward | None,
    crossbar: CrossbarConfig | None,
) -> tuple[list[LayerWork], int]:
    """The layers of a network with what their arrays did, and products that nothing prices."""
    converted = bool(layers(network))
    sizes, first = 0, None
    with ExitStack() as stack:
        stack.enter_context(evaluating(network))
        counts = stack.enter_context(counting(network)) if converted else None
        for batch in batches(network, inputs, forward):
            first = batch if first is None else first
            sizes += batch_size(batch)
            if converted:
                run(network, batch, forward)
    if first is None:
        raise ConfigError("there are no inputs; expected a batch, or an iterable of batches")
    arrays = list(_arrays(network, counts, crossbar)) if counts is not None else []
    try:
        found = traced(network, first, inputs=sizes, forward=forward)
    except ConversionError:
        if not estimator.needs_arrays:
            raise
        return arrays, 0
    simulated = {work.name: work for work in arrays}
    # Of layers whose matrices bear other names than their weights, only the arrays count.
    insides = tuple(f"{name}." for name in layers(network) if name)
    works = _without(found.layers, lambda w: w.name not in simulated and w.name.startswith(insides))
    works = [_simulated(work, simulated) for work in works]
    named = {work.name for work in works}
    rest = [_for_inputs(work, sizes) for work in arrays if work.name not in named]
    return [*works, *rest], found.elsewhere


def _without(
    works: Sequence[LayerWork], is_left_out: Callable[[LayerWork], bool]
) -> list[LayerWork]:
    """The other layers, those that took results of one left out taking what it took."""
    kept: list[LayerWork] = []
    stands_for: list[tuple[int, ...]] = []
    for work in works:
        sources = tuple(sorted({new for old in work.sources for new in stands_for[old]}))
        if is_left_out(work):
            stands_for.append(sources)
        else:
            stands_for.append((len(kept),))
            kept.append(dataclasses.replace(work, sources=sources))
    return kept


def _for_inputs(work: LayerWork, inputs: int) -> LayerWork:
    """The vectors of arrays as positions of so many inputs of the network, where they fit."""
    vectors = work.activity.vectors
    if not vectors or vectors % inputs:
        return work
    return dataclasses.replace(work, inputs=inputs, positions=vectors // inputs)


def _simulated(work: LayerWork, simulated: Mapping[str, LayerWork]) -> LayerWork:
    same = simulated.get(work.name)
    if same is None:
        return work
    return dataclasses.replace(
        work,
        activity=same.activity,
        array=same.array,
        writing=same.writing,
        writing_of_lanes=same.writing_of_lanes,
    )


def _writing(last: ArrayYield | Spent) -> Activity:
    """What the last writing of arrays took, as their programmer reported it."""
    return Activity(
        pulses=round(last.pulses * last.cells),
        cells_written=last.cells,
        programming_energy=last.energy,
        programming_time=last.time,
    )


def _arrays(
    network: nn.Module, counts: Mapping[str, Activity], crossbar: CrossbarConfig | None
) -> Iterator[LayerWork]:
    """The matrices on crossbars, each once: a shared one is paid for once."""
    seen: dict[nn.Module, str] = {}
    for name, (_, matrix) in named_matrices(network).items():
        if seen.setdefault(matrix, name) == name:
            tiling, plan, done = matrix.crossbar.tiling, matrix.crossbar.plan, counts[name]
            if crossbar is not None:
                plan, done = _with_adc(plan, done, crossbar)
            array = dataclasses.replace(
                matrix.crossbar.array(),
                dac_bits=plan.dac_bits,
                adc_bits=plan.adc_bits,
                adc_arrays=plan.adc_arrays,
            )
            yield dataclasses.replace(
                LayerWork.of_arrays(done, array, name),
                rows=tiling.own_rows,
                cols=tiling.cols // tiling.packed,
                groups=tiling.groups * tiling.packed,
                channels=tiling.own_rows * tiling.groups * tiling.packed,
                writing=_writing(matrix.crossbar.written),
                writing_of_lanes=tuple(map(_writing, matrix.crossbar.written.lanes)),
            )


def _with_adc(
    plan: ReadPlan, done: Activity, crossbar: CrossbarConfig
) -> tuple[ReadPlan, Activity]:
    """The plan with the ADC of a configuration, and what the same reads are with it."""
    if crossbar.adc is None:
        return plan, done
    per_column = crossbar.adc_per == "column"
    bits = tuple(adc.resolution for adc in crossbar.adcs)
    plan = dataclasses.replace(
        plan,
        adc_bits=max(bits),
        lane_bits=bits if crossbar.lanes else (),
        per_column=per_column,
    )
    read = plan.activity(done.vectors)
    return plan, dataclasses.replace(
        done,
        adc_conversions=read.adc_conversions,
        shift_adds=read.shift_adds,
        bits_out=read.bits_out,
    )


def _priced(
    model: CostModel, works: Sequence[LayerWork], timeline: Timeline
) -> Iterator[LayerCost]:
    """Each layer with its components; times are parts of the time of the whole."""
    ends, done = timeline.ends(), 0.0
    priced = [(work, charges) for work in works if (charges := model.table(work))]
    for work, charges in priced:
        # What comes after the last layer, such as its update in training, is part of the whole.
        last = timeline.end if work is priced[-1][0] else ends.get(work.name, done)
        end = max(done, last)
        yield LayerCost(work, model.events(work), _within(charges, end - done, work.repeated))
        done = end


def _within(charges: Mapping[str, Cost], time: float, repeated: bool) -> dict[str, Charge]:
    """The charges with times that add up to `time`, and no area of arrays paid for before."""
    busy = sum(charge.time for charge in charges.values())
    scale = time / busy if busy else 0.0
    made = {}
    for name, each in charges.items():
        charge = each if isinstance(each, Charge) else Charge(**dataclasses.asdict(each))
        area = 0.0 if repeated else charge.area
        made[name] = dataclasses.replace(charge, time=charge.time * scale, area=area)
    return made


def _with(model: PluginSpec, parameters: Mapping[str, Any]) -> PluginSpec:
    """A cost model together with parameters given beside it."""
    if isinstance(model, str):
        return {"name": model, **parameters}
    if isinstance(model, Mapping):
        return {**model, **parameters}
    if parameters:
        raise ConfigError(
            f"model={shown(model)} with {', '.join(parameters)}; expected the parameters in the "
            "model itself, or its name beside them"
        )
    return model
