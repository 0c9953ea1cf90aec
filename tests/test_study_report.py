"""A study as one page: what it says, that no name breaks it, and that it works offline."""

import csv
import dataclasses
import html
import json
import re
import time
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore import study
from memcore.cli.main import main
from memcore.errors import ConfigError, StudyError
from memcore.pages.chart import Chart, Mark, Series
from memcore.pages.markup import Html, tag
from memcore.pages.scale import Scale
from memcore.study.page_pareto import front
from memcore.study.prices import Price

EVIL = '</script><img src=x onerror=alert(1)> & "it\'s"'
BARS = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))

def bars():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 4
    images = 0.7 * torch.randn(200, 1, 4, 4, generator=generator)
    images[torch.arange(200), 0, labels] += 1.0
    return Dataset(train=Split(images[:100], labels[:100]), test=Split(images[100:], labels[100:]))
"""
STUDY: dict[str, Any] = {
    "study": {
        "name": "bars",
        "title": EVIL,
        "note": EVIL,
        "model": "bars_reported:flat",
        "data": "bars_reported:bars",
        "chips": 3,
    },
    "train": {"epochs": 2, "lr": 0.05, "batch": 20},
    "crossbar": {
        "device": {"name": "vteam", "r_off": 1e4},
        "adc": "uniform",
        "nonidealities": [{"name": "read_noise", "relative": 0.0}, "stuck_at"],
    },
    "sweep": [
        {
            "name": "noise",
            "axes": {
                "noise": {
                    "values": [0.0, 0.2, 1.5],
                    "label": EVIL,
                    "moves": {"nonidealities.read_noise.relative": 1.0},
                },
                "adc_per": ["output", "column"],
            },
        },
        {
            "name": "mapper",
            "axes": {"mapper": {"values": ["differential", "offset"], "label": "mapper"}},
        },
    ],
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> study.Results:
    folder = tmp_path_factory.mktemp("study")
    (folder / "bars_reported.py").write_text(BARS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("memcore.study.finishing.plot", lambda *_: None)  # takes most of the time
        return study.run(STUDY, folder / "results", progress=False)


@pytest.fixture(scope="module")
def costs(results: study.Results) -> dict[tuple[str, int], memcore.Cost]:
    rows = results.sweep("noise")
    return {
        (row.sweep, row.index): memcore.Cost(energy=10.0**-n, time=1e-6, area=1e-9 * (n + 1))
        for n, row in enumerate(rows)
    }


@pytest.fixture(scope="module")
def page(
    results: study.Results,
    costs: dict[tuple[str, int], memcore.Cost],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    return study.report(results, tmp_path_factory.mktemp("page") / "r.html", costs=costs)


def element(text: str, name: str) -> str:
    found = re.search(rf'<pre id="{name}"[^>]*>(.*?)</pre>', text, re.DOTALL)
    assert found
    return html.unescape(found[1])


# -- what it says ----------------------------------------------------------------------------------


def test_names_with_markup_stay_text(page: Path) -> None:
    text = page.read_text()
    assert "<img" not in text
    assert html.escape(EVIL, quote=False) in text
    assert text.count("<script") == text.count("</script>") == 1


def test_the_page_loads_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text()
    addresses = set(re.findall(r"""["'(](\w+://[^"')\s]+)""", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of a vocabulary
    assert "default-src 'none'" in html.unescape(text)
    assert "@import" not in text


def test_every_mean_is_in_the_page_with_its_interval_and_its_chips(
    page: Path, results: study.Results
) -> None:
    text = page.read_text()
    for row in results:
        assert f">{100 * row.mean:.2f}</td>" in text
        assert f">{100 * row.interval:.2f}</td>" in text  # type: ignore[operator]
        assert f">{100 * min(row.accuracies):.2f}</td>" in text
    chart = text.partition('<svg xmlns="http://www.w3.org/2000/svg"')[2].partition("</svg>")[0]
    assert chart.count('class="dot"') == 6 * 3
    assert chart.count('class="bar"') == 6


def test_the_study_in_the_page_is_the_study_that_was_run(
    page: Path, results: study.Results
) -> None:
    text = page.read_text()
    again = study.read(tomllib.loads(element(text, "study")))
    assert again.resolved() == results.study.resolved()
    assert element(text, "command") == "memcore run study.toml --out bars"
    assert "bars_reported" in text.partition("Make it again</h2>")[2].partition("<pre")[0]


def test_the_page_cites_the_plugins_that_were_used(page: Path) -> None:
    text = element(page.read_text(), "bibtex")
    assert "@software{memcore," in text
    assert "{VTEAM}" in text
    assert "IEEE Trans. Computers" in text  # stuck_at


def test_the_same_results_give_the_same_bytes(results: study.Results, tmp_path: Path) -> None:
    one = study.report(results, tmp_path / "a.html").read_bytes()
    assert one == study.report(results.folder, tmp_path / "b.html").read_bytes()


def test_what_is_missing_is_said(results: study.Results, tmp_path: Path) -> None:
    partial = study.Results(
        results.study, results.baseline, results.samples, results.rows[:2], False, results.folder
    )
    text = study.report(partial, tmp_path / "r.html").read_text()
    assert "Not complete: run the study again" in text
    assert "No point is finished yet." in text


def test_the_costs_that_a_study_knows_are_in_the_page(
    results: study.Results, tmp_path: Path
) -> None:
    prices = {
        f"noise-{row.index:03d}": (
            Price("mnsim", energy=1e-9 * (1 + row.index), time=1e-6, area=1e-8),
            Price("isaac", energy=2e-9, time=1e-6, area=1e-8),
        )
        for row in results.sweep("noise")
    }
    priced = dataclasses.replace(results, prices=prices)
    text = study.report(priced, tmp_path / "r.html").read_text()
    assert "against cost: mnsim</h2>" in text
    assert "against cost: isaac</h2>" in text
    assert 'data-v="1e-09"' in text.partition('id="pareto-0"')[2]
    assert 'href="#pareto-0"' in text


def test_the_front_has_the_points_that_no_other_beats(results: study.Results) -> None:
    rows = sorted(results.sweep("noise"), key=results.drop)
    dear, cheap = memcore.Cost(energy=2.0), memcore.Cost(energy=1.0)
    best, worst = rows[0], rows[-1]
    assert results.drop(best) < results.drop(worst)
    assert front([(best, dear), (worst, cheap)], "energy", results) == [
        (worst, cheap),
        (best, dear),
    ]
    assert front([(best, cheap), (worst, dear)], "energy", results) == [(best, cheap)]


def test_costs_of_points_that_are_not_there_are_refused(results: study.Results) -> None:
    with pytest.raises(ConfigError, match=r"costs has \('noise', 9\); expected the name of a"):
        study.report(results, costs={("noise", 9): memcore.Cost()})
    with pytest.raises(ConfigError, match=r"is 3; expected a memcore\.Cost"):
        study.report(results, costs={("noise", 0): 3})  # type: ignore[dict-item]


def test_the_error_budget_and_the_cost_of_layers_are_parts(
    results: study.Results, tmp_path: Path
) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    config = memcore.CrossbarConfig(
        device="vteam", nonidealities=[{"name": "stuck_at", "p_lrs": 0.5}]
    )
    chip = memcore.convert(model, config, seed=0)
    data = [(torch.rand(8, 4), torch.zeros(8, dtype=torch.long))]
    diagnosis = memcore.diagnose(chip, data)
    priced = memcore.cost(chip, torch.rand(2, 4))
    path = study.report(results, tmp_path / "r.html", diagnosis=diagnosis, cost=priced)
    text = path.read_text()
    assert "What each effect costs</h2>" in text
    assert f'data-v="{diagnosis.effects[0].without!r}"' in text.partition('id="budget"')[2]
    assert f'data-v="{priced.layers[0].cost.energy!r}"' in text.partition('id="layers"')[2]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study"):
        study.report(tmp_path)


def test_the_command_writes_the_page_into_the_folder(results: study.Results) -> None:
    done = CliRunner().invoke(main, ["report", str(results.folder)])
    assert done.exit_code == 0, done.output
    written = results.folder / "report.html"
    assert str(written) in done.output
    assert written.read_text().startswith("<!doctype html>")
    written.unlink()


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def opened(browser: Any, page: Path, tmp_path: Path) -> Any:
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    _, events = browser.look(page.as_uri())
    assert [e for e in events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")] == []
    asked = [e for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [e["params"]["request"]["url"] for e in asked] == [page.as_uri()]
    return browser


def column(browser: Any, index: int) -> list[str]:
    """The cells of a column of the first table, of the rows that are shown."""
    return browser.evaluate(
        "[...document.querySelectorAll('.tabled')[0].querySelectorAll('tbody tr')]"
        f".filter(row => row.offsetParent).map(row => row.cells[{index}].textContent)"
    )


def type_into_the_filter(browser: Any, text: str) -> None:
    browser.evaluate(
        "(field => { field.value = "
        + json.dumps(text)
        + "; field.dispatchEvent(new Event('input'))"
        "; })(document.querySelector('.filter'))"
    )


def pressed(browser: Any, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text="\r")


def downloaded(folder: Path, name: str) -> str:
    end = time.monotonic() + 20
    while not (folder / name).exists() and time.monotonic() < end:
        time.sleep(0.02)
    return (folder / name).read_text(encoding="utf-8")


def test_a_heading_sorts_by_mouse_and_by_keyboard(opened: Any) -> None:
    before = [float(text) for text in column(opened, 2)]
    button = "document.querySelectorAll('.tabled')[0].querySelectorAll('th button')[2]"
    opened.evaluate(f"{button}.click()")
    assert [float(text) for text in column(opened, 2)] == sorted(before)
    opened.evaluate(f"{button}.focus()")
    pressed(opened, "Enter")
    assert [float(text) for text in column(opened, 2)] == sorted(before, reverse=True)
    assert opened.evaluate(f"{button}.closest('th').ariaSort") == "descending"


def test_words_and_conditions_filter_rows(opened: Any) -> None:
    type_into_the_filter(opened, "column noise>0.1")
    assert column(opened, 0) == ["0.2", "1.5"]
    assert column(opened, 1) == ["column", "column"]
    assert opened.evaluate("document.querySelector('.count').textContent") == "2 of 6"
    type_into_the_filter(opened, "")
    assert len(column(opened, 0)) == 6


def test_the_rows_that_are_shown_are_saved_as_csv(
    opened: Any, results: study.Results, tmp_path: Path
) -> None:
    type_into_the_filter(opened, "output")
    opened.evaluate("document.querySelector('.save-csv').click()")
    heads, *rows = csv.reader(downloaded(tmp_path, "bars-noise.csv").splitlines())
    kept = [row for row in results.sweep("noise") if row.setting["adc_per"] == "output"]
    assert heads[1:3] == ["adc_per", "accuracy (%)"]
    assert [float(row[2]) for row in rows] == pytest.approx([100 * row.mean for row in kept])
    assert [float(row[3]) for row in rows] == pytest.approx(
        [100 * (row.interval or 0.0) for row in kept], rel=1e-6
    )


def test_a_picture_is_saved_as_svg_that_stands_alone(opened: Any, tmp_path: Path) -> None:
    opened.evaluate("document.querySelector('.save-svg').click()")
    text = downloaded(tmp_path, "bars-noise.svg")
    root = ET.fromstring(text)
    line = next(part for part in root.iter() if part.get("class") == "line")
    assert re.match(r"rgb\(\d", line.get("stroke") or "")
    assert "var(" not in text
    assert float(root.get("width") or 0) > 100


def test_a_mark_tells_its_numbers_under_the_pointer(opened: Any, results: study.Results) -> None:
    box = opened.evaluate(
        "(async mark => { mark.scrollIntoView({block: 'center', behavior: 'instant'});"
        " for (let k = 0; k < 3; k++) await new Promise(requestAnimationFrame);"
        " const box = mark.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; })"
        "([...document.querySelectorAll('.mark .hit')].at(-1))"
    )
    opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    tip = opened.evaluate(
        "(tip => tip.hidden ? '' : tip.textContent)(document.querySelector('#tip'))"
    )
    assert "accuracy" in tip
    assert "95 % interval" in tip


def test_light_dark_and_print_differ_and_the_button_chooses(opened: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    media = "Emulation.setEmulatedMedia"
    opened.call(media, features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = opened.evaluate(paper)
    opened.evaluate("document.querySelector('#theme').click()")
    light = opened.evaluate(paper)
    opened.call(media, media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    printed = opened.evaluate(paper)
    shown = opened.evaluate("getComputedStyle(document.querySelector('.tools')).display")
    opened.call(media, media="", features=[])
    assert len({dark, light, printed}) == 3
    assert printed == "rgb(255, 255, 255)"
    assert shown == "none"


def test_a_phone_shows_the_page_without_scrolling_sideways(opened: Any) -> None:
    size = "Emulation.setDeviceMetricsOverride"
    opened.call(size, width=360, height=700, deviceScaleFactor=1, mobile=True)
    wide = opened.evaluate("document.documentElement.scrollWidth")
    text = opened.evaluate(
        "Math.min(...[...document.querySelectorAll('svg.chart')].map(chart =>"
        " parseFloat(getComputedStyle(chart).fontSize) * chart.getScreenCTM().a))"
    )
    opened.call("Emulation.clearDeviceMetricsOverride")
    assert wide <= 360
    assert text >= 8


def test_the_picture_of_the_page_is_whole(page: Path) -> None:
    # Structure instead of pixels: each picture is well-formed, and nothing is drawn outside of it.
    pictures = re.findall(r"<svg.*?</svg>", page.read_text(), re.DOTALL)
    assert len(pictures) == 2 + 3
    for picture in pictures:
        root = ET.fromstring(picture)
        _, _, width, height = map(float, (root.get("viewBox") or "").split())
        for part in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 <= float(part.get("cx") or -1) <= width
            assert 0 <= float(part.get("cy") or -1) <= height


# -- what pages are made of ------------------------------------------------------------------------


def test_a_tag_escapes_texts_and_attributes_but_no_markup() -> None:
    made = tag("p", "a < b", tag("b", "&"), None, title='"<', hidden=True, class_=None)
    assert made == '<p title="&quot;&lt;" hidden>a &lt; b<b>&amp;</b></p>'
    assert isinstance(made, Html)
    assert tag("p", "\x00\ud800") == "<p>\\x00\\ud800</p>"


@pytest.mark.parametrize(
    ("scale", "labels"),
    [
        (Scale("linear", 0, 100), ["0", "20", "40", "60", "80", "100"]),
        (Scale("linear", -0.1, 0.41), ["0", "0.2", "0.4"]),
        (Scale("log", 1e-12, 1e-9), ["1e-12", "1e-11", "1e-10", "1e-9"]),
        (Scale("log", 1, 10), ["1", "2", "5", "10"]),
        (Scale.over("category", ["a", "b"]), ["a", "b"]),
    ],
)
def test_axes_are_labelled_with_round_numbers(scale: Scale, labels: list[str]) -> None:
    assert [tick.label for tick in scale.ticks] == labels
    assert all(-1e-9 <= tick.place <= 1 + 1e-9 for tick in scale.ticks)


def test_zero_has_a_place_on_a_logarithmic_axis() -> None:
    scale = Scale.over("log", [0, 1.0, 100.0], labelled=True)
    places = [scale.place(value) for value in (0, 1.0, 100.0)]
    assert places == sorted(places)
    assert all(0 < place < 1 for place in places)
    assert [tick.label for tick in scale.ticks] == ["0", "1", "100"]
    assert [tick.label for tick in Scale.over("log", [0, 1.0, 1000.0]).ticks][:2] == ["0", "1"]


def test_a_long_name_of_an_axis_is_broken_and_inside_of_the_picture() -> None:
    name = "standard deviation of the conductances of all cells after they were written, over mean"
    x, y = Scale.over("linear", [0.0, 1.0]), Scale.over("linear", [0.0, 1.0])
    marks = (Mark(0.0, 0.5, "tip"), Mark(1.0, 0.7, "tip"))
    chart = Chart("n", "t", x, y, name, "y" * 90, (Series("s", marks),))
    root = ET.fromstring(chart.svg)
    texts = [part for part in root.iter() if (part.get("class") or "").startswith("label")]
    assert "".join(part.text or "" for part in texts[1::-1]).replace(" ", "") == name.replace(
        " ", ""
    )
    _, _, _, height = map(float, (root.get("viewBox") or "").split())
    assert all(float(part.get("y") or 0) < height for part in texts)
    assert max(len(part.text or "") for part in texts) <= 54


def test_a_chart_of_one_point_and_of_long_categories_is_drawn() -> None:
    words = ["a very long name of a category", "another one that is as long"]
    for x, values in ((Scale.over("linear", [3.0]), [3.0]), (Scale.over("category", words), words)):
        marks = tuple(Mark(value, 1.0, "tip") for value in values)
        chart = Chart("n", "t", x, Scale("linear", 0, 2), "x", "y", (Series("", marks),))
        assert ET.fromstring(chart.svg) is not None
