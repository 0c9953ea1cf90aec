"""Operation units: which bits the cells of a matrix hold, and what their sense amplifiers know."""

import dataclasses
from typing import NamedTuple

import torch
from torch import Tensor, nn

from memcore.contracts.forms import SerialLevels
from memcore.contracts.mapper import Reference
from memcore.contracts.records import Context, Stage
from memcore.contracts.sums import OperationUnit
from memcore.crossbar.cells import Cells
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import is_off
from memcore.crossbar.plan import ReadPlan
from memcore.errors import ConfigError


def with_unit(ctx: Context, config: CrossbarConfig, plan: ReadPlan) -> Context:
    """The context of an ADC, told of the cells that it senses together if it counts open lines.

    Raises:
        ConfigError: cells age, or a constant input opens a word line.
    """
    if config.adc is None or not config.adc.counts_open:
        return ctx
    acting = {name: each for name, each in config.effects.items() if not is_off(each)}
    ageing = [name for name, each in acting.items() if each.stage is Stage.AGE]
    if ageing:
        raise ConfigError(
            f"{', '.join(ageing)} lets cells age, but sums are drawn from a table of cells that "
            f"were just written; expected no ageing with sense amplifiers: without={ageing}"
        )
    if config.bias == "mapped":
        raise ConfigError(
            "bias='mapped' with sense amplifiers, whose word lines are open or not; expected "
            "bias='digital'"
        )
    unit = OperationUnit(
        rows=plan.group_rows,
        device=config.device,
        nonidealities=config.nonidealities,
        without=config.without,
        acting=tuple(acting),
        read_voltage=config.read_voltage,
        temperature=config.temperature,
    )
    return dataclasses.replace(ctx, unit=unit)


class UnitCells(NamedTuple):
    """The bits that cells should hold.

    Args:
        cells: uint8 [groups, units, rows, parts * cols], of the parts that are sensed.
        lanes: the lane of each of these parts.
        signs: how each of them counts in its lane.
        references: of reference columns that hold a 1, lane and bits [groups, inputs, cols].
        step: conductance of a 1 less that of a 0, S.
    """

    cells: Tensor
    lanes: tuple[int, ...]
    signs: tuple[float, ...]
    references: tuple[tuple[int, Tensor], ...]
    step: float


def unit_cells(cells: Cells, plan: ReadPlan) -> UnitCells:
    """The bits that the cells should hold.

    Raises:
        ConfigError: cells hold more than a bit, or parts are subtracted before they are sensed.
    """
    low, high = (float(end) for end in cells.config.device.nominal_range())
    assert cells.target is not None
    digits = (cells.tiling.join(cells.target) - low) / (high - low)
    bits = digits.round()
    if bool(((digits - bits).abs() > 1e-3).any()):
        raise ConfigError(
            f"cells of {_named(cells)} hold more than one bit, and sense amplifiers tell cells of "
            'one; expected mapper={"name": "bit_slice", "slice_bits": 1, "encoding": '
            '"twos_complement"}'
        )
    if cells.gain.dim() == 3:
        raise ConfigError(
            f"{_named(cells)} has a gain for each tile, which sense amplifiers do not know; "
            "expected a mapper with a gain for each lane"
        )
    sensed = [k for k, part in enumerate(cells.parts) if not isinstance(part, Reference)]
    lanes = tuple(cells.parts[k].lane for k in sensed)
    if not plan.per_column and len(set(lanes)) < len(lanes):
        raise ConfigError(
            f"{_named(cells)} has two bit lines for each output of a slice, which are sensed one "
            'by one; expected adc_per="column", or a bit_slice mapper with '
            'encoding="twos_complement"'
        )
    own = plan.cut(bits[sensed], -2)  # [parts, groups, units, rows, cols]
    references = tuple(
        (part.lane, bits[k])
        for k, part in enumerate(cells.parts)
        if k not in sensed and bool(bits[k].any())
    )
    return UnitCells(
        own.permute(1, 2, 3, 0, 4).flatten(3).to(torch.uint8).contiguous(),
        lanes,
        tuple(cells.parts[k].sign for k in sensed),
        references,
        high - low,
    )


def require_bits(dac: nn.Module | None, name: str) -> SerialLevels:
    """The form of a DAC that opens word lines or leaves them closed.

    Raises:
        ConfigError: it applies something else than bits, or bits of several ranges.
    """
    if isinstance(dac, SerialLevels) and dac.step.numel() > 1:
        raise ConfigError(
            f"sense amplifiers of {name or 'the layer'} tell sums of bits that count alike, but "
            "parts of its inputs have ranges of their own; expected a layer whose parts have "
            "arrays of their own, such as recurrent in place of joint_recurrent"
        )
    if (
        isinstance(dac, SerialLevels)
        and dac.bits_per_step == 1
        and not (dac.lo < 0 and dac.signed == "magnitude")
    ):
        return dac
    raise ConfigError(
        f"sense amplifiers of {name or 'the layer'} know how many word lines are open, but inputs "
        'are not applied as bits; expected dac={"name": "bit_serial", "signed": "twos_complement"}'
    )


def _named(cells: Cells) -> str:
    return repr(cells.name) if cells.name else "the layer"
