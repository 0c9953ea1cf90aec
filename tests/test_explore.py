"""A device on a page with sliders: what it shows was computed, and what it saves is read."""

import dataclasses
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore.cli.main import main
from memcore.errors import ConfigError
from memcore.pages.exploring import grid
from memcore.registry.specs import plugin

VTEAM = memcore.devices["vteam"]()


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data"[^>]*>(.*?)</script>', path.read_text(), re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("explore") / "vteam.html"
    return memcore.explore("vteam", path, vary=["r_on", "r_off"])


def test_a_loop_of_the_grid_is_that_of_the_device_with_its_values() -> None:
    found = grid(VTEAM, ["r_off", "v_on"])
    first, second = found.sliders
    point = 2 * len(second.values) + 5
    moved = dataclasses.replace(VTEAM, r_off=first.values[2], v_on=second.values[5])
    dt = found.duration / 1200
    voltage = memcore.stimuli.triangle(
        float(found.voltage.abs().max().ceil()) * -0.5, 1 / (600 * dt), dt=dt, periods=2
    ).float()
    assert torch.equal(voltage[600::4], found.voltage)
    trace = memcore.simulate(moved, voltage, dt, record=4)
    assert found.curves.loop is not None
    current = 10 ** found.curves.loop[point] * found.voltage
    assert torch.allclose(current, trace.current[150:].double(), rtol=1e-4, atol=1e-12)


def test_pulses_of_the_grid_raise_and_lower_the_conductance() -> None:
    found = grid(memcore.devices["soft_bounds"](), ["dw_min"])
    assert found.curves.loop is None
    assert found.curves.response is not None
    for row in found.curves.response:
        assert bool((row[1:31] >= row[:30]).all())
        assert bool((row[32:] <= row[31:-1]).all())
    # larger steps lead further within the same pulses
    assert found.curves.response[-1, 10] > found.curves.response[0, 10]


def test_cells_that_differ_are_told_by_their_mean_and_deviation() -> None:
    found = grid(memcore.devices["reram_wan2022"](), ["g_max"])
    assert found.curves.written is not None
    mean, deviation = found.curves.written[found.sliders[0].base]
    assert bool((mean.diff() > 0).all())
    assert float(deviation.max()) > 1e-7


def test_settings_that_a_device_does_not_allow_are_left_out() -> None:
    device = dataclasses.replace(VTEAM, r_on=500.0)
    found = grid(device, ["r_on", "r_off"])
    assert found.curves.loop is not None
    r_on, r_off = (slider.values for slider in found.sliders)
    wrong = torch.tensor([on >= off for on in r_on for off in r_off])
    assert bool(wrong.any())
    assert torch.equal(found.curves.loop.isnan().any(1), wrong)


def test_the_parameters_that_matter_have_sliders() -> None:
    names = {slider.name for slider in grid(memcore.devices["ideal"]()).sliders}
    assert {"r_on", "r_off"} <= names
    assert "x0" not in names  # is 0, of which there is no quarter


def test_what_cannot_be_varied_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean 'r_off'"):
        grid(VTEAM, ["r_of"])
    with pytest.raises(ConfigError, match="expected up to 3"):
        grid(VTEAM, ["r_off", "v_on", "v_off", "k_on"])
    with pytest.raises(ConfigError, match="no parameter that a slider could vary"):
        grid(memcore.devices["tabular"]())


def test_the_command_writes_a_page_of_a_preset(tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    words = ["explore", "vteam", "--preset", "magic", "--vary", "v_on", "--out", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert data_of(out)["sliders"][0]["values"][3] == -1.5
    assert "r_off = 300000.0" in data_of(out)["rest"]


# -- in a browser ----------------------------------------------------------------------------------


@pytest.fixture
def opened(browser: Any, page: Path, tmp_path: Path) -> Any:
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    _, events = browser.look(page.as_uri())
    assert [e for e in events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")] == []
    asked = [e for e in events if e["method"] == "Network.requestWillBeSent"]
    assert [e["params"]["request"]["url"] for e in asked] == [page.as_uri()]
    return browser


def text(browser: Any, query: str) -> str:
    found: str = browser.evaluate(f"document.querySelector({query!r}).textContent")
    return found


def move(browser: Any, number: int, place: int) -> None:
    browser.evaluate(
        f"(input => {{ input.value = {place}; input.dispatchEvent(new Event('input')); }})"
        f"(document.getElementById('s{number}'))"
    )


def test_a_slider_moves_by_keyboard_and_redraws(opened: Any, page: Path) -> None:
    line = "document.querySelector('#loop .s0 .line').getAttribute('d')"
    before = opened.evaluate(line)
    opened.evaluate("document.getElementById('s1').focus()")
    for kind in ("keyDown", "keyUp"):
        opened.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    value = data_of(page)["sliders"][1]["values"][4]
    assert f"r_off = {value}" in text(opened, "#toml")
    assert text(opened, "#value-1") == f"{value / 1e3:.4g} kohm"
    assert opened.evaluate(line) != before
    opened.evaluate("document.getElementById('reset').click()")
    assert opened.evaluate(line) == before


def test_the_saved_file_is_the_device_of_the_setting(
    opened: Any, page: Path, tmp_path: Path
) -> None:
    move(opened, 0, 5)
    move(opened, 1, 6)
    opened.evaluate("document.querySelector('[data-file]').click()")
    path, end = tmp_path / "device.toml", time.monotonic() + 20
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    r_on, r_off = (slider["values"] for slider in data_of(page)["sliders"])
    assert plugin("devices", path) == dataclasses.replace(VTEAM, r_on=r_on[5], r_off=r_off[6])


def test_a_combination_that_is_not_allowed_is_said(browser: Any, tmp_path: Path) -> None:
    device = dataclasses.replace(VTEAM, r_on=500.0)
    path = memcore.explore(device, tmp_path / "x.html", vary=["r_on", "r_off"])
    browser.look(path.as_uri())
    move(browser, 0, 6)
    move(browser, 1, 0)
    assert browser.evaluate("document.getElementById('status').hidden") is False
    assert "does not allow this combination" in text(browser, "#status")
    move(browser, 0, 0)
    assert browser.evaluate("document.getElementById('status').hidden") is True
