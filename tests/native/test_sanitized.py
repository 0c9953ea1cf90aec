"""All operators under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import subprocess
from pathlib import Path

import pytest

from memcore import native

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use"),
]

# What builds modules or starts processes of its own is left out, and what is long for no kernel.
PRODUCTS = ("crossbar_mvm", "crossbar_read", "effective_conductance", "serial_read", "tables")
VOLTAGES = ("ladder", "loop_voltages", "cell_voltages", "cell_currents")
CELLS = ("cells", "cell_forms", "counted_products", "rehearsal", "pulses", "pulse_energy")
STATES = ("simulate", "fold_states")
NAMES = ("philox", "quantize", "empty", "fuzz", *PRODUCTS, *VOLTAGES, *CELLS, *STATES)
LEFT_OUT = ("instruction_set", "processes", "threads_or_chunks", "rules_of_torch", "compile")
#: And what calls a kernel again and again with tensors of the same shape, for other numbers.
REPEATED = ("are_those_of_differences", "of_counts_are_binomial", "spread_as_single_ones")
TESTS = [f"not {words}" for words in LEFT_OUT + REPEATED]
TESTS += ["(not uniform_wires or 0.35)", "(not writing_leaves or grounded)"]


def runtime(name: str) -> str:
    """The path of a runtime library of the compiler, empty if it has none."""
    done = subprocess.run(
        [os.environ.get("CXX", "g++"), f"-print-file-name={name}"],
        capture_output=True,
        text=True,
        check=False,
    )
    path = done.stdout.strip()
    return path if Path(path).is_absolute() else ""


def test_no_operator_reads_or_writes_beyond_its_tensors(build):
    # Python itself is built without: the runtime has to come first, and before it catches
    # exceptions, the library that throws them.
    libraries = [runtime(f"lib{name}.so") for name in ("asan", "ubsan", "stdc++")]
    if not all(libraries):
        pytest.skip("the compiler has no sanitizers")
    sanitized = build("MEMCORE_SANITIZE=ON")
    done = sanitized.pytest(
        *("-k", " and ".join(TESTS)),
        *(f"tests/native/test_{name}.py" for name in NAMES),
        LD_PRELOAD=" ".join(libraries),
        ASAN_OPTIONS="detect_leaks=0:exitcode=99",
        UBSAN_OPTIONS="print_stacktrace=1",
        MEMCORE_FUZZ_EXAMPLES="40",
    )
    output = (done.stdout + done.stderr)[-8000:]
    assert done.returncode == 0, output
    assert "ERROR: AddressSanitizer" not in output
    assert "runtime error:" not in output
