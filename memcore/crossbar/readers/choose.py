"""Which reader does what the converters and the effects of some cells want, fastest."""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from memcore import native
from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import added, subtracted
from memcore.crossbar.calibrated import Calibrated
from memcore.crossbar.cells import Cells
from memcore.crossbar.laying import folded_at_once
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import (
    Bounded,
    Electrical,
    Exact,
    Ranging,
    Reader,
    Sensed,
    Serial,
    Tiled,
    TiledLanes,
)
from memcore.crossbar.readers.noise import CellNoise, cell_noise
from memcore.crossbar.readers.serial import WholeNumbers, whole_numbers
from memcore.crossbar.readers.tiled_lanes import noise_of, of_lane
from memcore.crossbar.tiling import in_order
from memcore.crossbar.units import require_bits, unit_cells


class Derived(NamedTuple):
    """What follows from the state of cells and from the ranges of converters.

    Args:
        settled: conductances as every read finds them, [arrays, rows, cols] S.
        effective: what multiplies the voltages, [arrays, rows, cols] S.
        folded: what the cells stand for, in the weight's domain, [groups, outputs, inputs].
        volts: V for an input of 1.
    """

    settled: Tensor
    effective: Tensor
    folded: Tensor
    volts: float


def derived(cells: Cells, volts: float, out: Tensor | None = None) -> Derived:
    """What follows from the state of cells, read with `volts` V for an input of 1.

    Args:
        cells: the cells.
        volts: V for an input of 1.
        out: may take what they stand for, [groups, outputs, inputs].

    Raises:
        ConfigError: conductances, or the weights that they stand for, are infinite or NaN.
    """
    settled = cells.conductance
    if not cells.is_proved(settled):
        cells.require_finite("conductances", settled)
    effective = cells.effects.effective(settled)
    at_once = folded_at_once(effective, cells.tiling, cells.parts, cells.scale, out)
    if at_once is not None and at_once[1]:
        return Derived(settled, effective, at_once[0], volts)
    lanes = cells.tiling.lane_matrices(effective, cells.parts)
    folded = in_order(added(lanes, cells.scale).transpose(1, 2))
    cells.require_finite("weights that the cells stand for", folded)
    return Derived(settled, effective, folded, volts)


def plan_of(cells: Cells, dac: Calibrated | None = None, *, constant: bool = False) -> ReadPlan:
    """How one vector is read; in one phase as long as the DAC has no range."""
    config = cells.config
    form = None if dac is None else dac.form
    return ReadPlan(
        tiling=cells.tiling,
        places=form.places if isinstance(form, SerialLevels) else (1.0,),
        rows_at_once=config.rows_at_once,
        dac_bits=None if config.dac is None else config.dac.resolution,
        adc_bits=max((adc.resolution for adc in config.adcs), default=None),
        lane_bits=tuple(adc.resolution for adc in config.adcs) if config.lanes else (),
        per_column=config.adc is not None and config.adc_per == "column",
        constant=constant,
    )


def choose(
    cells: Cells,
    plan: ReadPlan,
    dac: Calibrated,
    adc: Calibrated,
    derived: Derived,
    *,
    fuse: bool,
    constant: bool,
    ranges: bool = False,
) -> Reader:
    """The reader of some cells.

    Args:
        cells: what is read.
        plan: phases, groups of word lines and lanes of a read.
        dac: converter of the inputs with its range.
        adc: converter of the currents with its ranges.
        derived: what follows from the state of the cells.
        fuse: whether the fused kernel may be taken, which shows nobody the currents.
        constant: whether the last word line is driven by a constant input of 1, past the DAC.
        ranges: whether to find, too, how outputs follow the ranges of the ADCs.
    """
    effects = cells.effects
    if adc.sums is not None:
        units = unit_cells(cells, plan)
        if dac.form is None and dac.converter is not None:  # which has no range yet
            return Exact(derived.folded, None, constant=constant)
        key = cells.random.key_of("adc", "sums")
        bits = require_bits(dac.form, cells.name)
        return Sensed(units, derived.folded, bits, adc.sums, key, cells.scale, plan)
    if adc.converter is None and effects.is_exact and not isinstance(dac.form, SerialLevels):
        return Exact(derived.folded, dac.form, constant=constant)
    noise = cell_noise(derived.settled, derived.effective, effects, cells.parts, plan)
    is_bounded = cells.config.bound_management != "none"
    fuse = fuse and not ranges and not is_bounded
    levels = _fusable(cells, plan, dac, adc, noise) if fuse else None
    if levels is not None:
        return _tiled(cells, plan, dac, levels, noise, derived, constant=constant)
    kind = Bounded if is_bounded else Ranging if ranges else Electrical
    return kind(
        derived.settled,
        derived.effective,
        derived.folded,
        effects,
        (dac.form, adc.form, adc.noises),
        noise,
        cells.parts,
        cells.scale,
        derived.volts,
        plan,
        constant=constant,
    )


