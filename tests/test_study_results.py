import csv
import html
import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.text import Text
from scipy import stats

from memcore.errors import StudyError
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
    assert effects(study, study.sweep[0]) == "ideal, r_on varies from cell to cell, finite states"


def test_what_differs_between_the_points_of_a_sweep_is_not_said_of_all() -> None:
    base = {"device": {"name": "vteam", "r_on": {"normal": {"mean": 50.0, "std": 1.0}}}}
    sweeps = [
        {"name": "devices", "axes": {"device": ["ideal", "linear_ion_drift"]}},
        {"name": "set", "set": {"device": "ideal"}, "axes": {"read_voltage": [0.1, 0.2]}},
        {
            "name": "added",
            "axes": {
                "nonidealities": {
                    "values": ["a", "b"],
                    "moves": {"nonidealities": [[], ["finite_states"]]},
                }
            },
        },
        {"name": "aged", "set": {"age": 10.0, "nonidealities": ["drift"]}},
        {"name": "layers", "set": {"classifier.device": "ideal"}},
    ]
    study = read({"crossbar": {**base, "classifier": {"adc": "uniform"}}, "sweep": sweeps})
    assert [effects(study, sweep) for sweep in study.sweep] == [
        "classifier: ADC uniform",
        "ideal, classifier: ADC uniform",
        "vteam, r_on varies from cell to cell, classifier: ADC uniform",
        "vteam, r_on varies from cell to cell, drift, classifier: ADC uniform, 10 s after writing",
        "vteam, r_on varies from cell to cell, classifier: ideal, ADC uniform",
    ]


def test_an_interval_of_a_proportion_stays_between_nothing_and_all(tmp_path: Path) -> None:
    study = read(
        {
            "study": {"chips": 2},
            "sweep": [
                {
                    "name": "s",
                    "axes": {"x": {"values": [1, 2], "moves": {"tile": [[8, 8], [16, 16]]}}},
                }
            ],
        }
    )
    rows = (row("s", 0, {"x": 1}, 200, 180), row("s", 1, {"x": 2}, 0, 20))
    found = Results(study, 0.99, 200, rows, True, tmp_path)
    for line in csv.DictReader(csv_text(found).splitlines()):
        assert 0 <= float(line["low"]) <= float(line["mean"]) <= float(line["high"]) <= 1
    assert rows[0].bounds == (pytest.approx(0.95 - rows[0].interval), 1.0)  # type: ignore[operator]
    assert "95.00 (31.47 to 100.00)" in table(found)
    bars = figure(found).axes[0].containers[0]
    for stick in bars.lines[2][0].get_segments():
        assert 0 <= stick[0, 1] <= stick[1, 1] <= 100


