"""What is cited is what the documents of a plugin say, and all that was used is cited."""

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import memcore
from memcore.cli.main import main
from memcore.errors import ConfigError
from memcore.report.citations import TITLE
from memcore.tables.bibliography import entries

ROOT = Path(__file__).parents[1]
BIBLIOGRAPHY = entries(ROOT / "plugins" / "memcore_plugins")
FIELD = re.compile(r"^\s*(\w+) = \{(.*?)\},?$", re.MULTILINE)


def fields(entry: str) -> dict[str, str]:
    return dict(FIELD.findall(entry))


def documents(plugin: str) -> str:
    """All that the project says of a plugin: its module, its presets and its page."""
    kind, _, name = plugin.partition(".")
    path = Path(sys.modules[memcore.registries()[kind][name].__module__].__file__ or "")
    pages = [ROOT / "docs" / folder / f"{name}.md" for folder in ("physics", "costs")]
    files = [path, *path.with_suffix("").glob("*.toml"), *(p for p in pages if p.exists())]
    return " ".join(" ".join(file.read_text(encoding="utf-8") for file in files).split())


@pytest.mark.parametrize("key", BIBLIOGRAPHY)
def test_an_entry_holds_nothing_that_the_documents_of_its_plugins_do_not_say(key: str) -> None:
    told = fields(BIBLIOGRAPHY[key])
    texts = [documents(plugin).replace("*", "") for plugin in told.pop("memcore").split(", ")]
    authors = told["author"].replace(" and others", "").split(" and ")
    assert all(authors[0] in text and told.get("year", "") in text for text in texts)
    whole = " ".join(texts)
    where = told.get("journal", told.get("booktitle", told.get("howpublished", "")))
    place = where.removeprefix("IEEE ").removeprefix("arXiv").lstrip(": ").partition("(")[0].strip()
    rest = (told.get(field, "") for field in ("title", "volume", "pages", "doi"))
    assert [word for word in (*authors, place, *rest) if word not in whole] == []


def test_every_plugin_whose_docstring_names_a_paper_is_in_the_bibliography() -> None:
    about = {each for e in BIBLIOGRAPHY.values() for each in fields(e)["memcore"].split(", ")}
    paper = re.compile(r"et al\.|doi 10\.|arXiv|, (19|20)\d\d\)|:\d+ \((19|20)\d\d\)")
    missing = [
        f"{kind}.{name}"
        for kind, registry in memcore.registries().items()
        for name, plugin in registry.items()
        if kind != "layers"
        and registry.provider(name).distribution == "memcore"
        and paper.search(" ".join((plugin.__doc__ or "").split()))
        and f"{kind}.{name}" not in about
    ]
    assert missing == []


def test_memcore_is_cited_as_its_citation_file_says() -> None:
    text = str(memcore.cite())
    assert f'title: "{TITLE}"' in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert text.count("@") == 1
    assert f"title = {{{TITLE}}}" in text
    assert f"version = {{{memcore.__version__}}}" in text


def test_a_converted_network_is_cited_with_all_of_its_plugins() -> None:
    config = memcore.CrossbarConfig(device="vteam", nonidealities=["stuck_at"], adc="sar")
    chip = memcore.convert(torch.nn.Linear(3, 2), config, seed=0)
    text = str(memcore.cite(chip))
    assert text == str(memcore.cite(config))
    assert "10.1109/TCSII.2015.2433536" in text  # vteam
    assert "IEEE Trans. Computers" in text  # stuck_at
    assert "IEEE JxCDC" in text  # sar
    assert "  memcore =" not in text


def test_a_plugin_without_a_publication_is_said_to_have_none() -> None:
    assert memcore.cite("ideal").without == ("devices.ideal",)
    assert "% devices.ideal: no publication is named" in str(memcore.cite("ideal"))


def test_a_publication_of_two_plugins_is_cited_once() -> None:
    text = str(memcore.cite("pow_step", "soft_bounds", memcore.devices["pow_step"]()))
    assert text.count("10.1109/AICAS51828.2021.9458494") == 1


def test_a_bibliography_beside_a_module_of_ones_own_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_cells.py").write_text(
        "from dataclasses import dataclass\nimport memcore\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Theirs(memcore.devices['ideal']):\n    '''A cell.'''\n"
    )
    (tmp_path / "their_cells.bib").write_text(
        "@misc{theirs,\n  author = {Them},\n  year = {2020},\n  memcore = {devices.theirs}\n}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = import_module("their_cells")
    memcore.devices.register("theirs", module.Theirs)
    try:
        assert "@misc{theirs,\n  author = {Them},\n  year = {2020}\n}" in str(
            memcore.cite("theirs")
        )
    finally:
        memcore.devices.unregister("theirs")
        sys.modules.pop("their_cells")


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'vteam'"):
        memcore.cite("vtaem")


def test_a_subject_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 cites nothing; expected a converted network"):
        memcore.cite(3)  # type: ignore[arg-type]


def said(*words: object) -> str:
    done = CliRunner().invoke(main, ["cite", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_cites_names_and_files(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        '[study]\nname = "x"\n[crossbar]\ndevice = "vteam"\n'
        '[[sweep]]\nname = "a"\n[sweep.axes.device]\nvalues = ["team", "mms"]\n'
    )
    crossbars = tmp_path / "crossbars.toml"
    crossbars.write_text('[crossbar]\ndevice = "yakopcic"\n')
    device = tmp_path / "device.toml"
    device.write_text('[device]\nname = "simmons"\n')
    assert said() == f"{memcore.cite()}\n"
    assert "{TEAM}" in said("devices.team")
    assert all(title in said(study) for title in ("{TEAM}", "{AHaH computing}"))
    assert "{VTEAM}" not in said(study)
    assert "10.1109/LED.2011.2163292" in said(crossbars)
    assert "10.1063/1.3236506" in said(device)


def test_a_name_with_its_distribution_is_cited_like_the_plain_one() -> None:
    assert str(memcore.cite("memcore:vteam")) == str(memcore.cite("vteam"))


def test_the_cost_models_and_the_training_of_a_study_are_cited(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text(
        '[study]\nname = "x"\ncost = ["isaac"]\n[crossbar]\ndevice = "ideal"\n'
        '[train.crossbar]\nnonidealities = ["stuck_at"]\n'
    )
    text = said(study)
    assert "{shafiee16," in text
    assert "IEEE Trans. Computers" in text  # stuck_at


def test_a_file_that_names_no_plugin_is_refused(tmp_path: Path) -> None:
    device = tmp_path / "device.toml"
    device.write_text('[device]\nname = "vtaem"\n')
    done = CliRunner().invoke(main, ["cite", str(device)])
    assert done.exit_code == 2
    assert "there is no plugin 'devices.vtaem'" in done.output
