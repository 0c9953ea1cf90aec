import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcore import ConfigError
from memcore.crossbar.tiling import Tiling

SHARED = st.sampled_from([(False,), (False, False), (False, True), (False, False, True, True)])
SIZES = st.integers(1, 9)


@st.composite
def tilings(draw):
    shared = draw(SHARED)
    smallest = st.tuples(SIZES, st.integers(1 + sum(shared), 9 + sum(shared)))
    return Tiling(
        draw(st.integers(1, 3)), draw(SIZES), draw(SIZES), shared, draw(st.none() | smallest)
    )


def parts_of(t):
    """Parts with distinct entries."""
    shapes = [(t.groups, t.rows, 1 if shared else t.cols) for shared in t.shared]
    total = torch.arange(1.0, 1.0 + sum(g * r * c for g, r, c in shapes), dtype=torch.float64)
    flat = total.split([g * r * c for g, r, c in shapes])
    return [part.view(shape) for part, shape in zip(flat, shapes, strict=True)]


def whole(t, parts):
    return torch.stack([part.expand(t.groups, t.rows, t.cols) for part in parts])


@given(tilings())
def test_joining_undoes_splitting(t):
    parts = parts_of(t)
    assert torch.equal(t.join(t.split(parts, 0.0)), whole(t, parts))


@given(tilings())
def test_currents_of_the_arrays_add_up_to_the_product(t):
    parts = parts_of(t)
    voltage = torch.randn(4, t.groups, t.rows, dtype=torch.float64)
    cells = t.split(parts, 1e9)  # what no input drives and no output reads must not matter
    lines = torch.einsum("nar,arc->nac", t.spread(voltage), cells)
    found = t.gather(lines).sum(3)
    torch.testing.assert_close(found, torch.einsum("ngr,pgrc->pngc", voltage, whole(t, parts)))


@given(tilings())
def test_cutting_the_inputs_agrees_with_the_arrays(t):
    parts = parts_of(t)
    voltage = torch.randn(4, t.groups, t.rows, dtype=torch.float64)
    lines = torch.einsum("nar,arc->nac", t.spread(voltage), t.split(parts, 0.0))
    cut = torch.einsum("ngtk,pgtko->pngto", t.cut(voltage, -1), t.cut(whole(t, parts), -2))
    torch.testing.assert_close(t.gather(lines), cut)


@given(tilings())
def test_every_weight_has_a_cell_and_no_array_is_empty(t):
    assert t.split(parts_of(t), 0.0).shape == (t.arrays, t.array_rows, t.array_cols)
    assert 0 < t.used_cells <= t.cells
    assert (t.row_tiles - 1) * t.array_rows < t.rows <= t.row_tiles * t.array_rows
    assert (t.col_tiles - 1) * t.data_cols < t.cols <= t.col_tiles * t.data_cols


@given(tilings())
def test_a_reference_column_is_one_set_of_cells_for_all_its_outputs(t):
    cells = t.split(parts_of(t), 0.0)
    cells[..., t.data_cols :] += 1000
    before, after = whole(t, parts_of(t)), t.join(cells)
    for part, shared in enumerate(t.shared):
        assert torch.equal(after[part] - before[part], torch.full_like(after[part], 1000 * shared))


def test_the_cells_of_a_whole_tile_are_counted():
    t = Tiling(1, 130, 10, (False, False), (128, 128))
    assert (t.arrays, t.cells, t.used_cells) == (4, 4 * 128 * 128, 2 * 130 * 10)


def test_a_reference_column_takes_a_bit_line_of_each_array():
    t = Tiling(1, 4, 8, (False, True), (4, 4))
    assert (t.data_cols, t.array_cols, t.col_tiles) == (3, 4, 3)


def test_a_tile_of_reference_columns_only_is_refused():
    with pytest.raises(ConfigError, match=r"tile=\(4, 1\) has no bit line left beside 1 reference"):
        Tiling(1, 4, 4, (False, True), (4, 1))


def test_the_first_part_must_have_arrays_to_put_a_reference_in():
    with pytest.raises(ConfigError, match="first part"):
        Tiling(1, 4, 4, (True, False), None)
