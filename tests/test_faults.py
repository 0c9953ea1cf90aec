"""Rows and columns that are laid around stuck cells, spare columns, and committees of arrays."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.contracts.layout import Layout
from memcore.testing.layer_case import Ohmic

FAULTS = {"name": "stuck_at", "p_lrs": 0.01, "p_hrs": 0.03}


def draws(*shape):
    return Stream(5).child("x").normal(shape)


def layer(inputs=50, outputs=30):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(inputs, outputs)


def chip(model=None, seed=0, **settings):
    settings = {"device": "ideal", "nonidealities": [FAULTS], "tile": (32, 16), **settings}
    return memcore.convert(
        layer() if model is None else model, CrossbarConfig(**settings), seed=seed
    )


def error(mem, digital):
    found = mem.effective_weight - digital.weight
    return float(found.detach().square().mean())


@pytest.mark.parametrize("mapper", ["differential", "offset", "bit_slice"])
@pytest.mark.parametrize("spare", [0, 4])
def test_lines_without_faults_compute_the_product_in_any_order(mapper, spare):
    model, x = layer(), draws(7, 50)
    mem = chip(model, mapper=mapper, faults="avoided", spare_cols=spare, nonidealities=[])
    plain = chip(model, mapper=mapper, nonidealities=[])
    torch.testing.assert_close(mem(x), plain(x), rtol=0, atol=1e-4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dead(memcore.NonIdeality):
    """The third bit line of every array is stuck."""

    stage = memcore.Stage.PROGRAM

    def stuck_cells(self, array, ctx):
        stuck = torch.full(array.shape, torch.nan)
        stuck[..., 2] = array.nominal.nominal_range()[1]
        return stuck

    def bind(self, array, ctx):
        return nn.Identity()


#: Ways to read that see arrays as circuits, as products, tile by tile and column by column.
READS = {
    "exact": {},
    "tiled": {"adc": {"name": "uniform", "bits": 16}},
    "noisy": {"nonidealities": [FAULTS, {"name": "read_noise", "relative": 1e-9}]},
    "circuit": {"nonidealities": [FAULTS, Ohmic()]},
    "wires": {"nonidealities": [FAULTS, {"name": "ir_drop", "word_line": 1e-9}]},
    "columns": {"adc": {"name": "uniform", "bits": 18}, "adc_per": "column", "mapper": "offset"},
    "groups": {"adc": {"name": "uniform", "bits": 18}, "rows_at_once": 5},
}


@pytest.mark.parametrize("read", READS)
def test_every_reader_follows_the_order(read):
    model, x = layer(), draws(7, 50)
    mem = chip(model, **READS[read], faults="avoided", spare_cols=2)
    if "adc" in READS[read]:
        memcore.calibrate(mem, x)
    expected = x @ mem.effective_weight.mT + model.bias
    torch.testing.assert_close(mem(x), expected, rtol=0, atol=2e-3)
    assert mem.crossbar.cells.row_order.ne(torch.arange(32)).any() == (read != "groups")


def test_arrays_programmed_around_faults_are_nearer_to_the_weights():
    model = layer()
    errors = [
        sum(error(chip(model, seed=seed, **how), model) for seed in range(5))
        for how in (
            {},
            {"faults": "avoided", "rows_at_once": 4},
            {"faults": "avoided"},
            {"faults": "avoided", "spare_cols": 4},
        )
    ]
    plain, columns, both, spared = errors
    assert columns < 0.9 * plain
    assert both < 0.9 * columns
    assert spared < 0.95 * both


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeadDigits(memcore.NonIdeality):
    """In each array of four one bit line is stuck, another one for low and for high digits."""

    stage = memcore.Stage.PROGRAM

    def stuck_cells(self, array, ctx):
        stuck = torch.full(array.shape, torch.nan)
        lowest, highest = array.nominal.nominal_range()
        stuck[:2, :, 2], stuck[2:, :, 5] = highest, highest
        stuck[0, :, 2], stuck[2, :, 5] = lowest, lowest  # the positive ones
        return stuck

    def bind(self, array, ctx):
        return nn.Identity()


def test_high_digits_are_spared_before_low_ones():
    model = layer(20, 12)
    mapper = {"name": "bit_slice", "slice_bits": [3, 4]}
    settings = {"nonidealities": [DeadDigits()], "tile": (32, 16), "mapper": mapper}
    mem = chip(model, **settings, faults="avoided", spare_cols=1)
    order = mem.crossbar.cells.col_order
    assert int(order[0, 5]) == 12  # nothing lies on the line whose high digits are stuck
    lowest = 15 * model.weight.abs().max() / 127  # more than low digits of both signs stand for
    assert (mem.effective_weight - model.weight).abs().max() < lowest


def test_a_spare_column_takes_the_place_of_a_dead_one():
    model, x = layer(20, 12), draws(4, 20)
    settings = {"nonidealities": [Dead()], "tile": (32, 16)}
    assert error(chip(model, **settings), model) > 1e-4
    mem = chip(model, **settings, faults="avoided", spare_cols=1)
    torch.testing.assert_close(mem(x), model(x), rtol=0, atol=1e-5)


def test_stuck_cells_lie_where_they_lay():
    mem = chip(faults="avoided", spare_cols=2)
    cells = mem.crossbar.cells
    stuck = memcore.crossbar.effects.Effects.stuck(
        cells.config.effects, cells.array(), cells.context()
    )
    here = ~stuck.isnan()
    assert torch.equal(cells.programmed[here], stuck[here])


def test_an_order_is_a_permutation_of_lines_and_leaves_references_where_they_are():
    mem = chip(mapper="offset", faults="avoided", spare_cols=2)
    cells = mem.crossbar.cells
    for order in (cells.row_order, cells.col_order):
        assert torch.equal(order.sort(1).values, torch.arange(order.shape[1]).expand_as(order))
    place = cells.tiling.data_cols
    assert (cells.col_order[:, place] == place).all()
    grid = Layout(row_order=cells.row_order, col_order=cells.col_order)
    assert torch.equal(grid.restore(grid.place(cells.programmed)), cells.programmed)


def test_a_chip_is_saved_written_trained_and_copied_with_its_order():
    model, x = layer(), draws(7, 50)
    mem, other = (chip(model, seed=seed, faults="avoided", spare_cols=2) for seed in range(2))
    other.load_state_dict(mem.state_dict())
    assert torch.equal(other(x), mem(x))
    assert torch.equal(copy.deepcopy(mem)(x), mem(x))
    with torch.no_grad():
        mem.weight.mul_(-1)
    memcore.program(mem)
    assert error(mem, mem) < error(chip(model), model)
    before = mem.crossbar.cells.col_order.clone()
    mem.train()(x).square().mean().backward()
    assert mem.weight.grad.isfinite().all()
    assert torch.equal(mem.crossbar.cells.col_order, before)


def test_converters_go_with_the_bit_line_not_with_the_column():
    mem = chip(faults="avoided", spare_cols=2)
    lines, cells = mem.crossbar.plan.lines(0), mem.crossbar.cells
    for tile in range(lines.array.shape[1]):
        for column in range(lines.array.shape[2]):
            array, place = lines.array[0, tile, column], lines.column[0, tile, column]
            assert cells.col_order[array, place] == column % cells.tiling.data_cols


@pytest.mark.parametrize("spare", [-1, 1.5, True, "two"])
def test_a_number_of_spare_columns_is_a_count(spare):
    with pytest.raises(memcore.ConfigError, match="expected a number of bit lines"):
        CrossbarConfig(device="ideal", spare_cols=spare)


def test_spare_columns_that_nothing_uses_are_said():
    with pytest.warns(memcore.NoEffectWarning, match="spare_cols=2 carry nothing"):
        chip(spare_cols=2)


def test_spare_columns_leave_room_for_others():
    with pytest.raises(memcore.ConfigError, match="and 16 spare ones"):
        chip(spare_cols=16)


def test_a_committee_of_arrays_averages_its_errors():
    model = layer()
    spread = {"name": "d2d", "std": 0.1}
    mean = [
        sum(
            error(chip(model, seed=seed, nonidealities=[spread], mapper=mapper), model)
            for seed in range(4)
        )
        for mapper in ("differential", {"name": "multi_cell", "significance": [1.0] * 4})
    ]
    assert mean[1] == pytest.approx(mean[0] / 4, rel=0.15)
