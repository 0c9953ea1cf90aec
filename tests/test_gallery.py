"""What was published of chips beside what the cost models say."""

import json

import pytest
import torch
from click.testing import CliRunner
from memcore_plugins import networks

import memcore
from memcore.cli.main import main
from memcore.report.chip_file import ChipFile, chips
from memcore.report.networks import network_of

#: By how much figures of a chip may differ, of those whose file says nothing about why.
EXPLAINED = {"isaac": 0.01, "mnsim": 1e-9, "neurosim": 0.0, "neurram": 0.19}
EXPLAINED |= {"pipelayer": 0.0, "puma": 0.003}


@pytest.fixture(scope="module")
def shown():
    return {chip.name: chip for chip in memcore.gallery()}


def test_notes_on_energy_have_the_arithmetic_of_the_networks():
    """What is said to be missing follows from the networks and the published figures alone."""
    shown = {each.name: each for each in memcore.gallery("pipelayer", "neurosim")}
    vgg = memcore.cost(
        _on_meta("vgg_a"), torch.zeros(1, 3, 224, 224, device="meta"), model="pipelayer"
    )
    works = [layer.work for layer in vgg.layers if layer.work.kind == "matrix"]
    operations = 2 * sum(work.macs for work in works)
    note = shown["pipelayer"].figures[-1].note
    assert f"{operations / 1e9:.1f} G operations" in note
    assert f"in {1e3 * vgg.total.energy:.1f} mJ" in note
    assert f"are {1e3 * operations / 142.9e9:.0f} mJ" in note

    small = memcore.cost(
        _on_meta("neurosim_vgg8"),
        torch.zeros(1, 3, 32, 32, device="meta"),
        **{"model": "neurosim_floorplan", "adc": "isaac_adc_4b", "rows_at_once": 32},
    )
    conversions = sum(layer.events.get("conversions", 0) for layer in small.layers)
    published = 1231835136 / 8.76e12
    note = shown["neurosim"].figures[-1].note
    assert f"{1e3 * published:.3f} mJ an image" in note
    assert f"{conversions / 1e9:.2f} G conversions" in note
    assert f"{1e12 * published / conversions:.3f} pJ" in note
    sars = [each for each in memcore.components.search(kind="adc") if each.bits == 4]
    low, high = (1e12 * f(each.energy_of_use for each in sars) for f in (min, max))
    assert f"{low:.2f} to {high:.1f} pJ" in note


def _on_meta(name):
    with torch.device("meta"):
        return getattr(networks, name)()


def test_the_chips_of_the_talk_are_there(shown):
    assert set(shown) == set(EXPLAINED) == set(chips())


@pytest.mark.parametrize("name", EXPLAINED)
def test_what_is_not_explained_agrees(shown, name):
    for figure in shown[name].figures:
        if not figure.note:
            assert figure.ours == pytest.approx(figure.published, rel=EXPLAINED[name]), figure.name


def test_every_figure_has_a_source_that_can_be_cited(shown):
    for chip in shown.values():
        for figure in chip.figures:
            assert memcore.components.cite(figure.source).startswith("@")
            assert figure.difference == pytest.approx(figure.ours / figure.published - 1)


def test_the_large_differences_are_shown_and_not_hidden(shown):
    joule = next(each for each in shown["pipelayer"].figures if each.unit == "GOPS/J")
    # 2 operations on 16 spikes of 8 arrays: a spike drives 128 cells.
    assert joule.ours == pytest.approx(2 * 128 / (16 * 8) / 1.08e-12 * 1e-9, rel=0.1)
    assert joule.difference > 10
    assert joule.note in str(shown["pipelayer"])


def test_what_is_said_of_a_chip_of_neurosim_is_so(shown):
    chip = ChipFile.read("neurosim")
    with torch.device("meta"):
        network, x = network_of(chip.network), torch.zeros(chip.input)
    report = memcore.cost(network, x, model=chip.model)
    adc, total = report.components["adc"], report.total
    notes = " ".join(each.note for each in shown["neurosim"].figures)
    assert adc.area == pytest.approx(0.5 * total.area, rel=0.02)
    assert adc.time == pytest.approx(total.time)
    assert f"take {100 * adc.energy / total.energy:.0f} % of the energy" in notes
    before = memcore.components["isaac_adc_4b"]
    after = memcore.scaled(before, 22e-9)
    assert f"{before.energy_of_use * 1e12:.2f} pJ each at 32 nm" in notes
    assert f"and {after.energy_of_use * 1e12:.2f} pJ at 22 nm" in notes


