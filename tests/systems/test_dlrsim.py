"""Sensed sums against published figures, closed forms and drawn cells.

The columns of R5 were computed by Monte Carlo (4e5 samples) and numerically by another program.
"""

import json
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import memcore
from memcore import ConfigError, LogNormal, Normal, SumTable, sensing_table
from memcore.sensing import midpoints, sampled_sums, sensed_product
from memcore.study.data import digits

IDEAL = memcore.devices["ideal"]
#: (open lines, ratio of resistances, sigma of ln R): P(correct) of each sum, drawn and computed.
R5 = {
    (9, 10, 0.2): (
        "1.0 .9582 .8736 .7905 .7219 .6686 .6218 .5872 .5541 .8482",
        "1.0 .9585 .8729 .7903 .7229 .6683 .6234 .5857 .5535 .8477",
    ),
    (9, 50, 0.5): (
        "1.0 .7005 .4978 .4029 .3428 .2991 .2674 .2401 .2202 .8275",
        "1.0 .7012 .4991 .4022 .3419 .2993 .2670 .2414 .2203 .8271",
    ),
    (4, 10, 0.1): ("1.0 .9999 .9973 .9887 .9928", "1.0 .9999 .9974 .9886 .9930"),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def cells(ratio):
    return IDEAL(r_on=1e4, r_off=1e4 * ratio)


def correct(rows, ratio, sigma, **settings):
    return sensing_table(
        cells(ratio), rows=rows, spread=LogNormal(1.0, sigma), **settings
    ).correct()


def numbers(text):
    return torch.tensor([float(word) for word in text.split()], dtype=torch.float64)


def example():
    """Inputs of 3 integer and 3 fraction bits, weights of 2 and 4, in 20 rows."""
    i = torch.arange(20.0)
    x = torch.stack([((7 * i + 3 * c) % 13 - 6) / 4 for c in range(3)])
    return x, (((5 * i) % 11 - 5) / 8).unsqueeze(1)


def one_less(rows):
    return SumTable.from_lists(
        [[[max(v - 1, 0)] for v in range(n + 1)] for n in range(1, rows + 1)]
    )


FORM = {"inputs": (3, 3), "weights": (2, 4)}


# -- the composition of bits -----------------------------------------------------------------------


def test_ac_dl_1_a_table_that_loses_one_gives_the_published_outputs():
    x, w = example()
    y = sensed_product(x, w, **FORM, rows=4, table=one_less(4))
    assert y.flatten().tolist() == [-1.125, 1.21875, 2.90625]


@pytest.mark.parametrize("rows", [1, 4, 9, 20])
def test_ac_dl_1_sums_that_are_sensed_right_give_the_product(rows):
    x, w = example()
    exact = SumTable.from_lists([[[v] for v in range(n + 1)] for n in range(1, rows + 1)])
    for table in (None, exact):
        assert torch.equal(sensed_product(x, w, **FORM, rows=rows, table=table), x @ w)


def test_values_beyond_the_bits_saturate():
    x, w = torch.tensor([[9.0, -9.0]]), torch.tensor([[1.0], [0.0]])
    y = sensed_product(x, w, inputs=(3, 1), weights=(2, 0), rows=2)
    assert y.item() == 3.5
    y = sensed_product(x, w.flip(0), inputs=(3, 1), weights=(2, 0), rows=2)
    assert y.item() == -4.0


def test_no_inputs_give_no_outputs():
    x, w = example()
    assert sensed_product(x[:0], w, **FORM, rows=4, table=one_less(4)).shape == (0, 1)


def test_a_read_draws_the_same_whichever_reads_come_with_it():
    x, w = torch.rand(40, 30) - 0.5, torch.rand(30, 5) - 0.5
    table = sensing_table(cells(10), rows=8, spread=LogNormal(1.0, 0.3))
    settings = {"inputs": (1, 4), "weights": (1, 4), "rows": 8, "table": table}
    whole = sensed_product(x, w, **settings)
    assert not torch.allclose(whole, sensed_product(x, w, **{**settings, "table": None}))
    parts = [sensed_product(x[a : a + 7], w, **settings, first=a) for a in range(0, 40, 7)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(sensed_product(x, w, **settings, first=1), whole)


# -- the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", R5)
def test_ac_dl_2_probabilities_are_the_published_ones(case):
    rows, ratio, sigma = case
    drawn, computed = map(numbers, R5[case])
    found = correct(rows, ratio, sigma)
    torch.testing.assert_close(found, computed, rtol=0, atol=1e-3)
    torch.testing.assert_close(found, drawn, rtol=0, atol=5e-3)


@pytest.mark.parametrize("value", [1, 5, 9])
def test_ac_dl_3_drawn_cells_agree_with_the_table(value):
    settings = {"spread": LogNormal(1.0, 0.2)}
    table = sensing_table(cells(10), rows=9, **settings)
    sums = sampled_sums(cells(10), value=value, lines=9, reads=100_000, **settings)
    shares = torch.bincount(sums, minlength=10) / len(sums)
    torch.testing.assert_close(shares.double(), table.probability[8, value], rtol=0, atol=1e-2)


def test_ac_dl_4_errors_fall_with_ratio_spread_and_unit():
    base = correct(9, 10, 0.2)
    assert (correct(9, 50, 0.2)[1:9] > base[1:9]).all()
    assert (correct(9, 10, 0.1)[1:9] > base[1:9]).all()
    assert (correct(4, 10, 0.2)[1:4] > base[1:4]).all()


def test_ac_dl_4_a_smaller_spread_beats_a_larger_ratio():
    base = correct(9, 10, 0.2)[5]
    by_ratio, by_spread = correct(9, 50, 0.2)[5] - base, correct(9, 10, 0.1)[5] - base
    assert by_spread > 5 * by_ratio > 0


def test_without_spread_neither_gains_anything():
    # The setting in which the trend is invisible: no sum is ever wrong.
    for ratio, sigma in ((10, 1e-3), (50, 1e-3), (10, 5e-4)):
        assert correct(9, ratio, sigma).min() > 1 - 1e-9


def test_the_ratio_decides_about_sum_0_at_a_large_spread():
    # Published: the error of sum 0 falls from 25 % to 0 between ratios 10 and 50.
    assert 1 - correct(9, 10, 0.73)[0] == pytest.approx(0.25, abs=0.03)
    assert 1 - correct(9, 50, 0.73)[0] < 1e-2


@pytest.mark.slow
def test_ac_dl_6_a_table_takes_less_than_a_second():
    import time

    start = time.perf_counter()
    correct(9, 10, 0.2)
    assert time.perf_counter() - start < 1


# -- any cells -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 3, 6])
def test_normal_conductances_give_the_closed_form(value):
    # Sums of normal currents are normal: variances add.
    low, high, sigma, lines = 1e-5, 1e-4, 2e-6, 6
    c2c = {"name": "c2c", "std": 0.0, "absolute": sigma}
    table = sensing_table(cells(10), rows=lines, nonidealities=[c2c])
    borders = midpoints(low, high, lines)
    mean = value * high + (lines - value) * low
    below = 0.5 * (1 + torch.erf((borders - mean) / (sigma * math.sqrt(2 * lines))))
    edges = torch.cat([torch.zeros(1), below, torch.ones(1)])
    torch.testing.assert_close(table.probability[lines - 1, value], edges.diff(), rtol=0, atol=1e-3)


def test_two_spreads_of_a_cell_add_their_variances():
    both = sensing_table(
        cells(10), nonidealities=[{"name": "d2d", "std": 0.3}, {"name": "c2c", "std": 0.4}]
    )
    torch.testing.assert_close(both.correct(), correct(9, 10, 0.5), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("device", "effects", "lines"),
    [
        (IDEAL(r_on=Normal(1e4, 1.5e3, min=6e3, max=1.4e4), r_off=1e5), [], 6),
        (cells(10), [{"name": "read_noise", "relative": 0.15}], 6),
        (cells(10), ["d2d", {"name": "read_noise", "relative": 0.1}, "stuck_at"], 6),
        (cells(10), [{"name": "finite_states", "states": 2}, {"name": "rtn", "amplitude": 0.3}], 6),
        ("pcm", [], 24),
        ("stt_mram", [], 24),
    ],
    ids=["drawn parameters", "read noise", "three effects", "two levels", "pcm", "stt_mram"],
)
def test_the_table_of_any_cells_agrees_with_drawn_ones(device, effects, lines):
    value = lines // 2
    table = sensing_table(device, rows=lines, nonidealities=effects)
    sums = sampled_sums(device, value=value, lines=lines, reads=40_000, nonidealities=effects)
    shares = torch.bincount(sums, minlength=lines + 1) / len(sums)
    torch.testing.assert_close(
        shares.double(), table.probability[lines - 1, value], rtol=0, atol=1e-2
    )
    assert table.correct()[value] < 0.999, "nothing spreads, so nothing was compared"


def test_shifted_references_are_those_of_the_function():
    shifted = sensing_table(
        cells(10),
        rows=3,
        spread=LogNormal(1.0, 0.3),
        references=lambda lines: midpoints(0.6e-5, 0.6e-4, lines) + 1e-5,
    )
    plain = sensing_table(cells(10), rows=3, spread=LogNormal(1.0, 0.3))
    assert shifted.correct()[1] < plain.correct()[1]
    assert shifted.probability[2, 1, 0] > plain.probability[2, 1, 0]


def test_the_voltage_scales_currents_and_references_alike():
    spread = LogNormal(1.0, 0.2)
    tables = [
        sensing_table(cells(10), rows=4, read_voltage=v, spread=spread).probability
        for v in (0.1, 0.6)
    ]
    torch.testing.assert_close(*tables, rtol=0, atol=1e-6)


def test_many_rows_are_sensed_worse_than_few_but_stay_a_distribution():
    table = sensing_table(cells(10), rows=64, spread=LogNormal(1.0, 0.1))
    rows = table.probability.sum(2)[torch.ones(64, 65).tril(1).bool()]
    torch.testing.assert_close(rows, torch.ones_like(rows))
    mean = (table.probability[63, 32] * torch.arange(65)).sum()
    assert mean == pytest.approx(32, abs=0.5)


# -- digits ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recognised():
    """Percent of the digits that a small network recognises through a table of sensed sums."""
    pytest.importorskip("sklearn")
    data = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(model(data.train.images), data.train.labels).backward()
        optimizer.step()

    @torch.no_grad()
    def judge(table, rows=9):
        x = data.test.images.flatten(1)
        for layer, inputs in ((model[1], (2, 4)), (model[3], (5, 4))):
            peak = layer.weight.abs().max()
            w = (layer.weight / peak).t().contiguous()
            y = sensed_product(x, w, inputs=inputs, weights=(2, 6), rows=rows, table=table)
            x = (y * peak + layer.bias).relu()
        return 100 * float((x.argmax(1) == data.test.labels).double().mean())

    return judge


def spread_table(rows, ratio, sigma):
    return sensing_table(cells(ratio), rows=rows, spread=LogNormal(1.0, sigma))


def test_on_digits_a_smaller_spread_beats_a_larger_ratio(recognised):
    base = recognised(spread_table(9, 10, 0.2))
    by_ratio = recognised(spread_table(9, 50, 0.2)) - base
    by_spread = recognised(spread_table(9, 10, 0.1)) - base
    by_unit = recognised(spread_table(4, 10, 0.2), 4) - base
    assert base < recognised(None) - 10
    assert by_spread > 2 * by_ratio > 0
    assert by_unit > 0


def test_on_digits_the_trend_is_invisible_without_spread(recognised):
    assert recognised(spread_table(9, 10, 1e-3)) == recognised(None)
    assert recognised(spread_table(9, 50, 1e-3)) == recognised(None)


# -- draws and files -------------------------------------------------------------------------------


def test_draws_come_as_often_as_the_table_says():
    table = sensing_table(cells(10), rows=9, spread=LogNormal(1.0, 0.3))
    n = 200_000
    for lines, value in ((9, 4), (6, 6), (3, 1)):
        values = torch.full((n, 1), float(value))
        sums = table(values, torch.tensor(float(lines)), memcore.Stream(3).at(torch.arange(n)))
        shares = torch.bincount(sums.flatten().long(), minlength=10).double() / n
        wanted = table.probability[lines - 1, value]
        assert ((shares - wanted).abs() <= 5 * (wanted * (1 - wanted) / n).sqrt() + 1e-6).all()


def test_no_open_line_gives_0():
    table = sensing_table(cells(10), rows=3, spread=LogNormal(1.0, 2.0))
    zeros = torch.zeros(1000, 2)
    assert (table(zeros, torch.zeros(()), memcore.Stream(0).at(torch.arange(1000))) == 0).all()


def test_ac_dl_5_a_table_file_is_loaded_without_code(tmp_path):
    nested = [
        [[0], [1, 1, 0, 1]],
        [[0, 0, 1, 0], [1, 0, 1, 2], [2, 2, 2, 1], []],
    ]
    path = tmp_path / "x.json"
    path.write_text(json.dumps(nested))
    table = SumTable.from_json(path)
    assert table.rows == 2
    assert table.correct(1).tolist() == [1.0, 0.75]
    assert table.probability[1, 1].tolist() == [0.25, 0.5, 0.25]
    table.to_json(tmp_path / "y.json", entries=4)
    again = SumTable.from_json(tmp_path / "y.json")
    assert torch.equal(again.probability, table.probability)


def test_a_table_is_saved_in_a_state():
    table = sensing_table(cells(10), rows=3, spread=LogNormal(1.0, 0.5))
    again = one_less(3)
    again.load_state_dict(table.state_dict())
    assert torch.equal(again.probability, table.probability)
    values, lines = torch.full((500, 4), 2.0), torch.tensor(3.0)
    draws = [t(values, lines, memcore.Stream(1).at(torch.arange(500))) for t in (table, again)]
    assert torch.equal(*draws)


# -- what does not fit -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rows": 0}, "rows=0"),
        ({"rows": 5000}, "at most 1024"),
        ({"read_voltage": -1.0}, "read_voltage"),
        ({"spread": 0.2}, "expected a distribution"),
        ({"references": "nearest"}, "expected 'midpoint'"),
        ({"references": lambda lines: [1.0]}, "ascending currents"),
        ({"nonidealities": ["ir_drop"]}, "currents of whole lines"),
    ],
)
def test_arguments_that_do_not_fit_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        sensing_table(cells(10), **settings)


