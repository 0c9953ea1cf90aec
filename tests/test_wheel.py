"""The source distribution and the wheel that is built from it: what they hold and what they need.

`MEMCORE_DIST` names a folder with both, as `make wheel` leaves them; without it they are built.
"""

import email.message
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INFO = r"memcore-[^/]+\.dist-info"
#: What a machine must have: the system's C and C++ libraries, and what torch brings.
NEEDED = re.compile(
    r"lib(c|m|dl|pthread|rt|stdc\+\+|gcc_s|gomp)\.so\.\d|ld-linux-[\w-]+\.so\.\d|lib(c\+\+|System)\b"
)

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    """Both distributions, opened."""

    sdist: list[str]
    wheel: zipfile.ZipFile

    @property
    def names(self) -> list[str]:
        return [name for name in self.wheel.namelist() if not name.endswith("/")]

    @property
    def metadata(self) -> email.message.Message:
        (name,) = (name for name in self.names if re.fullmatch(rf"{INFO}/METADATA", name))
        return HeaderParser().parsestr(self.wheel.read(name).decode())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    there = os.environ.get("MEMCORE_DIST")
    place = Path(there) if there else made(folder)
    (sdist,), (wheel,) = place.glob("*.tar.gz"), place.glob(f"*{tag()}*.whl")
    with tarfile.open(sdist) as archive:
        files = [member.name.partition("/")[2] for member in archive if member.isfile()]
    return Built(files, zipfile.ZipFile(wheel))


def tag() -> str:
    return f"cp{sys.version_info.major}{sys.version_info.minor}-"


def made(folder: Path) -> Path:
    """Build the source distribution and the wheel from it, so that it takes the least time.

    With the backend of this environment where it is, else from the index.
    """
    if find_spec("build") is None:
        pytest.skip("builds need the package build")
    here = all(map(find_spec, ["scikit_build_core", "pybind11"]))
    offline = ["--no-isolation", "--skip-dependency-check"] if here else []
    options = [f"-Ccmake.define.MEMCORE_{name}" for name in ("CUDA=OFF", "PORTABLE=ON", "QUICK=ON")]
    program = [sys.executable, "-P", "-m", "build", *offline, *options]
    done = subprocess.run(
        [*program, "--outdir", str(folder), str(ROOT)],
        cwd=folder,
        env={**os.environ, "PIP_CONSTRAINT": str(ROOT / "constraints.txt")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder


def checkout() -> set[str]:
    """The files of the checkout that git does not ignore."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout of git")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_source_distribution_holds_the_checkout(built: Built) -> None:
    kept = {name for name in checkout() if not name.startswith((".ci/", ".github/", ".pre-commit"))}
    assert kept - set(built.sdist) == set()
    assert set(built.sdist) - kept == {"PKG-INFO"}


def test_the_wheel_holds_both_packages_and_nothing_else(built: Built) -> None:
    tops = {PurePosixPath(name).parts[0] for name in built.names}
    assert {top for top in tops if not re.fullmatch(INFO, top)} == {"memcore", "memcore_plugins"}
    strange = re.compile(r"__pycache__|\.pyc$|/tests?/(?!test_)|\.(cpp|cu|h|a|o|orig)$|CMake")
    outside = [name for name in built.names if not name.startswith("memcore/_template/")]
    assert [name for name in outside if strange.search(name)] == []


def test_every_source_of_the_packages_is_in_the_wheel(built: Built) -> None:
    files = {name for name in checkout() if not name.endswith(".so")}
    own = {name for name in files if name.startswith("memcore/")}
    plugins = {name[8:] for name in files if name.startswith("plugins/memcore_plugins/")}
    template = {
        f"memcore/_template/{name[16:]}" for name in files if name.startswith("plugins/example/")
    }
    there = {name for name in built.names if not re.match(INFO, name)}
    assert (own | plugins | template) - there == set()
    extra = there - (own | plugins | template)
    assert {PurePosixPath(name).name.partition(".")[0] for name in extra} == {"_cpu"}


def test_types_are_promised_by_both_packages(built: Built) -> None:
    assert {"memcore/py.typed", "memcore_plugins/py.typed"} <= set(built.names)


def test_the_licences_of_all_that_is_compiled_in_are_there(built: Built) -> None:
    licences = [name for name in built.names if re.match(rf"{INFO}/licenses/", name)]
    texts = [built.wheel.read(name).decode() for name in licences]
    assert any("Apache License" in text for text in texts)
    assert any("Wenzel Jakob" in text for text in texts)  # of pybind11
    assert built.metadata["License-Expression"] == PROJECT["license"]
    assert len(built.metadata.get_all("License-File", [])) == len(licences)


def test_metadata_are_those_of_the_project(built: Built) -> None:
    meta = built.metadata
    assert meta["Requires-Python"] == PROJECT["requires-python"]
    wanted = {str(Requirement(line)) for line in PROJECT["dependencies"]}
    given = {str(Requirement(line)) for line in meta.get_all("Requires-Dist", [])}
    assert wanted <= given
    assert set(meta.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_every_entry_point_is_a_module_of_the_wheel(built: Built) -> None:
    groups = PROJECT["entry-points"].values()
    targets = [target for group in groups for target in group.values()]
    for target in [*targets, *PROJECT["scripts"].values()]:
        module = target.partition(":")[0].replace(".", "/")
        assert {f"{module}.py", f"{module}/__init__.py"} & set(built.names), target


@pytest.mark.skipif(shutil.which("readelf") is None, reason="there is no readelf")
def test_the_compiled_module_needs_the_system_and_what_torch_brings(
    built: Built, tmp_path: Path
) -> None:
    (module,) = (name for name in built.names if re.fullmatch(r"memcore/_cpu\..*\.so", name))
    file = built.wheel.extract(module, tmp_path)
    done = subprocess.run(["readelf", "-d", file], capture_output=True, text=True, check=True)
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", done.stdout)
    assert [name for name in needed if not NEEDED.fullmatch(name)] == []
    assert "RPATH" not in done.stdout
    assert "RUNPATH" not in done.stdout
    assert not any(".libs/" in name or "libgomp" in name for name in built.names)
