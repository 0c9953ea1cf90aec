"""How the native modules are found, required and refused, each time in a fresh process."""

import os

import pytest

from memcore import native

# As if the wheel had been built without the module.
WITHOUT = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in ("memcore._cpu", "memcore._cuda"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone())
"""
DRAW = """
import torch
from memcore import native
from memcore.ops import crossbar_mvm, philox, quantize
philox.normal(torch.tensor([1]), 5, 2)
quantize.uniform(torch.randn(3), 0.1, -1, 1)
panels = crossbar_mvm.pack(torch.ones(1, 2, 2))
dac, scale = torch.zeros(3), torch.ones(1)
crossbar_mvm.crossbar_mvm(torch.ones(1, 1, 2), panels, dac, scale, None, 2, 2, -9.0, 9.0)
print(native.status())
"""


@pytest.fixture
def run(fresh):
    """Run code in a fresh process with no variables of memcore but these."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MEMCORE_")}
    return lambda code, **variables: fresh(code, {**kept, **variables})


def test_status_is_one_line_and_says_why_something_is_not_in_use():
    status = native.status()
    assert len(str(status).splitlines()) == 1
    for module in (status.cpu, status.cuda):
        assert module.loaded or module.reason
        assert module.name in str(status)


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_status_of_the_cpu_module_names_instruction_set_and_threads():
    cpu = native.status().cpu
    assert cpu.isa in {"baseline", "avx2", "avx512"}
    assert cpu.threads >= 1


def test_a_fresh_process_has_imported_nothing_of_memcore(run):
    done = run("import sys; print([name for name in sys.modules if 'memcore' in name])")
    assert done.stdout.split() == ["[]"]


def test_the_reference_can_be_asked_for(run):
    done = run(DRAW, MEMCORE_NATIVE="0")
    assert done.returncode == 0, done.stderr
    assert "_cpu: not in use (MEMCORE_NATIVE=0 asks for the PyTorch reference)" in done.stdout


def test_a_missing_module_falls_back_and_says_so(run):
    done = run(WITHOUT + DRAW)
    assert done.returncode == 0, done.stderr
    assert "_cpu: not in use (this installation was built without it)" in done.stdout


def test_a_required_module_that_is_missing_is_an_error_with_instructions(run):
    done = run(WITHOUT + "from memcore import native; native.cpu()", MEMCORE_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert "NativeError: MEMCORE_REQUIRE_NATIVE is set, but memcore._cpu is not in use" in (
        done.stderr
    )
    assert "pip install" in done.stderr


def test_requiring_and_refusing_the_module_at_once_is_an_error(run):
    code = "from memcore import native; native.cpu()"
    done = run(code, MEMCORE_REQUIRE_NATIVE="1", MEMCORE_NATIVE="0")
    assert "NativeError" in done.stderr
    assert "MEMCORE_NATIVE=0" in done.stderr


def test_a_misspelt_switch_is_an_error(run):
    done = run("from memcore import native; native.cpu()", MEMCORE_NATIVE="nope")
    assert "NativeError: MEMCORE_NATIVE is 'nope'; expected 0 or 1" in done.stderr


def test_the_module_shares_the_threads_of_torch(run):
    if native.cpu() is None:
        pytest.skip("memcore._cpu is not in use")
    code = """
import torch
from memcore import native
for n in (1, 3):
    torch.set_num_threads(n)
    print(native.status().cpu.threads)
"""
    assert run(code).stdout.split() == ["1", "3"]
