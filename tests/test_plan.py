"""What a read takes, by arithmetic and by loops that count one thing at a time."""

from collections import Counter
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.tiling import Tiling

#: Parts of a mapping: for each whether it is a reference column, and its lane.
MAPPINGS = {
    "one column": ((False,), (0,)),
    "differential": ((False, False), (0, 0)),
    "reference": ((False, True), (0, 0)),
    "three slices": ((False,) * 3, (0, 1, 2)),
    "two differential slices": ((False,) * 4, (0, 0, 1, 1)),
    "two slices with references": ((False, True, False, True), (0, 0, 1, 1)),
    "pairs with a reference": ((False, False, True), (0, 0, 0)),
}

sizes = st.integers(1, 13)


@st.composite
def plans(draw):
    shared, lanes = draw(st.sampled_from(list(MAPPINGS.values())))
    tile = draw(st.none() | st.tuples(sizes, st.integers(2, 9)))
    tiling = Tiling(draw(st.integers(1, 3)), draw(sizes), draw(sizes), shared, tile, lanes)
    return ReadPlan(
        tiling=tiling,
        places=draw(st.sampled_from([(1.0,), (0.5, 1.0), (1.0, 2.0, -4.0)])),
        rows_at_once=draw(st.none() | sizes),
        dac_bits=draw(st.sampled_from([None, 0, 6])),
        adc_bits=draw(st.sampled_from([0, 8])),
        per_column=draw(st.booleans()),
        constant=draw(st.booleans()),
    )


def cuts(total, size):
    """The lengths of the pieces when `total` is cut into pieces of at most `size`."""
    return [len(range(total)[start : start + size]) for start in range(0, total, size)]


def word_line_groups(plan):
    """The lengths of the groups of word lines of all tiles, tile by tile."""
    rows = cuts(plan.tiling.rows, plan.tiling.array_rows)
    at_once = plan.rows_at_once or plan.tiling.array_rows
    return [length for tile in rows for length in cuts(tile, at_once)]


def counted(plan, vectors):
    """Everything that happens while `vectors` are read, one event after another."""
    tiling, counts, converted, added = plan.tiling, Counter(), Counter(), Counter()
    widths = cuts(tiling.cols, tiling.data_cols)
    parts = list(zip(tiling.shared, tiling.lanes, strict=True))
    for vector, _, group in product(range(vectors), range(len(plan.places)), range(tiling.groups)):
        counts["applied"] += tiling.rows - 1
        counts["applied"] += 0 if plan.constant else 1  # the last word line
        for lines, (place, width) in product(word_line_groups(plan), enumerate(widths)):
            first = sum(widths[:place])
            outputs = [(vector, group, column) for column in range(first, first + width)]
            lanes_read = set()
            for shared, lane in parts:
                if not shared:
                    counts["reads"] += 1
                    counts["drives"] += lines
                if plan.per_column and shared:
                    converted[lane] += 1  # one line, whose value serves every output of the array
                    added.update(outputs)
                elif plan.per_column or lane not in lanes_read:
                    converted[lane] += width
                    added.update(outputs)
                lanes_read.add(lane)
    counts["shift_adds"] = sum(results - 1 for results in added.values())
    return counts, converted


@given(plans(), st.integers(0, 3))
def test_activity_is_what_counting_one_by_one_gives(plan, vectors):
    counts, converted = counted(plan, vectors)
    activity = plan.activity(vectors)

    assert activity.vectors == vectors
    assert activity.phases == vectors * len(plan.places)
    assert activity.reads == counts["reads"]
    assert activity.drives == counts["drives"]
    assert activity.shift_adds == counts["shift_adds"]
    dac = {} if plan.dac_bits is None else {plan.dac_bits: counts["applied"]}
    assert activity.dac_conversions == dac
    assert activity.bits_in == counts["applied"] * (plan.dac_bits or 0)
    wanted = {(lane, plan.adc_bits): converted[lane] for lane in set(plan.tiling.lanes)}
    assert activity.adc_conversions == wanted
    assert activity.conversions == sum(converted.values())
    assert activity.bits_out == sum(converted.values()) * plan.adc_bits


