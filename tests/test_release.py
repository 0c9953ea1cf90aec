"""What a release is made by: extras, wheels, the workflow and the bill of materials."""

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import memcore

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
SBOM = ROOT / ".ci" / "sbom.py"


def test_the_extra_all_is_the_union_of_the_others() -> None:
    extras = dict(PROJECT["optional-dependencies"])
    (everything,) = map(Requirement, extras.pop("all"))
    assert everything.name == PROJECT["name"]
    assert everything.extras == set(extras)


def test_every_python_that_is_promised_gets_a_wheel() -> None:
    words = [
        line.rpartition(" :: ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line
    ]
    promised = {f"cp{version.replace('.', '')}-*" for version in words}
    assert set(SETTINGS["tool"]["cibuildwheel"]["build"]) == promised
    assert PROJECT["requires-python"] == f">={min(words, key=lambda word: int(word[2:]))}"


def test_no_wheel_brings_a_second_openmp_runtime() -> None:
    repair = SETTINGS["tool"]["cibuildwheel"]["linux"]["repair-wheel-command"]
    makefile = (ROOT / "Makefile").read_text()
    assert "--exclude libgomp.so.1" in repair
    assert "auditwheel repair --exclude libgomp.so.1" in makefile


# -- the workflow ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    if not WORKFLOW.exists():
        pytest.skip("not in a source distribution")
    content = yaml.safe_load(WORKFLOW.read_text())
    assert content["permissions"] == {}  # each job asks for its own
    found: dict[str, Any] = content["jobs"]
    return found


def test_only_what_was_tested_is_published(jobs: dict[str, Any]) -> None:
    publish = jobs["publish"]
    assert set(publish["needs"]) == set(jobs) - {"publish"}
    assert "tag" in publish["if"]
    assert publish["environment"]["name"] == "pypi"


def test_what_signs_and_uploads_runs_nothing_of_the_project(jobs: dict[str, Any]) -> None:
    able = {name for name, job in jobs.items() if "write" in job["permissions"].values()}
    assert able == {"publish"}
    steps = jobs["publish"]["steps"]
    assert not any("checkout" in step.get("uses", "") for step in steps)
    assert all(step["run"].startswith("gh release create") for step in steps if "run" in step)
    assert "secrets." not in WORKFLOW.read_text()


def test_provenance_and_the_bill_of_materials_are_attested(jobs: dict[str, Any]) -> None:
    used = [step.get("uses", "").partition("@")[0] for step in jobs["publish"]["steps"]]
    order = ["attest-build-provenance", "attest-sbom", "gh-action-pypi-publish"]
    places = [next(k for k, name in enumerate(used) if name.endswith(each)) for each in order]
    assert places == sorted(places)


def test_the_workflow_names_files_and_targets_that_there_are(jobs: dict[str, Any]) -> None:
    lines = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", lines)) <= targets
    for path in re.findall(r"[\w./]*(?:tests|\.ci|memcore)/[\w/]+\.py", lines):
        assert (ROOT / path).exists(), path


# -- the bill of materials -------------------------------------------------------------------------


@pytest.fixture
def bill(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if not SBOM.exists():
        pytest.skip("not in a source distribution")
    monkeypatch.syspath_prepend(str(SBOM.parent))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    content: dict[str, Any] = importlib.import_module("sbom").bill(["study"])
    return content


def test_the_bill_lists_what_memcore_needs_and_what_that_needs(bill: dict[str, Any]) -> None:
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    main = bill["metadata"]["component"]
    assert main["purl"] == f"pkg:pypi/memcore@{memcore.__version__}"
    names = {each["name"] for each in bill["components"]}
    extra = PROJECT["optional-dependencies"]["study"]
    for line in [*PROJECT["dependencies"], *extra]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            assert requirement.name in names
    assert {"jinja2", "pybind11"} <= names  # of torch, and compiled in
    assert "pytest" not in names


def test_the_graph_of_the_bill_is_whole(bill: dict[str, Any]) -> None:
    refs = [each["bom-ref"] for each in [bill["metadata"]["component"], *bill["components"]]]
    assert len(set(refs)) == len(refs)
    edges = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    reached, todo = set(), [refs[0]]
    while todo:
        here = todo.pop()
        if here not in reached:
            reached.add(here)
            todo += edges.get(here, [])
    assert reached == set(refs)
    without = {each["name"] for each in bill["components"] if not each.get("licenses")}
    assert without == set()


def test_the_same_environment_gives_the_same_bytes(tmp_path: Path) -> None:
    if not SBOM.exists():
        pytest.skip("not in a source distribution")
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        subprocess.run([sys.executable, str(SBOM), str(file), "--extras", "study"], check=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.loads(files[0].read_text())["serialNumber"].startswith("urn:uuid:")
