"""Kernels that lack memory raise a MemoryError, whichever thread lacks it; nothing is aborted."""

import os
import sys

import pytest

from memcore import native

pytestmark = [
    pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits as Linux has them"),
]

# Inputs and, where PyTorch would be the first to lack memory, results are there before the limit.
BEGIN = """
import resource
import sys
import torch
import memcore
from memcore import native
from memcore.dynamics.recording import run
from memcore.ops import crossbar_mvm, effective_conductance, quantize
from memcore.ops.cell_voltages import cell_voltages
from memcore.ops.ladder import Ladders

torch.set_num_threads(2)
cpu = native.cpu()
"""
CASES = {
    "crossbar_mvm": """
x, panels = torch.ones(200_000, 1, 1), crossbar_mvm.pack(torch.ones(1, 1, 1))
rest = (panels, torch.zeros(3), torch.ones(1), None, 1, 1, 1.0, 0.0)
def call(): crossbar_mvm.crossbar_mvm(x, *rest)
def small(): crossbar_mvm.crossbar_mvm(x[:9], *rest)
""",
    "quantize_levels": """
x, table = torch.rand(9), torch.linspace(0, 1, 3_000_000)
def call(): quantize.levels(x, table)
def small(): quantize.levels(x, table[:9])
""",
    "effective_conductance": """
inputs = [torch.rand(16, 192, 192, dtype=torch.float64) for _ in range(3)]
def call(): effective_conductance.solve(*inputs, False, False)
def small(): effective_conductance.solve(*(x[:2, :9, :9] for x in inputs), False, False)
""",
    "effective_conductance of one array": """
inputs = [torch.rand(1, 256, 256) for _ in range(3)]
def call(): effective_conductance.solve(*inputs, False, False)
def small(): effective_conductance.solve(*(x[:, :64, :64] for x in inputs), False, False)
""",
    "effective_conductance_backward": """
inputs = [torch.rand(4, 160, 160) for _ in range(4)]
def call(): effective_conductance._BACKWARD(*inputs, False, False)
def small(): effective_conductance._BACKWARD(*(x[:2, :9, :9] for x in inputs), False, False)
""",
    "cell_voltages": """
inputs = [torch.rand(1, 256, 256, dtype=torch.float64) for _ in range(3)]
volts = [torch.rand(1, 20, 256, dtype=torch.float64) for _ in range(2)]
def call(): cell_voltages(*inputs, False, False, *volts)
def small():
    few = [x[:, :9, :9] for x in (*inputs, *volts)]
    cell_voltages(*few[:3], False, False, *few[3:])
""",
    "ladder_factor": """
arrays, nodes = 2, 400_000
segments = torch.ones(arrays, 1, nodes)
packed = torch.empty(arrays, cpu.ladder_size_float(1, nodes, False))
def call(count=nodes):
    place = (0, segments.data_ptr(), 0, packed.data_ptr())
    cpu.ladder_factor_float(arrays, 1, count, False, False, *place)
def small(): call(9)
""",
    "ladder_solve": """
x = torch.ones(2, 1, 400_000)
lines, few = (Ladders.of(None, part, dim=-1) for part in (x, x[..., :9]))
out = torch.empty_like(x)
def call(): lines.solve(x, out=out)
def small(): few.solve(x[..., :9])
""",
    "loops_solve": """
from array import array
x, told = torch.ones(2, 400_000, dtype=torch.float64), torch.empty(2, 999, dtype=torch.float64)
bare = [Ladders.of(None, x[:1, None], dim=dim).factors for dim in (-1, -2)]
lines = array("Q", [n for f in bare for n in (1, 0, x.data_ptr(), 0, f.data_ptr())])
out, place = x.clone(), (lines.buffer_info()[0], *[x.data_ptr()] * 3, 1e-8, 1e-15, 3)
def call(arrays=2, cols=400_000):
    cpu.loops_solve_double(arrays, 1, cols, *place, *(each.data_ptr() for each in (out, *told)))
def small(): call(999, 9)
""",
    "simulate, all cells driven alike": """
voltage = torch.full((5_000_000,), 0.1)
def call(): memcore.simulate("yakopcic", voltage, 1e-9, record="last")
def small(): memcore.simulate("yakopcic", voltage[:9], 1e-9, record="last")
""",
    "simulate, many cells": """
# A program of more registers than a processor would ever be asked for.
program = run.Program([[], [], [], [("copy", 4 << 24, 4 << 24, -1, -1)]], registers=1 << 16)
state, voltage = torch.ones(1, 4096), torch.ones(1)
def call(): run.run(program, state, voltage, 0)
def small(): run.run(run.Program(program.lists), state, voltage, 0)
""",
}
END = """
small()  # starts all threads
page, total = resource.getpagesize(), lambda: int(open("/proc/self/statm").read().split()[0])
seen = set()
for megabytes in (0, 1, 2, 4, 8, 12, 16, 20, 24, 32):
    limit = total() * page + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        call()
    except MemoryError:
        seen.add("MemoryError")
    except RuntimeError as error:  # PyTorch's own
        assert "can't allocate memory" in str(error), error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
call()
print(*seen)
"""


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need memory")
@pytest.mark.parametrize("name", CASES)
def test_too_little_memory_is_a_memory_error(name, fresh):
    done = fresh(BEGIN + CASES[name] + END)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "MemoryError"