@given(plans(), st.integers(1, 5))
def test_reads_and_conversions_are_products_of_the_plan(plan, vectors):
    t, activity = plan.tiling, plan.activity(vectors)
    once = vectors * len(plan.places) * plan.row_groups * t.groups

    assert activity.reads == once * t.full_parts * t.col_tiles
    if plan.per_column:
        references = sum(t.shared)
        assert activity.conversions == once * (t.full_parts * t.cols + references * t.col_tiles)
    else:
        assert activity.conversions == once * (1 + max(t.lanes)) * t.cols


@given(plans(), st.integers(0, 4), st.integers(0, 4))
def test_activity_adds_up_over_vectors(plan, few, more):
    assert plan.activity(few) + plan.activity(more) == plan.activity(few + more)


@given(plans())
def test_cutting_inputs_loses_none_and_keeps_tiles_apart(plan):
    x = torch.arange(1.0, plan.tiling.rows + 1)
    groups = [[int(value) for value in group if value] for group in plan.cut(x, -1).tolist()]

    rows = iter(range(1, plan.tiling.rows + 1))
    wanted = [[next(rows) for _ in range(length)] for length in word_line_groups(plan)]
    assert [group for group in groups if group] == wanted
    assert plan.row_groups == len(wanted)


@given(plans())
def test_groups_are_even_exactly_if_equal_pieces_never_cross_a_tile(plan):
    equal = cuts(plan.tiling.rows, plan.group_rows)
    assert plan.groups_are_even == (equal == word_line_groups(plan))


def test_nothing_is_converted_or_added_without_an_adc():
    tiling = Tiling(1, 20, 6, (False, False), (8, 8))
    activity = ReadPlan(tiling=tiling, dac_bits=None).activity(10)

    assert activity.reads == 10 * 2 * 3
    assert activity.drives == 10 * 2 * 20
    assert (activity.conversions, activity.shift_adds, activity.bits_in) == (0, 0, 0)
    assert activity.dac_conversions == {}


@pytest.mark.parametrize("mapping", MAPPINGS.values(), ids=MAPPINGS)
def test_a_plain_read_on_one_array_takes_one_read_of_each_part(mapping):
    tiling = Tiling(1, 20, 6, mapping[0], None, mapping[1])
    activity = ReadPlan(tiling=tiling, adc_bits=8).activity(1)
    lanes = 1 + max(mapping[1])

    assert activity.reads == tiling.full_parts
    assert activity.adc_conversions == {(lane, 8): 6 for lane in range(lanes)}
    assert activity.shift_adds == 6 * (lanes - 1)


def test_a_mapped_bias_drives_a_word_line_but_no_dac():
    dac = {"name": "uniform", "full_scale": 1.0}
    config = memcore.CrossbarConfig(device="ideal", bias="mapped", dac=dac)
    mem = memcore.convert(torch.nn.Linear(3, 2), config)
    activity = mem.crossbar.plan.activity(1)

    assert activity.dac_conversions == {8: 3}
    assert activity.drives == 2 * 4


@given(plans(), st.integers(1, 4))
def test_lines_are_those_of_the_array_that_a_value_comes_from(plan, columns):
    tiling = plan.tiling
    tiles = [
        tile
        for tile, lines in enumerate(cuts(tiling.rows, tiling.array_rows))
        for _ in cuts(lines, plan.rows_at_once or tiling.array_rows)
    ]
    for value in range(len(plan.values)):
        lines = plan.lines(value)
        assert lines.array.shape == lines.column.shape
        assert lines.array.shape == (tiling.groups, len(tiles), tiling.cols)
        carried = [n for n, here in enumerate(tiling.shared) if here]
        for group, (at, tile), col in product(
            range(tiling.groups), enumerate(tiles), range(tiling.cols)
        ):
            place = (0, group, tile, col // tiling.data_cols)
            assert tiling.place(int(lines.array[group, at, col])) == place
            wanted = col % tiling.data_cols
            if plan.per_column and tiling.shared[value]:
                lane = [n for n in carried if tiling.lanes[n] == tiling.lanes[value]]
                wanted = tiling.data_cols + lane.index(value)
            assert int(lines.column[group, at, col]) == wanted
        count, instance = lines.shared(columns)
        assert 0 <= int(instance.min()) <= int(instance.max()) < count
        same = (lines.array.flatten()[:, None] == lines.array.flatten()) & (
            lines.column.flatten()[:, None] // columns == lines.column.flatten() // columns
        )
        assert torch.equal(instance.flatten()[:, None] == instance.flatten(), same)
