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
from packaging.version import Version

import memcore

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
SBOM = ROOT / ".ci" / "sbom.py"
README = ROOT / ".ci" / "readme.py"
#: Parts of a release in the changelog, in their order.
TITLES = ["Upgrade notes", "Added", "Changed", "Deprecated", "Fixed", "Removed", "Security"]


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


# -- the version -----------------------------------------------------------------------------------


def test_the_version_stands_in_one_place_and_all_others_agree() -> None:
    version = memcore.__version__
    assert str(Version(version)) == version  # as PyPI and pip write it
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text()
    wheels = re.findall(r"memcore-(\d[^-]*)-cp", (ROOT / "docs" / "install.md").read_text())
    assert set(wheels) == {version}
    assert "VERSION" not in (ROOT / "CMakeLists.txt").read_text().splitlines()[1]


def test_the_changelog_has_the_version_first_with_a_date_and_its_parts_in_order() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    date = r"\d{4}-\d{2}-\d{2}"
    (version, day), *_ = re.findall(rf"^## \[(.+)\] - ({date})$", text, re.MULTILINE)
    assert version == memcore.__version__
    assert f"date-released: {day}\n" in (ROOT / "CITATION.cff").read_text()
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        titles = re.findall(r"^### (.+)$", part, re.MULTILINE)
        assert titles == sorted(titles, key=TITLES.index)


def test_what_plugins_are_told_to_bound_admits_this_version() -> None:
    template = (ROOT / "plugins" / "example" / "pyproject.toml").read_text()
    (line,) = re.findall(r"dependencies = \[\"(memcore[^\"]*)\"", template)
    assert Requirement(line).specifier.contains(memcore.__version__)
    for page in ("howto/publish.md", "directory.md"):
        assert line in (ROOT / "docs" / page).read_text()


def test_the_upgrade_notes_have_the_release() -> None:
    release = Version(memcore.__version__).base_version
    assert f"\n## To {release}\n" in (ROOT / "docs" / "upgrade.md").read_text()


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
    steps = jobs["publish"]["steps"]
    used = [step.get("uses", "").partition("@")[0] for step in steps]
    first, second = (k for k, name in enumerate(used) if name == "actions/attest")
    assert steps[first]["with"] == {"subject-path": "dist/*"}  # the provenance
    assert steps[second]["with"] == {"subject-path": "dist/*", "sbom-path": "memcore.cdx.json"}
    assert second < used.index("pypa/gh-action-pypi-publish")


def test_every_action_is_named_by_its_commit_and_says_its_version() -> None:
    if not WORKFLOW.exists():
        pytest.skip("not in a source distribution")
    used = re.findall(r"uses: (.+)", WORKFLOW.read_text())
    assert used
    for line in used:
        assert re.match(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_a_candidate_is_no_latest_release(jobs: dict[str, Any]) -> None:
    (release,) = (step for step in jobs["publish"]["steps"] if "run" in step)
    assert '"$KIND"' in release["run"]
    assert "contains(github.ref_name, 'rc') && '--prerelease'" in release["env"]["KIND"]


def test_the_workflow_names_files_and_targets_that_there_are(jobs: dict[str, Any]) -> None:
    lines = "\n".join(step.get("run", "") for job in jobs.values() for step in job["steps"])
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", lines)) <= targets
    for path in re.findall(r"[\w./]*(?:tests|\.ci|memcore)/[\w/]+\.py", lines):
        assert (ROOT / path).exists(), path


def test_the_oldest_torch_that_is_promised_is_tried(jobs: dict[str, Any]) -> None:
    lines = "\n".join(step.get("run", "") for step in jobs["test"]["steps"])
    (bound,) = (line for line in PROJECT["dependencies"] if line.startswith("torch>="))
    assert f'"{bound.replace(">=", "==")}.*"' in lines


# -- what PyPI shows -------------------------------------------------------------------------------


def test_links_of_the_readme_are_absolute_in_a_release(monkeypatch: pytest.MonkeyPatch) -> None:
    if not README.exists():
        pytest.skip("not in a source distribution")
    monkeypatch.syspath_prepend(str(README.parent))
    absolute = importlib.import_module("readme").absolute
    page = absolute((ROOT / "README.md").read_text(), "https://github.com/a/b", "v1")
    targets = re.findall(r"\]\(([^)\s]+)\)", page)
    assert targets
    assert all(target.startswith("https://") for target in targets)
    for target in targets:
        kind, path = re.fullmatch(
            r"https://github.com/a/b/(raw|blob)/v1/([^#]+)(?:#.*)?", target
        ).groups()
        assert (ROOT / path).exists(), path
        assert (kind == "raw") == path.endswith(".png")
    assert absolute(page, "https://other", "v2") == page  # once is enough


def test_the_release_makes_links_absolute_before_it_builds(jobs: dict[str, Any]) -> None:
    lines = [step.get("run", "") for step in jobs["sdist"]["steps"]]
    (rewrites,) = (k for k, line in enumerate(lines) if ".ci/readme.py README.md" in line)
    (builds,) = (k for k, line in enumerate(lines) if "build --sdist" in line)
    assert rewrites < builds


# -- the name, which belongs to another project on PyPI --------------------------------------------


def test_nobody_is_told_to_install_memcore_by_its_bare_name_or_anew() -> None:
    told = re.compile(r"pip install(?: --?[\w-]+)* [\"']?memcore(?![\w-])(?!\[[\w{}]+\])[^\n]*")
    folders = ("memcore", "plugins", "docs")
    paths = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md"]
    paths += [path for folder in folders for path in (ROOT / folder).rglob("*.*")]
    texts = {path: path.read_text() for path in paths if path.suffix in (".py", ".md", ".toml")}
    assert {path: told.findall(text) for path, text in texts.items() if told.search(text)} == {}


def test_an_upload_to_pypi_waits_for_a_name_there(jobs: dict[str, Any]) -> None:
    steps = jobs["publish"]["steps"]
    (upload,) = (step for step in steps if "pypi-publish" in step.get("uses", ""))
    assert upload["if"] == "vars.MEMCORE_ON_PYPI == 'true'"
    assert "pypi.org" not in jobs["publish"]["environment"]["url"]


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
    assert main["purl"] == f"pkg:generic/memcore@{memcore.__version__}"
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
