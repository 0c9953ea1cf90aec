"""The tables of components: figures in SI units, a source for each, rows of one's own."""

import pytest

import memcore
from memcore import components

HEAD = "name,kind,bits,energy_j,area_m2,source_key\n"


def test_every_component_has_a_source_in_the_bibliography():
    for name, component in components.items():
        entry = components.cite(name)
        assert entry.startswith("@")
        assert component.source in entry
        assert "year" in entry


def test_no_figure_comes_from_a_source_that_forbids_its_use():
    for component in components.values():
        words = f"{component.name} {component.source} {component.location} {component.note}"
        assert "neurosim" not in words.lower()


def test_figures_are_in_si_units():
    adc = components["isaac_adc_8b"]
    assert (adc.technology, adc.bits, adc.rate) == (32e-9, 8, 1.28e9)
    assert (adc.energy, adc.area, adc.power) == (1.67e-12, 1200e-12, 2e-3)
    for component in components.values():
        assert component.technology is None or 1e-9 < component.technology < 2e-7
        assert component.energy is None or component.energy < 1e-8
        assert component.area is None or component.area < 1e-4


def test_energy_of_a_conversion_is_power_over_rate_where_no_other_is_given():
    assert components["mnsim_7"].energy is None
    assert components["mnsim_7"].energy_of_use == pytest.approx(0.7e-12)
    assert components["isaac_crossbar"].energy_of_use == pytest.approx(0.3e-3 * 100e-9)
    assert components["isaac_adc_8b"].energy_of_use == 1.67e-12


def test_an_unknown_component_is_an_error_with_a_hint_and_never_nothing():
    with pytest.raises(memcore.UnknownComponentError, match=r"'isac_adc_8b'.*'isaac_adc_8b'"):
        components["isac_adc_8b"]
    with pytest.raises(KeyError, match="lists, or a row of your own"):
        components["flux_capacitor"]
    assert "flux_capacitor" not in components
    assert components.get("flux_capacitor") is None


def test_a_figure_that_the_source_does_not_give_is_an_error():
    with pytest.raises(memcore.ConfigError, match=r"'mnsim_rram' has no energy of use in its"):
        components["mnsim_rram"].need("energy_of_use")


def test_search_finds_rows_with_every_word_of_a_kind():
    found = components.search("table ii", kind="adc")
    assert [each.name for each in found] == ["timely_tdc_8b"]
    assert components.search("no such words") == []
    assert len(components.search(kind="adc")) > 20


def test_rows_of_a_file_are_added_or_take_the_place_of_others(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEAD}mine,adc,7,1e-12,1e-9,lab\nisaac_adc_8b,adc,8,2e-12,3e-9,lab\n")
    (tmp_path / "mine.bib").write_text("@misc{lab,\n  title = {My lab book},\n  year = {2026}\n}\n")
    tables = components.extended(file)
    assert tables["mine"].bits == 7
    assert tables["isaac_adc_8b"].energy == 2e-12
    assert components["isaac_adc_8b"].energy == 1.67e-12
    assert len(tables) == len(components) + 1
    assert "My lab book" in tables.cite("mine")
    assert "Table" in tables["isaac_dac_1b"].location
    assert components.find(f"{file}:mine") == tables["mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,kind,energi_j,source_key\n", r"has a column 'energi_j'; did you mean 'energy_j'"),
        (f"{HEAD}mine,adc,7,1e-12,1e-9,\n", r"line 2 has no source_key; expected one"),
        (f"{HEAD}mine,adc,7,-1,1e-9,lab\n", r"energy_j='-1'; expected a number >= 0 in SI"),
        (f"{HEAD}mine,adc,7,1 pJ,1e-9,lab\n", r"energy_j='1 pJ'; expected a number >= 0 in SI"),
    ],
)
def test_a_broken_table_is_named_with_its_line(text, message, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(text)
    with pytest.raises(memcore.ConfigError, match=message):
        len(components.extended(file))


def test_a_table_or_a_source_that_is_missing_is_named(tmp_path):
    with pytest.raises(memcore.ConfigError, match=r"none.csv' cannot be read"):
        len(components.extended(tmp_path / "none.csv"))
    file = tmp_path / "mine.csv"
    file.write_text(f"{HEAD}mine,adc,7,1e-12,1e-9,isaac\n")
    with pytest.raises(memcore.ConfigError, match=r"'isaac' of component 'mine' is in no bibl"):
        components.extended(file).cite("mine")


@pytest.mark.parametrize("which", [0, 1e-300, None, ["isaac_adc_8b"]])
def test_what_is_no_name_of_a_component_is_refused(which):
    with pytest.raises(memcore.ArgumentTypeError, match="expected its name, a text, or a memcore"):
        memcore.components.find(which)
