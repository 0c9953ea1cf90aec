"""Which reader does what the converters and the effects of some cells want, fastest."""

from typing import NamedTuple

from torch import Tensor

from memcore.contracts.forms import SerialLevels, UniformLevels
from memcore.contracts.mapper import added, subtracted
from memcore.crossbar.calibrated import Calibrated
from memcore.crossbar.cells import Cells
from memcore.crossbar.laying import folded_at_once
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import Electrical, Exact, Reader, Sensed, Tiled
from memcore.crossbar.readers.noise import CellNoise, cell_noise
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


def derived(cells: Cells, volts: float) -> Derived:
    """What follows from the state of cells, read with `volts` V for an input of 1.

    Raises:
        ConfigError: conductances, or the weights that they stand for, are infinite or NaN.
    """
    settled = cells.conductance
    if not cells.is_proved(settled):
        cells.require_finite("conductances", settled)
    effective = cells.effects.effective(settled)
    at_once = folded_at_once(effective, cells.tiling, cells.parts, cells.scale)
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
        adc_bits=None if config.adc is None else config.adc.resolution,
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
    """
    effects = cells.effects
    if adc.sums is not None:
        units = unit_cells(cells, plan)
        if dac.form is None and dac.converter is not None:  # which has no range yet
            return Exact(derived.folded, None, constant=constant)
        key = cells.random.child("adc", "sums").key
        bits = require_bits(dac.form, cells.name)
        return Sensed(units, derived.folded, bits, adc.sums, key, cells.scale, plan)
    if adc.converter is None and effects.is_exact and not isinstance(dac.form, SerialLevels):
        return Exact(derived.folded, dac.form, constant=constant)
    noise = cell_noise(derived.settled, derived.effective, effects, cells.parts, plan)
    levels = _fusable(cells, plan, dac, adc, noise) if fuse else None
    if levels is not None:
        joined = cells.tiling.join(derived.effective)
        steps = dac.levels
        return Tiled(
            joined if plan.per_column else subtracted(joined, cells.parts),
            derived.folded,
            derived.volts,
            None if steps is None else steps[0],
            levels,
            cells.parts,
            cells.scale,
            plan,
            constant=constant,
            noise=noise,
        )
    return Electrical(
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


def _fusable(
    cells: Cells, plan: ReadPlan, dac: Calibrated, adc: Calibrated, noise: CellNoise | None
) -> list[UniformLevels] | None:
    """The levels of the ADCs if the kernel can do what converters and effects want, else None."""
    levels = adc.levels if adc.converter is not None else []
    if levels is None or not (dac.form is None or dac.levels is not None):
        return None
    same = all((each.lo, each.hi) == (levels[0].lo, levels[0].hi) for each in levels)
    drawn = noise is not None and noise.is_own
    quiet = bool(levels) and not cells.effects.is_stochastic
    fits = cells.effects.is_product and plan.groups_are_even and cells.gain.dim() < 3
    return levels if same and fits and (quiet or drawn) else None