def command(*words: str):
    return CliRunner().invoke(main, ["gallery", *words])


def test_the_command_prints_a_table_or_json():
    table = command("isaac")
    assert table.exit_code == 0
    assert "65.8 W" in table.output
    assert "+0.012 %" in table.output
    (chip,) = json.loads(command("isaac", "--json").output)
    assert chip["figures"][1]["published"] == 85.4
    assert abs(chip["figures"][1]["difference"]) < 1e-3


def test_the_picture_has_a_dot_for_each_figure(shown):
    pytest.importorskip("matplotlib")
    ax = memcore.plot.comparison([shown["isaac"], shown["puma"]])
    drawn = [line.get_xdata() for line in ax.lines if line.get_linestyle() == "None"]
    assert [len(dots) for dots in drawn] == [3, 8]
    assert drawn[0][0] == pytest.approx(1.00012, abs=1e-5)


OWN = """
title = "mine"
model = { name = "isaac", rows = 256 }
[[figure]]
name = "peak"
published = 2.0
unit = "TOPS"
ours = "figures.peak"
source = "me26"
"""


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(OWN)
    (chip,) = memcore.gallery(file)
    assert chip.name == "mine"
    assert chip.figures[0].ours == pytest.approx(memcore.costs["isaac"](rows=256).peak * 1e-12)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"TOPS"', '"TOP"', r"unit='TOP'; expected .* did you mean"),
        (
            "figures.peak",
            "figures.peek",
            r"asks for 'figures.peek'; .* did you mean 'figures.peak'",
        ),
        ("published = 2.0", "published = 0", r"published=0; expected a finite number above 0"),
        ('source = "me26"', "", r"figure 'peak' has no source; expected one"),
        ("title", "titel", r"has a key 'titel'; .* did you mean 'title'"),
        ("figures.peak", "figures.peak / area", r"asks for 'area'; expected one of figures"),
        ("[[figure]]", "[[figure]]\nparameters = 3", r"parameters=3; expected a table"),
        ("[[figure]]", 'network = "x:y"\n[[figure]]', r"one of network and input; expected both"),
        ("rows = 256", "rows = 0", r"rows"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path, old, new, words):
    file = tmp_path / "mine.toml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(memcore.ConfigError, match=words):
        memcore.gallery(file)


def test_a_chip_that_there_is_not():
    with pytest.raises(memcore.ConfigError, match=r"no chip 'isac'; .* did you mean 'isaac'"):
        memcore.gallery("isac")
    with pytest.raises(memcore.ConfigError, match="which=5; expected the name of a chip"):
        memcore.gallery(5)  # type: ignore[arg-type]


def test_a_chip_is_a_file_with_its_figures():
    chip = ChipFile.read("neurosim")
    assert chip.model["rows_at_once"] == 32
    assert chip.input == (1, 3, 32, 32)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("[[figure]]", "[figure]", "expected tables [[figure]]"),
        ('unit = "W"', "unit = 3", "unit=3; expected words"),
        ('ours = "figures.power"', "ours = 3", "ours=3; expected words"),
        ("published = 1.0", "published = inf", "expected a finite number above 0"),
        ("published = 1.0", "published = 1.0\nparameters = 3", "expected a table of parameters"),
        ("title", 'network = "json:loads"\ninput = [3]\ntitle', "'json:loads' fails: TypeError"),
        ("title", 'network = "json:loads"\ninput = [true]\ntitle', "expected a shape such as"),
    ],
)
def test_what_a_file_gets_wrong_is_said(tmp_path, before, after, told):
    text = (
        'title = "mine"\nmodel = "isaac"\n[[figure]]\nname = "power"\npublished = 1.0\n'
        'unit = "W"\nours = "figures.power"\nsource = "me"\n'
    )
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(before, after))
    done = command(str(path))
    assert done.exit_code == 2, done.output
    assert told in done.output
