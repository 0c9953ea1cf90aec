"""The CPU module for processors other than x86."""

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from memcore import native

NATIVE = Path(__file__).parents[2] / "native"
FILES = sorted([*NATIVE.glob("src/bind_*.cpp"), *NATIVE.glob("src/cpu/*.cpp")])
COMPILERS = ("g++", "aarch64-linux-gnu-g++")  # the second one is of Debian

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not FILES, reason="the sources are not at hand")
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_file_compiles_without_x86(file, compiler):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    if importlib.util.find_spec("pybind11") is None:
        pytest.skip("pybind11 is not installed")
    import pybind11

    folders = [str(NATIVE / "include"), pybind11.get_include(), sysconfig.get_path("include")]
    done = subprocess.run(
        [
            *(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"),
            *("-DMEMCORE_PORTABLE", "-DMEMCORE_VARIANT=baseline"),
            *(f"-I{folder}" for folder in folders),
            str(file),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_the_portable_build_passes_the_tests_of_all_operators(build):
    portable = build("MEMCORE_PORTABLE=ON")
    products = ("crossbar_mvm", "crossbar_read", "effective_conductance")
    names = ("philox", "quantize", *products, "ladder", "loop_voltages", "simulate", "pulses")
    done = portable.pytest(
        *("-k", "not instruction_set", "-m", "not slow"),
        *(f"tests/native/test_{name}.py" for name in (*names, "empty", "memory")),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
