"""Every instruction set of this machine, each in a process of its own."""

import os
import subprocess
import sys

import pytest

from memcore import native

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

ISAS = ("baseline", "avx2", "avx512")

CHECK = """
import hashlib
import torch
from memcore import native
from memcore.ops import crossbar_mvm, crossbar_read, pairs, philox, quantize, sensed_sums
from memcore.ops import weighted_squares
from memcore.ops.windows import Window

torch.manual_seed(0)
print(native.status().cpu.isa)
reads = torch.tensor([3, 2**40])
drawn = philox.uniform(reads, 5003, -77)
assert torch.equal(drawn, philox._uniform_reference(reads, None, 5003, -77))
print(hashlib.sha256(drawn.numpy().tobytes()).hexdigest())
normal = philox.normal(reads, 5003, -77)
expected = philox._normal_reference(reads, None, 5003, -77)
assert ((normal - expected).abs() <= 8 * 2**-24 * expected.abs()).all()

x = torch.randn(9001)
x[5] = torch.nan
def same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
for levels in (torch.linspace(-2, 2, 256), torch.randn(300), torch.rand(5)):
    table = levels.sort().values
    same(quantize.levels(x, table), quantize._levels_reference(x, table))
step = torch.tensor([0.01])
same(quantize.uniform(x, step, -99, 99), quantize._uniform_reference(x, step, -99, 99))

bits = (torch.rand(5, 2, 3, 4) < 0.5).to(torch.uint8)
cells = (torch.rand(2, 3, 4, 21) < 0.5).to(torch.uint8)
tables = (torch.rand(5, 5, 8), torch.randint(0, 8, (5, 5, 8)).float())
told = (bits, cells, torch.arange(5), *tables, 3, 4, 8)
assert torch.equal(sensed_sums.sensed_sums(*told), sensed_sums._reference(*told))

grid, cells = pairs.Grid(2, 70, 50, 32, 24), torch.rand(2 * 2 * 3 * 3, 32, 24)
for weight in (torch.randn(2, 50, 70).mT, torch.randn(2, 70, 50)):
    line = pairs.Line(weight.abs().max(), 9.9e-5, 1e-6)
    same(pairs.lay(weight, line, grid, 0.0)[0], pairs._lay_reference(weight, line, grid, 0.0)[0])
for gain in (torch.rand(1), torch.rand(50)):
    same(pairs.fold(cells, gain, grid)[0], pairs._fold_reference(cells, gain, grid)[0])

x, weights = torch.randn(7, 5003), torch.rand(5003)
for codes in (weighted_squares.EXACT, (31.0, -9.0, 9.0)):
    expected = float(weighted_squares._reference(x, weights, *codes))
    assert abs(weighted_squares.weighted_squares(x, weights, codes) / expected - 1) < 2e-6

for n, groups, rows, cols, tile in ((1, 1, 5, 3, 2), (33, 2, 300, 70, 128), (64, 1, 128, 32, 64)):
    x = torch.randn(n, groups, rows)
    panels = crossbar_mvm.pack(torch.randn(groups, rows, cols) * 0.05)
    args = (panels, torch.tensor([31.0, -127, 127]), torch.ones(1), None, cols, tile, -99.0, 99.0)
    got = crossbar_mvm.crossbar_mvm(x, *args)
    error = (got - crossbar_mvm._reference(x, *args)).abs()
    assert error.max() <= 1 and (error != 0).sum() <= max(1, error.numel() // 1000)
    alone = torch.cat([crossbar_mvm.crossbar_mvm(row, *args) for row in x.split(1)])
    assert torch.equal(alone, got)

x, window = torch.randn(3, 6, 9, 7), Window((3, 2), (1, 1), (1, 1), (1, 0), (1, 1))
weight, variance = 0.05 * torch.randn(2, 18, 37), 1e-4 * torch.rand(2, 18, 37)
panels = map(crossbar_mvm.pack, (weight, variance))
dac, scale, reads = torch.tensor([31.0, -127, 127]), torch.ones(1), torch.arange(3 * 9 * 7)
columns = crossbar_read.Columns(*panels, dac, scale, 37, 8, -99.0, 99.0, 5)
got = crossbar_read.crossbar_read(x, columns, window=window, reads=reads)
inputs = window.cut(window.padded(x), 2).flatten(0, 2)
assert torch.equal(got, crossbar_read.crossbar_read(inputs, columns, reads=reads))
c = columns
args = (c.panels, c.variance, reads, dac, scale, None, [], 5, 1, 37, 8, -99.0, 99.0, False)
error = (got - crossbar_read._reference(inputs, *args)).abs()
assert error.max() <= 1 and (error != 0).sum() <= max(1, error.numel() // 1000)
"""


def run(isa: str, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MEMCORE_ISA": isa}
    environment.pop("MEMCORE_NATIVE", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def uniform_digest() -> str:
    return run("baseline", CHECK).stdout.split()[1]


@pytest.mark.parametrize("isa", ISAS)
def test_every_kernel_agrees_with_its_reference(isa, uniform_digest):
    done = run(isa, CHECK)
    if "but this machine has" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa, uniform_digest]


def test_an_unknown_instruction_set_is_an_error_that_lists_the_known():
    done = run("avx1024", "from memcore import native; native.status()")
    assert done.returncode != 0
    assert "NativeError: MEMCORE_ISA is 'avx1024', but this machine has: baseline" in done.stderr