@pytest.mark.parametrize("word", ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_the_csv_is_a_formula(tmp_path: Path, word: str) -> None:
    axis = {"values": [word, "ok"], "moves": {"tile": [[8, 8], [16, 16]]}}
    study = read({"sweep": [{"name": "s", "axes": {word: axis}}]})
    rows = (row("s", 0, {word: word}, 150), row("s", 1, {word: -3.5}, 200))
    text = csv_text(Results(study, 0.9, 200, rows, True, tmp_path))
    head, first, second = csv.reader(io.StringIO(text))
    assert head[1] == first[1] == "'" + word.replace("\r", "\n")
    assert second[1] == "-3.5"  # a number is none
    assert second[-1] == "-0.100000"


@pytest.mark.parametrize("title", ["$\\bad$", "costs $5 to $10", "a_b^c {x}", "50 % $", "\\alpha"])
def test_text_stays_text_in_the_picture(tmp_path: Path, title: str) -> None:
    axis = {
        "values": [title, "x"],
        "moves": {"tile": [[8, 8], [16, 16]]},
        "label": title,
        "unit": title,
    }
    second = {"values": [title, "y"], "moves": {"mapper": ["offset", "differential"]}}
    content = {
        "study": {"title": title, "note": title},
        "sweep": [{"name": "s", "title": title, "note": title, "axes": {"a": axis, "b": second}}],
    }
    settings = [{"a": a, "b": b} for a in (title, "x") for b in (title, "y")]
    rows = tuple(row("s", k, each, 150, 160) for k, each in enumerate(settings))
    found = Results(read(content), 0.9, 200, rows, True, tmp_path)
    plot(found, tmp_path / "a.png")
    drawn = figure(found)
    drawn.savefig(tmp_path / "a.svg")
    drawn.savefig(tmp_path / "a.pdf")
    svg = html.unescape((tmp_path / "a.svg").read_text())
    assert svg.count("<text") > 10
    for shown in (title, f"{title} ({title})", f"b = {title}"):
        assert f">{shown}</text>" in svg
    assert b"/Type3" not in (tmp_path / "a.pdf").read_bytes()


def test_series_differ_by_more_than_their_colour(tmp_path: Path) -> None:
    axes = figure(results(tmp_path)).axes[0]
    assert [bars.lines[0].get_marker() for bars in axes.containers] == ["o", "s"]


@pytest.mark.parametrize(
    ("values", "scale", "words"),
    [
        (["a", "b"], "log", 'expected "category" or "auto"'),
        (["a", "b"], "linear", 'expected "category" or "auto"'),
        ([0, 1], "log", "expected numbers above 0"),
        ([-1.0, 1.0], "log", "expected numbers above 0"),
        ([True, False], "log", 'expected "category" or "auto"'),
        ([1.0, float("nan")], "auto", "no finite number"),
        ([1.0, float("inf")], "auto", "no finite number"),
        ([1, 10**400], "auto", "no finite number"),
    ],
)
def test_a_scale_that_the_values_do_not_have_is_refused_at_once(
    values: list[object], scale: str, words: str
) -> None:
    moves = {"tile": [[8, 8], [16, 16]]}
    axis = {"values": values, "scale": scale, "moves": moves}
    with pytest.raises(StudyError, match=words):
        read({"sweep": [{"name": "s", "axes": {"x": axis}}]})


def test_the_difference_of_two_settings_is_that_of_their_chips(tmp_path: Path) -> None:
    one, other = row("s", 0, {}, 150, 120, 90), row("s", 1, {}, 154, 121, 97)
    found = results(tmp_path).difference(other, one)
    expected = stats.ttest_rel([0.77, 0.605, 0.485], [0.75, 0.6, 0.45])
    low, high = expected.confidence_interval(0.95)
    assert found.mean == pytest.approx(0.02)
    assert found.interval == pytest.approx((high - low) / 2)
    assert found.interval < one.interval / 4  # what the chips share cancels
    assert found.chips == 3
    alone = results(tmp_path).difference(row("s", 0, {}, 150), row("s", 1, {}, 140, 130))
    assert (alone.mean, alone.interval, alone.chips) == (pytest.approx(0.05), None, 1)


def test_names_under_a_panel_do_not_overlap_and_points_are_called_so(tmp_path: Path) -> None:
    names = ["EpiRAM (92)", "GST PCM (89)", "HZO FeFET (88)", "TaOx/HfOx (80)", "Ag:a-Si (72)"]
    axis = {"values": names, "moves": {"mapper": ["offset", "differential"] * 2 + ["offset"]}}
    study = read({"sweep": [{"name": "s", "axes": {"synapse": axis}}], "study": {"chips": 2}})
    rows = tuple(row("s", k, {"synapse": name}, 150, 160) for k, name in enumerate(names))
    drawn = figure(Results(study, 0.9, 200, rows, True, tmp_path))
    drawn.draw_without_rendering()
    labels = drawn.axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == names
    for one, other in itertools.pairwise(labels):  # which are read along their own direction
        apart = (
            other.get_transform().transform(other.get_position())[0]
            - (one.get_transform().transform(one.get_position())[0])
        )
        height = min(each.get_window_extent().height for each in (one, other))
        wide = max(each.get_window_extent().width for each in (one, other))
        assert wide < apart or (one.get_rotation() == 30 and height < 2 * apart)
    assert all(label.get_window_extent().x0 >= 0 for label in labels)
    captions = [text.get_text() for text in drawn.findobj(Text) if "95 %" in text.get_text()]
    assert "Points and bars: mean" in captions[0].replace("\n", " ")


def test_long_titles_and_legends_stay_in_a_narrow_picture(tmp_path: Path) -> None:
    word = "sixteen letters "
    label = (5 * word).strip()
    axes: dict[str, Any] = {
        "side": {"values": ["left", "right"], "moves": {"mapper": ["offset", "differential"]}},
        "tile": {"values": [8, 16], "moves": {"tile": [[8, 8], [16, 16]]}, "label": label},
    }
    study = read({"study": {"title": (6 * word).strip()}, "sweep": [{"name": "s", "axes": axes}]})
    settings = [{"side": side, "tile": tile} for side in ("left", "right") for tile in (8, 16)]
    rows = tuple(row("s", k, {**each}, 150, 160) for k, each in enumerate(settings))
    drawn = figure(Results(study, 0.9, 200, rows, True, tmp_path))
    drawn.draw_without_rendering()
    (panel,), (right, _) = drawn.axes, drawn.canvas.get_width_height()
    legend = panel.get_legend()
    assert legend is not None
    texts = [text for text in drawn.findobj(Text) if "sixteen" in text.get_text()]
    assert {*legend.get_texts()} < {*texts}
    assert all(text.get_window_extent().x1 <= right for text in texts)
    bands = [each for each in panel.collections if isinstance(each, PolyCollection)]
    assert not bands  # nothing lies between two words
