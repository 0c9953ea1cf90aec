"""What is promised between versions, to plugins and about files of strangers."""

import importlib
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import memcore
from memcore import study
from memcore._moved import MOVED
from memcore.cli.main import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def rows(page: Path, mark: str) -> list[list[str]]:
    """The cells of the table between two comments of a page."""
    text = page.read_text(encoding="utf-8")
    (table,) = re.findall(rf"<!-- {mark} -->\n(.*?)<!-- end of {mark} -->", text, re.DOTALL)
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def listed(mark: str) -> list[str]:
    found = [
        re.findall(r"`(\w+)`", names) for _, names in rows(DOCS / "reference/stability.md", mark)
    ]
    return [name for names in found for name in names if name not in ("Error", "Warning")]


# -- names -----------------------------------------------------------------------------------------


def test_every_public_name_is_stable_or_provisional_and_not_both() -> None:
    names = [*listed("stable"), *listed("provisional")]
    assert sorted(set(names)) == sorted(names)
    errors = {name for name in memcore.__all__ if name.endswith(("Error", "Warning"))}
    assert set(names) == set(memcore.__all__) - errors


def test_what_stable_names_are_made_of_is_stable() -> None:
    """A subclass of a stable contract needs nothing provisional to be one."""
    stable = set(listed("stable"))
    assert {"devices", "CrossbarConfig", "Memristor", "parameter", "study"} <= stable
    for name in stable:
        value = getattr(memcore, name)
        bases = [base.__name__ for base in getattr(value, "__mro__", ())[1:]]
        assert not set(bases) & set(listed("provisional")), name


def test_the_upgrade_page_knows_every_module_that_moved() -> None:
    text = (DOCS / "upgrade.md").read_text()
    last = [name.rpartition(".")[2] for name in MOVED]
    assert [name for name in last if f"{name}`" not in text] == []


def test_what_the_upgrade_page_says_of_defaults_holds() -> None:
    written = {
        name: memcore.CrossbarConfig(device=name).to_mapping()["programmer"]["name"]
        for name in ("vteam", "soft_bounds")
    }
    assert written == {"vteam": "direct", "soft_bounds": "open_loop"}
    assert "technion" not in memcore.devices["nonlinear_ion_drift"].presets


# -- plugins ---------------------------------------------------------------------------------------


def test_the_directory_lists_plugins_as_their_packages_name_them() -> None:
    table = {row[0].strip("`"): row for row in rows(DOCS / "directory.md", "directory")}
    project = tomllib.loads((ROOT / "plugins/example/pyproject.toml").read_text())["project"]
    names = {name for group in project["entry-points"].values() for name in group}
    assert set(re.findall(r"`(\w+)`", table[project["name"]][1])) == names
    assert table[project["name"]][3] == project["license"]
    assert "memcore-plugin" in project["keywords"]


def test_every_package_of_the_directory_has_a_name_a_source_and_a_licence() -> None:
    for name, plugins, source, licence in rows(DOCS / "directory.md", "directory"):
        assert re.fullmatch(r"`[a-z][a-z0-9-]*`", name)
        assert plugins
        assert source
        assert licence


# -- files of strangers ----------------------------------------------------------------------------

MODULE = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))

def dots():
    images, labels = torch.ones(8, 1, 2, 2), torch.arange(8) % 2
    return Dataset(train=Split(images, labels), test=Split(images, labels))
"""


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A results folder whose study names a module that must not be imported any more."""
    (tmp_path / "strange_dots.py").write_text(MODULE)
    content = {
        "study": {"model": "strange_dots:flat", "data": "strange_dots:dots", "chips": 1},
        "train": {"epochs": 0},
        "crossbar": {"device": "ideal"},
    }
    monkeypatch.syspath_prepend(str(tmp_path))
    study.run(content, tmp_path / "out", progress=False)
    del sys.modules["strange_dots"]
    (tmp_path / "strange_dots.py").write_text("raise SystemExit('imported')")
    importlib.invalidate_caches()
    yield tmp_path / "out"
    sys.modules.pop("strange_dots", None)


@pytest.mark.parametrize("command", ["report", "status", "tail", "cite", "collect"])
def test_looking_at_a_results_folder_runs_no_code_that_it_names(
    foreign: Path, command: str
) -> None:
    done = CliRunner().invoke(main, [command, str(foreign)])
    assert done.exit_code == 0, done.output
    assert "strange_dots" not in sys.modules


def test_loading_a_results_folder_runs_no_code_that_it_names(foreign: Path) -> None:
    assert study.load(foreign).complete
    assert "strange_dots" not in sys.modules


def test_the_help_of_run_says_that_studies_run_code() -> None:
    text = " ".join(CliRunner().invoke(main, ["run", "--help"]).output.split())
    assert "imported and called" in text
