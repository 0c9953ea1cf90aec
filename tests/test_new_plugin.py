import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

from memcore import ConfigError
from memcore.cli.new_plugin import create, template


def names_in(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_copy_is_renamed_throughout(tmp_path):
    folder = create("memcore-my-lab", tmp_path / "made")

    assert folder == tmp_path / "made"
    assert "src/memcore_my_lab/rram.py" in names_in(folder)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "memcore-my-lab"
    assert project["entry-points"]["memcore.devices"] == {
        "my_lab_rram": "memcore_my_lab.rram:MyLabRram",
        "my_lab_synapse": "memcore_my_lab.synapse:MyLabSynapse",
    }
    assert project["entry-points"]["memcore.nonidealities"] == {
        "my_lab_column_gain": "memcore_my_lab.column_gain:MyLabColumnGain"
    }
    for path in folder.rglob("*"):
        assert "example" not in path.name.lower()
        if path.is_file():
            assert "example" not in path.read_text().lower(), path


def test_copy_has_every_file_of_the_template_and_no_leftovers(tmp_path):
    made = names_in(create("memcore-example", tmp_path / "made"))

    assert {"pyproject.toml", "README.md", "study.toml", ".gitignore"} <= set(made)
    assert not [name for name in made if "pycache" in name or "egg-info" in name]
    kept = [name for name in names_in(template()) if name in made]
    assert kept == made


def test_name_without_the_prefix_is_kept_whole(tmp_path):
    folder = create("acme", tmp_path / "acme")
    assert "src/acme/rram.py" in names_in(folder)
    assert "acme_rram" in (folder / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "My-Lab",
        "memcore-2d",
        "memcore_mylab",
        "a--b",
        "class",
        "memcore-",
        "../x",
        "a b",
        "memcore-x\n",
        "a\n",
    ],
)
def test_name_that_cannot_be_a_package_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot name a plugin package; expected lower-case"):
        create(name, tmp_path / "made")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["memcore", "memcore-plugins"])
def test_name_of_memcore_itself_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="would hide memcore itself"):
        create(name, tmp_path / "made")


@pytest.mark.parametrize("name", ["torch", "numpy", "os", "json", "pytest", "test", "click"])
def test_name_of_a_package_that_others_need_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=f"would hide the package {name}.*'memcore-{name}'"):
        create(name, tmp_path / "made")


def test_failure_leaves_nothing_half_renamed(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("memcore.cli.new_plugin._rename", full)
    with pytest.raises(ConfigError, match="cannot be made: No space left on device; name a folder"):
        create("memcore-mylab", tmp_path / "made")
    assert not list(tmp_path.iterdir())


def test_empty_folder_is_filled(tmp_path):
    (tmp_path / "made").mkdir()
    folder = create("memcore-mylab", tmp_path / "made")
    assert (folder / "src" / "memcore_mylab" / "rram.py").is_file()
    assert list(tmp_path.iterdir()) == [folder]


def test_existing_folder_is_not_written_into(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"exists already; name a folder that does not"):
        create("memcore-mylab", tmp_path)
    assert names_in(tmp_path) == ["mine.txt"]


@pytest.mark.slow
def test_copy_passes_its_own_tests_once_it_is_installed(tmp_path):
    folder = create("memcore-my-lab", tmp_path / "made")
    site = tmp_path / "site"
    install = ["install", "--quiet", "--no-deps", "--target", str(site), str(folder)]
    if find_spec("setuptools"):
        install.append("--no-build-isolation")
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)

    run = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
