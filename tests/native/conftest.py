"""Builds of the native module other than the installed one, and processes that use them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2]

# Python imports a module of this name whenever it starts.
REPLACE = """
import importlib.util
import sys

class Replace:
    def find_spec(self, name, path=None, target=None):
        if name == "memcore._cpu":
            return importlib.util.spec_from_file_location(name, {module!r})

sys.meta_path.insert(0, Replace())
"""


@dataclass(frozen=True)
class Build:
    """A build of `memcore._cpu`, which is used by the processes that `pytest` starts."""

    folder: Path
    module: Path

    def pytest(self, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run tests with this module; its output is not captured, so that a crash is seen."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(REPLACE.format(module=str(self.module)))
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "MEMCORE_"))
        }
        paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        required = {"MEMCORE_REQUIRE_NATIVE": "1", "PYTHONPATH": os.pathsep.join(paths)}
        options = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", "--color=no"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *args],
            cwd=SOURCES,
            env={**inherited, **required, **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Build]:
    """Return a function that builds `memcore._cpu` with definitions for CMake."""
    if importlib.util.find_spec("pybind11") is None or shutil.which("cmake") is None:
        pytest.skip("builds need CMake and pybind11")
    if not (SOURCES / "CMakeLists.txt").is_file():
        pytest.skip("builds need the sources")

    def make(*definitions: str) -> Build:
        import pybind11

        settings = ("MEMCORE_CUDA=OFF", "MEMCORE_WERROR=ON", f"Python_EXECUTABLE={sys.executable}")
        settings += (f"pybind11_DIR={pybind11.get_cmake_dir()}", *definitions)
        configure = ["cmake", "-S", str(SOURCES), "-B", str(tmp_path)]
        configure += [f"-D{setting}" for setting in settings]
        for command in (configure, ["cmake", "--build", str(tmp_path), "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        (module,) = (tmp_path / "native").glob("_cpu.*")
        return Build(tmp_path, module)

    return make
