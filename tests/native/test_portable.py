"""The CPU module for processors other than x86."""

import importlib.util
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from memcore import native

NATIVE = Path(__file__).parents[2] / "native"
CUDA = NATIVE / "src" / "bind_cuda.cpp"
BINDINGS = sorted({*NATIVE.glob("src/bind_*.cpp")} - {CUDA})
#: What is compiled at once: the templates of pybind11 take most of the time of the bindings.
UNITS = {
    "bindings": BINDINGS,
    **{file.name: [file] for file in (CUDA, *sorted(NATIVE.glob("src/cpu/*.cpp")))},
}
#: Debian's for another processor; what stands in for it is what the portable build is made with.
COMPILERS = ("aarch64-linux-gnu-g++", "g++")

pytestmark = pytest.mark.slow


def stand_in(folder):
    """Let this processor's settings of Python be those of the other, which Debian has apart."""
    python = Path(sysconfig.get_path("include"))
    here = sysconfig.get_config_var("MULTIARCH") or ""
    settings = python.parent / here / python.name / "pyconfig.h"
    if here and settings.exists():
        other = folder / "aarch64-linux-gnu" / python.name / "pyconfig.h"
        other.parent.mkdir(parents=True)
        other.write_text(f'#include "{settings}"\n')


@pytest.mark.skipif(not BINDINGS, reason="the sources are not at hand")
@pytest.mark.parametrize("unit", UNITS)
def test_every_file_compiles_without_x86(unit, tmp_path):
    compiler = next(filter(shutil.which, COMPILERS), None)
    if compiler is None:
        pytest.skip(f"none of {COMPILERS} is installed")
    if importlib.util.find_spec("pybind11") is None:
        pytest.skip("pybind11 is not installed")
    import pybind11

    source = tmp_path / "unit.cpp"
    source.write_text("".join(f'#include "{file}"\n' for file in UNITS[unit]))
    stand_in(tmp_path)
    python = sysconfig.get_path("include")
    folders = [str(NATIVE / "include"), pybind11.get_include(), python, str(tmp_path)]
    done = subprocess.run(
        [
            *(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"),
            *("-DMEMCORE_PORTABLE", "-DMEMCORE_VARIANT=baseline"),
            *(f"-I{folder}" for folder in folders),
            str(source),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_the_portable_build_passes_the_tests_of_all_operators(build):
    portable = build("MEMCORE_PORTABLE=ON")
    products = ("crossbar_mvm", "crossbar_read", "effective_conductance", "serial_read", "tables")
    voltages = ("ladder", "loop_voltages", "cell_voltages", "cell_currents")
    cells = ("cells", "cell_forms", "counted_products", "rehearsal", "pulses", "pulse_energy")
    states = ("simulate", "fold_states")
    names = ("philox", "quantize", "empty", *products, *voltages, *cells, *states)
    # What asks PyTorch about its operators is left out, and threads and the lack of memory, whose
    # code is the same for all processors.
    left_out = ("instruction_set", "rules_of_torch", "compile", "threads_or_chunks")
    done = portable.pytest(
        *("-k", " and ".join(f"not {words}" for words in left_out), "-m", "not slow"),
        *(f"tests/native/test_{name}.py" for name in names),
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
