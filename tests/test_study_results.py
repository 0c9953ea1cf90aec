from pathlib import Path

import pytest
from scipy import stats

from memcore.study import Results, Row, read
from memcore.study.plots import COLOURS, effects, figure, plot
from memcore.study.results import csv_text, t_quantile, table


def row(sweep: str, index: int, setting: dict[str, object], *correct: int) -> Row:
    return Row(sweep, index, setting, correct, 200)


def results(tmp_path: Path) -> Results:
    study = read(
        {
            "study": {"title": "A title", "note": "A note.", "chips": 3},
            "crossbar": {
                "device": {"name": "ideal", "r_on": {"normal": {"mean": 1e4, "std": 1.0}}},
                "nonidealities": ["finite_states"],
            },
            "sweep": [
                {
                    "name": "grid",
                    "axes": {
                        "spread": {"values": [0, 50], "unit": "%", "label": "std / mean"},
                        "mapper": ["differential", "offset"],
                    },
                },
                {"name": "states", "axes": {"n": {"values": [2, 8, 64]}}},
                {"name": "one"},
            ],
        }
    )
    rows = [
        row("grid", 0, {"spread": 0, "mapper": "differential"}, 190, 190, 190),
        row("grid", 1, {"spread": 0, "mapper": "offset"}, 180, 184, 188),
        row("grid", 2, {"spread": 50, "mapper": "differential"}, 150, 120, 90),
        row("grid", 3, {"spread": 50, "mapper": "offset"}, 50, 30, 40),
        row("states", 0, {"n": 2}, 100, 110, 120),
        row("states", 1, {"n": 8}, 180, 181, 182),
        row("states", 2, {"n": 64}, 190, 190, 190),
        row("one", 0, {}, 190, 191, 189),
    ]
    return Results(study, 0.955, 200, tuple(rows), True, tmp_path)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 29, 30, 199])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_t_quantile_is_students(degrees: int, confidence: float) -> None:
    expected = stats.t.ppf(0.5 + confidence / 2, degrees)
    assert t_quantile(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_the_interval_is_the_t_interval_of_the_mean() -> None:
    accuracies = (0.9, 0.92, 0.88, 0.95)
    found = row("s", 0, {}, *(round(200 * a) for a in accuracies))
    low, high = stats.t.interval(0.95, 3, stats.tmean(accuracies), stats.sem(accuracies))
    assert found.mean == pytest.approx((low + high) / 2)
    assert found.interval == pytest.approx((high - low) / 2)


def test_the_csv_has_a_column_for_each_axis(tmp_path: Path) -> None:
    head, first, *_, last = csv_text(results(tmp_path)).splitlines()
    assert head == "sweep,spread,mapper,n,chips,samples,baseline,mean,ci95,low,high,drop"
    assert first.startswith("grid,0,differential,,3,200,0.955000,0.950000,0.000000,")
    assert last.startswith("one,,,,3,200,")


def test_the_table_has_a_block_for_each_sweep(tmp_path: Path) -> None:
    text = table(results(tmp_path))
    assert text.startswith("A title\ndigital baseline 95.50 % of 200 test images; 3 chips")
    assert "std / mean (%)" in text
    assert any(line.split() == ["8", "90.50", "±", "1.24", "5.00"] for line in text.splitlines())


def test_each_sweep_is_a_panel_with_a_baseline(tmp_path: Path) -> None:
    drawn = figure(results(tmp_path))
    assert len(drawn.axes) == 3
    for axes in drawn.axes:
        assert any(list(line.get_ydata()) == [95.5, 95.5] for line in axes.get_lines())
    assert drawn.axes[0].get_xlabel() == "std / mean (%)"
    assert drawn.axes[0].get_ylabel() == "test accuracy (%)"
    assert [axes.get_xscale() for axes in drawn.axes] == ["linear", "log", "linear"]


def test_further_axes_are_series_with_a_legend(tmp_path: Path) -> None:
    axes = figure(results(tmp_path)).axes[0]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "mapper = differential",
        "mapper = offset",
    ]
    assert [bars.lines[0].get_color() for bars in axes.containers] == list(COLOURS[:2])


def test_the_means_and_intervals_are_where_the_table_says(tmp_path: Path) -> None:
    found = results(tmp_path)
    bars = figure(found).axes[1].containers[0]
    line, _, (sticks,) = bars.lines
    rows = found.sweep("states")
    assert line.get_ydata().tolist() == pytest.approx([100 * r.mean for r in rows])
    for stick, r in zip(sticks.get_segments(), rows, strict=True):
        assert stick[1, 1] - stick[0, 1] == pytest.approx(200 * r.interval)


def test_the_picture_is_the_same_every_time(tmp_path: Path) -> None:
    found = results(tmp_path)
    plot(found, tmp_path / "a.png")
    plot(found, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_panel_says_which_effects_are_on(tmp_path: Path) -> None:
    study = results(tmp_path).study
    assert effects(study, study.sweep[0]) == "ideal, r_on vary from cell to cell, finite states"
