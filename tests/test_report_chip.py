"""The chip in a report: what its cells hold, what its wires take, and what is said without it."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import memcore
from memcore import study
from memcore.pages.heat import Heat
from memcore.pages.histogram import Counts, Histogram
from memcore.pages.markup import joined
from memcore.report.wires import loss_of
from memcore.study import first_chip as chips
from memcore.study.first_chip import first_chip
from memcore.study.models import digits_vgg
from memcore.study.network import checkpoints
from memcore.study.page_chip import sections

EVIL = "<img src=x onerror=alert(1)>"
STUDY: dict[str, Any] = {
    "study": {"name": "look", "checkpoint": "digits_vgg", "chips": 1, "samples": 20},
    "crossbar": {
        "device": {"name": "ideal", "r_on": 1e4, "r_off": 1e6},
        "tile": [128, 128],
        "nonidealities": [
            {"name": "ir_drop", "segment": 1.0},
            {"name": "stuck_at", "p_lrs": 0.01},
        ],
    },
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> study.Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memcore.study.finishing.plot", lambda *_: None)
        return study.run(STUDY, tmp_path_factory.mktemp("look"), progress=False)


@pytest.fixture(scope="module")
def page(results: study.Results) -> Path:
    return study.report(results)


@pytest.fixture(scope="module")
def chip(results: study.Results) -> chips.FirstChip:
    return first_chip(results)


def changed(results: study.Results, **general: Any) -> study.Results:
    """The results of a study with other entries of `[study]`."""
    there = results.study.study.model_copy(update=general)
    asked = results.study.model_copy(update={"study": there})
    return study.Results(asked, results.baseline, results.samples, results.rows, True, Path())


def shown(results: study.Results, **options: Any) -> str:
    """The part of the page that is about the chip."""
    return joined(list(sections(results, **options)))


# -- what is counted -------------------------------------------------------------------------------


def test_targets_are_what_the_weights_ask_for(chip: chips.FirstChip) -> None:
    model = digits_vgg()
    checkpoints.load_weights(model, checkpoints.located("digits_vgg", Path()))
    seen = chip.matrices[1]
    weight = model.get_submodule(seen.name).weight.detach().double()
    low, high = 1e-6, 1e-4
    for held, signed in zip(seen.cells, (weight, -weight), strict=True):
        wanted = low + (high - low) * signed.clamp(min=0) / weight.abs().max()
        assert len(held.targets) == weight.numel()  # cells of unused lines do not count
        torch.testing.assert_close(held.targets.mean(), wanted.mean(), rtol=1e-4, atol=0)


def test_stuck_cells_are_away_from_their_targets_and_no_others_are(chip: chips.FirstChip) -> None:
    away = [(held.held - held.targets).abs() > 1e-9 for s in chip.matrices for held in s.cells]
    share = torch.cat(away).double().mean().item()
    count = sum(map(len, away))
    assert abs(share - 0.01) < 5 * (0.01 / count) ** 0.5
    for seen in chip.matrices:
        for held in seen.cells:
            off = (held.held - held.targets).abs() > 1e-9
            torch.testing.assert_close(
                held.held[off], torch.full_like(held.held[off], 1e-4), rtol=1e-5, atol=0
            )


def test_every_cell_is_in_the_histograms_once(page: Path, chip: chips.FirstChip) -> None:
    part = page.read_text().partition('id="cells"')[2].partition("</section>")[0]
    for seen, picture in zip(chip.matrices, part.split("<svg")[1:], strict=True):
        for held in seen.cells:
            counted = re.findall(rf"{held.kind}: (\d+) cells, (\d+) targets", picture)
            assert [sum(map(int, column)) for column in zip(*counted, strict=True)] == [
                len(held.held)
            ] * 2


@pytest.mark.parametrize(("mapper", "kind"), [("offset", "reference"), ("bit_slice", "negative")])
def test_cells_that_are_subtracted_are_told_by_their_kind(mapper: str, kind: str) -> None:
    config = memcore.CrossbarConfig(device="ideal", mapper=mapper, tile=(8, 8))
    crossbar = memcore.convert(torch.nn.Linear(11, 9), config, seed=0).crossbar
    seen = list(chips._held(crossbar, crossbar.programmed))
    assert [held.kind for held in seen] == ["positive", kind]
    assert sum(len(held.held) for held in seen) == crossbar.tiling.used_cells


# -- what the wires take ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aged(tmp_path_factory: pytest.TempPathFactory) -> study.Results:
    """A study over ages, of cells whose conductance falls as a known power of the time."""
    content = {
        "study": {"name": "ages", "checkpoint": "digits_vgg", "chips": 2, "samples": 20},
        "crossbar": {
            "device": {"name": "ideal", "r_on": 1e4, "r_off": 1e6},
            "nonidealities": [{"name": "drift", "nu": 0.1, "t0": 1.0}],
        },
        "sweep": [
            {
                "name": "age",
                "axes": {
                    "age": {"values": [0, 1, 100, 8760], "unit": "h", "moves": {"age": 3600.0}}
                },
            }
        ],
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("memcore.study.finishing.plot", lambda *_: None)
        return study.run(content, tmp_path_factory.mktemp("ages"), progress=False)


def test_cells_are_shown_after_the_longest_life_of_the_study(aged: study.Results) -> None:
    chip = first_chip(aged)
    assert str(chip.life) == "365.0 days"
    for seen in chip.matrices:
        for held in seen.cells:
            assert held.aged is not None
            ratio = (8760 * 3600.0) ** -0.1
            torch.testing.assert_close(held.aged, ratio * held.held, rtol=1e-5, atol=0)
    text = study.report(aged).read_text()
    assert "what they hold after 365.0 days" in text
    assert text.count('class="aged"') > text.count('class="held"') / 2
    assert "mean aged" in text


def test_a_study_over_ages_has_accuracy_over_time_with_intervals(aged: study.Results) -> None:
    text = study.report(aged).read_text()
    picture = text[text.index('data-name="ages-age"') - 200 :]
    picture = picture[: picture.index("</svg>")]
    assert 'class="line"' in picture
    assert 'class="band"' in picture
    for label in ("0", "1", "100", "8760"):
        assert f">{label}</text>" in picture


def test_nothing_is_aged_where_nothing_passes(page: Path, chip: chips.FirstChip) -> None:
    assert all(held.aged is None for seen in chip.matrices for held in seen.cells)
    assert 'class="aged"' not in page.read_text()


def test_a_single_cell_loses_what_a_divider_takes() -> None:
    wires = memcore.Wires(word_line=30.0, bit_line=20.0)
    loss = loss_of(memcore.Crossbar(torch.tensor([[1e-3]]), wires=wires))
    assert loss is not None
    assert loss.quantity == "voltage"
    assert loss.mean == loss.largest == pytest.approx(50 / 1050, rel=1e-6)


def test_a_column_loses_what_nodal_analysis_says() -> None:
    g, r = np.array([2e-3, 5e-4, 1e-3]), 40.0
    # Word lines without resistance; nodes of the bit line from top to bottom, sensed below.
    nodes = np.diag(g) + (2 * np.eye(3) - np.eye(3, k=1) - np.eye(3, k=-1)) / r
    nodes[0, 0] -= 1 / r  # nothing above the first cell
    lost = np.linalg.solve(nodes, g)
    wires = memcore.Wires(word_line=0.0, bit_line=r)
    loss = loss_of(memcore.Crossbar(torch.tensor(g)[:, None], wires=wires))
    assert loss is not None
    np.testing.assert_allclose(loss.shares[:, 0], lost, rtol=1e-9)


def test_approximated_wires_lose_conductance_and_no_wires_nothing() -> None:
    def loss(effect: str | None) -> chips.Loss | None:
        effects = [] if effect is None else [{"name": effect, "segment": 5.0}]
        config = memcore.CrossbarConfig(device="ideal", tile=(16, 16), nonidealities=effects)
        return loss_of(memcore.convert(torch.nn.Linear(16, 16), config, seed=0).crossbar)

    approximate, exact = loss("ir_drop_series"), loss("ir_drop")
    assert loss(None) is None
    assert approximate is not None
    assert exact is not None
    assert (approximate.quantity, exact.quantity) == ("conductance", "voltage")
    assert 0 < approximate.mean < 0.5


@pytest.mark.parametrize("effect", ["ir_drop", "ir_drop_series"])
def test_losses_are_found_where_the_cells_are_whatever_the_default_device(effect: str) -> None:
    config = memcore.CrossbarConfig(
        device="ideal", nonidealities=[{"name": effect, "segment": 5.0}]
    )
    crossbar = memcore.convert(torch.nn.Linear(6, 3), config).crossbar
    expected = loss_of(crossbar)
    with torch.device("meta"):
        found = loss_of(crossbar)
    assert expected is not None
    assert found is not None
    assert found.mean == expected.mean


def test_rows_that_nothing_drives_are_not_counted() -> None:
    config = memcore.CrossbarConfig(
        device="ideal", tile=(16, 4), nonidealities=[{"name": "ir_drop", "segment": 5.0}]
    )
    loss = loss_of(memcore.convert(torch.nn.Linear(17, 4, bias=False), config, seed=0).crossbar)
    assert loss is not None
    assert loss.shape in ((16, 4), (1, 4))
    assert loss.mean > 0


def test_the_larger_of_two_networks_of_wires_has_the_larger_losses(chip: chips.FirstChip) -> None:
    means = [seen.loss.mean for seen in chip.matrices if seen.loss is not None]
    assert len(means) == len(chip.matrices)
    assert means[0] == min(means)  # 9 word lines, those of the others are 128


# -- what is said without it -----------------------------------------------------------------------


def test_code_of_the_study_is_not_run_unasked(results: study.Results) -> None:
    own = changed(results, model={"name": "not_there:network"})
    assert "code of the study's own, which a report does not run unasked" in shown(own)
    assert "cannot be imported" in shown(own, own_code=True)


def test_names_in_the_reason_stay_text(results: study.Results) -> None:
    text = shown(changed(results, checkpoint=EVIL))
    assert "The first chip is not shown" in text
    assert "<img" not in text
    assert "&lt;img" in text


def test_layers_that_take_too_long_are_named(
    results: study.Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chips, "_MOST_SOLVED", 11_000)
    text = shown(results)
    assert "Too large to be written again for this page: features.7, features.10, features.14." in (
        text
    )
    monkeypatch.setattr(chips, "_MOST_SOLVED", 10)
    assert "its layers are too large to be built again: features.0, " in shown(results)


def test_a_part_of_a_chip_holds_what_the_whole_chip_holds(
    results: study.Results, chip: chips.FirstChip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chips, "_MOST_SOLVED", 11_000)
    few = first_chip(results)
    whole = {seen.name: seen for seen in chip.matrices}
    assert 0 < len(few.matrices) < len(whole)
    for seen in few.matrices:
        for held, of_whole in zip(seen.cells, whole[seen.name].cells, strict=True):
            assert torch.equal(held.held, of_whole.held)


def test_the_same_results_give_the_same_bytes(results: study.Results, page: Path) -> None:
    again = study.report(results.folder, page.with_name("again.html"))
    assert again.read_bytes() == page.read_bytes()


# -- pictures --------------------------------------------------------------------------------------


def test_pictures_are_well_formed_and_nothing_is_outside(page: Path) -> None:
    text = page.read_text()
    pictures = re.findall(r"<svg.*?</svg>", text.partition('id="cells"')[2], re.DOTALL)
    assert len(pictures) == 6 + 6
    for picture in pictures:
        root = ET.fromstring(picture)
        _, _, width, height = map(float, (root.get("viewBox") or "").split())
        assert root.get("aria-label")
        for path in root.iter("{http://www.w3.org/2000/svg}path"):
            for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", path.get("d") or ""):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height
    assert 'href="#cells"' in text
    assert 'href="#wires"' in text


def test_heights_of_a_histogram_grow_with_the_logarithm_of_the_counts() -> None:
    kind = Counts("positive", (0, 1, 9, 99), (0, 0, 0, 0))
    picture = Histogram("n", EVIL, (0.0, 1.0, 2.0, 3.0, 4.0), "x", (kind,)).svg
    assert "<img" not in picture
    root = ET.fromstring(picture)
    bars = next(p for p in root.iter() if p.get("class") == "held").get("d") or ""
    heights = [
        float(floor) - float(top) for floor, top in re.findall(r"M\S+ ([\d.]+)V([\d.]+)", bars)
    ]
    one, ten, hundred = heights
    assert ten / one == pytest.approx(np.log(10) / np.log(2), rel=0.01)
    assert hundred / one == pytest.approx(np.log(100) / np.log(2), rel=0.01)


def test_a_map_has_a_field_for_each_value_in_its_shade() -> None:
    values = ((0.0, 1.0, 2.0), (7.9, 8.0, 99.0))
    root = ET.fromstring(Heat("n", "t", EVIL, values, (2, 3), 8.0, "%").svg)
    shades = {
        (path.get("class") or "").split()[1]: (path.get("d") or "").count("M")
        for path in reversed(list(root.iter("{http://www.w3.org/2000/svg}path")))
        if "heat" in (path.get("class") or "")
    }
    assert (shades["h0"], shades["h1"], shades["h7"]) == (2, 1, 3)


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    _, events = browser.look(page.as_uri())
    assert [e for e in events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")] == []
    return browser


def test_light_dark_and_print_have_their_own_shades(opened: Any) -> None:
    media = "Emulation.setEmulatedMedia"
    fill = "getComputedStyle(document.querySelector('.heat.h7')).fill"
    line = "getComputedStyle(document.querySelector('.wanted')).stroke"
    seen = []
    for scheme in ("light", "dark"):
        opened.call(media, features=[{"name": "prefers-color-scheme", "value": scheme}])
        seen.append((opened.evaluate(fill), opened.evaluate(line)))
    opened.call(media, media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    printed = (opened.evaluate(fill), opened.evaluate(line))
    opened.call(media, media="", features=[])
    assert seen[0] != seen[1]
    assert printed == seen[0]


def test_numbers_behind_the_pictures_are_reached_by_keyboard(opened: Any) -> None:
    opened.evaluate("document.querySelector('#cells th:nth-child(6) button').focus()")
    for kind in ("keyDown", "keyUp"):
        opened.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r")
    cells = "[...document.querySelectorAll('#cells tbody tr')].map(row => +row.cells[5].dataset.v)"
    values = opened.evaluate(cells)
    assert values == sorted(values)
    reached = "document.querySelectorAll('#cells [tabindex], #wires [tabindex]').length"
    assert opened.evaluate(reached) == 2


def test_a_bin_tells_its_counts_under_the_pointer(opened: Any) -> None:
    box = opened.evaluate(
        "(async mark => { mark.scrollIntoView({block: 'center', behavior: 'instant'});"
        " for (let k = 0; k < 3; k++) await new Promise(requestAnimationFrame);"
        " const box = mark.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; })"
        "(document.querySelector('#cells .mark .hit'))"
    )
    opened.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0], y=box[1])
    tip = opened.evaluate("document.querySelector('#tip').textContent")
    assert re.search(r"positive: \d+ cells, \d+ targets", tip)


def test_a_phone_shows_pictures_without_scrolling_sideways(opened: Any) -> None:
    size = "Emulation.setDeviceMetricsOverride"
    opened.call(size, width=360, height=700, deviceScaleFactor=1, mobile=True)
    wide = opened.evaluate("document.documentElement.scrollWidth")
    opened.call("Emulation.clearDeviceMetricsOverride")
    assert wide <= 360