@pytest.mark.parametrize(
    ("nested", "message"),
    [
        ({}, "expected"),
        ([], "empty"),
        ([[[0]]], "expected 2"),
        ([[[0], [1.5]]], "list of integers"),
        ([[[0], [-1]]], "list of integers"),
        ([[[0], 1]], "list of integers"),
        ([[[0], []]], "list of integers"),
    ],
)
def test_a_table_file_that_is_none_is_refused(nested, message, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(nested))
    with pytest.raises(ConfigError, match=message):
        SumTable.from_json(path)


@pytest.mark.parametrize("text", ["", "[[[0", "\0"])
def test_a_file_that_is_no_json_is_refused(text, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        SumTable.from_json(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        SumTable.from_json(tmp_path / "absent.json")


def test_sums_above_the_table_are_an_error_and_no_crash():
    table, reads = one_less(2), memcore.Stream(0).at(torch.arange(1))
    for value, lines in ((3.0, 3.0), (2.0, 1.0), (-1.0, 1.0)):
        with pytest.raises(ConfigError, match="expected"):
            table(torch.tensor([[value]]), torch.tensor(lines), reads)
    x, w = example()
    with pytest.raises(ConfigError, match="sums of 2 open lines"):
        sensed_product(x, w, **FORM, rows=3, table=table)


def test_shapes_and_formats_that_do_not_fit_are_named():
    x, w = example()
    with pytest.raises(memcore.ShapeError, match="20 columns, but weight has 19 rows"):
        sensed_product(x, w[1:], **FORM, rows=3)
    with pytest.raises(ConfigError, match="integer bits"):
        sensed_product(x, w, inputs=(0, 3), weights=(2, 4), rows=3)
    with pytest.raises(ConfigError, match="value=4"):
        sampled_sums(cells(10), value=4, lines=3, reads=10)
    with pytest.raises(ConfigError, match="add up to 1"):
        SumTable(torch.full((1, 2, 2), 0.7))
    with pytest.raises(ConfigError, match="shape"):
        SumTable(torch.ones(2, 2, 2))


def test_draws_that_cells_share_are_refused():
    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Column(memcore.NonIdeality):
        stage = memcore.Stage.PROGRAM

        def bind(self, array, ctx):
            return memcore.Affine(gain=1 + 0.1 * ctx.random.normal((array.arrays, 1, 1)))

    with pytest.raises(ConfigError, match="several of them share"):
        sensing_table(cells(10), nonidealities=[Column()])