def _tiled(
    cells: Cells,
    plan: ReadPlan,
    dac: Calibrated,
    levels: list[UniformLevels],
    noise: CellNoise | None,
    derived: Derived,
    *,
    constant: bool,
) -> Tiled | TiledLanes | Serial:
    """The fused reader, of all lanes at once if their ADCs have the same codes."""
    joined = cells.tiling.join(derived.effective)
    matrices = joined if plan.per_column else subtracted(joined, cells.parts)
    alike = _are_alike(levels)
    if levels and alike and not constant:
        whole = _whole(cells, plan, dac, noise, matrices)
        if whole is not None:
            rest = (levels, cells.parts, cells.scale, plan)
            return Serial(whole[0], derived.folded, derived.volts, whole[1], *rest)
    steps = dac.levels
    step = None if steps is None else steps[0]
    tiled = partial(Tiled, folded=derived.folded, volts=derived.volts, dac=step, constant=constant)
    if alike:
        return tiled(
            matrices, adc=levels, parts=cells.parts, gain=cells.scale, plan=plan, noise=noise
        )
    readers = []
    for lane in range(len(levels)):
        alone, values = of_lane(plan, lane)
        readers.append(
            tiled(
                matrices[values],
                adc=[levels[lane]],
                parts=tuple(replace(part, lane=0) for part in cells.parts if part.lane == lane),
                gain=cells.scale[lane : lane + 1],
                plan=alone,
                noise=noise_of(noise, values),
            )
        )
    return TiledLanes(readers, derived.folded)


def _are_alike(levels: list[UniformLevels]) -> bool:
    """Whether the ADCs of all lanes have the same codes."""
    return all((each.lo, each.hi) == (levels[0].lo, levels[0].hi) for each in levels)


def _is_lane_by_lane(plan: ReadPlan) -> bool:
    """Whether the values of one lane come after those of the other."""
    return list(plan.tiling.lanes) == sorted(plan.tiling.lanes)


def _fusable(
    cells: Cells, plan: ReadPlan, dac: Calibrated, adc: Calibrated, noise: CellNoise | None
) -> list[UniformLevels] | None:
    """The levels of the ADCs if the kernel can do what converters and effects want, else None."""
    levels = adc.levels if adc.converter is not None else []
    if levels is None or not (dac.form is None or dac.levels is not None):
        return None
    apart = _are_alike(levels) or _is_lane_by_lane(plan)
    drawn = noise is not None and noise.is_own
    quiet = bool(levels) and not cells.effects.is_stochastic
    fits = cells.effects.is_product and plan.groups_are_even and cells.gain.dim() < 3
    return levels if apart and fits and (quiet or drawn) else None


def _reads_digits(matrices: Tensor) -> bool:
    """Whether a kernel reads whole numbers, where products of floats are not faster."""
    if matrices.is_cuda:
        return native.cuda() is not None
    cpu = native.cpu()
    return matrices.is_cpu and cpu is not None and bool(cpu.looks_up_bytes())


def _whole(
    cells: Cells, plan: ReadPlan, dac: Calibrated, noise: CellNoise | None, matrices: Tensor
) -> tuple[WholeNumbers, SerialLevels] | None:
    """The whole numbers in cells and the digits that drive them, if there is nothing else."""
    form = dac.form
    if not _reads_digits(matrices) or matrices.dtype != torch.float32 or noise is not None:
        return None
    if type(form) is not SerialLevels or form.step.numel() > 1:
        return None
    low, high = (float(end) for end in cells.config.device.nominal_range())
    numbers = whole_numbers(matrices, (low, high), plan, 2**form.bits_per_step - 1)
    return None if numbers is None else (numbers, form)
