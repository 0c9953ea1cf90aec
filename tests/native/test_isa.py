"""Every instruction set of this machine, each in a process of its own."""

import functools
import os

import pytest

from memcore import native

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

ISAS = ("baseline", "avx2", "avx512")
INHERITED = {name: value for name, value in os.environ.items() if name != "MEMCORE_NATIVE"}

CHECK = """
import hashlib
import torch
from memcore import Affine, Wires, native
from memcore.circuit import Drive, solve
from memcore.circuit.ohmic import OhmicCircuit
from memcore.contracts.forms_of_cells import Held, NearestLevel, Passive, lowered
from memcore.ops import cell_forms, coincidences, crossbar_mvm, crossbar_read, pairs, philox
from memcore.ops import pulse_order, quantize, sensed_sums, weighted_squares
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

sides = [coincidences.Lines(2 * torch.rand(5, 2, k) - 1, k) for k in (33, 21)]
length = torch.tensor([[3.0, 31.0], [0.0, 1.0], [40.0, 2.0], [7.0, 7.0], [1.0, 0.0]])
counts = coincidences.coincidences(*sides, length, 3)
for one, other in zip(counts, coincidences._reference(*sides, length, 3)):
    same(one, other)
up, down = (each.mT.contiguous() for each in counts)
draw, arrays = pulse_order.Draw(5, 6), pulse_order.Arrays(33, 21, 33, 24, 21)
out = torch.empty(66, 24), torch.empty(66, 24)
g = torch.rand(66, 24)
pulse_order.ordered((up, down), g, arrays, draw, slice(0, 66), opposite=False, out=out)
first = pulse_order.first_of(up, down, draw)
same(out[0].view(2, 33, 24)[..., :21], first)
same(out[1].view(2, 33, 24)[..., :21], up - down - first)

grid, cells = pairs.Grid(2, 70, 50, 32, 24), torch.rand(2 * 2 * 3 * 3, 32, 24)
for weight in (torch.randn(2, 50, 70).mT, torch.randn(2, 70, 50)):
    line = pairs.Line(weight.abs().max(), 9.9e-5, 1e-6)
    same(pairs.lay(weight, line, grid, 0.0)[0], pairs._lay_reference(weight, line, grid, 0.0)[0])
for gain in (torch.rand(1), torch.rand(50)):
    same(pairs.fold(cells, gain, grid)[0], pairs._fold_reference(cells, gain, grid)[0])

g, factor, low = torch.rand(3, 5003)
forms = [Affine(factor), Passive(low - 0.1), NearestLevel(low, low + factor, 7)]
forms += [NearestLevel(5.0, 0.5, 9, inverse=True), Held(torch.where(low < 0.1, g, torch.nan))]
expected = g
for form in forms:
    expected = form(expected)
same(cell_forms.through(g, [step for form in forms for step in lowered(form)]), expected)
squares, largest = cell_forms._errors_reference(g, low)
got = cell_forms.errors(g, low)
assert abs(got[0] / squares - 1) < 1e-12 and got[1] == largest

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
error = (got - crossbar_read._reference(inputs, columns, reads, None, [], False)).abs()
assert error.max() <= 1 and (error != 0).sum() <= max(1, error.numel() // 1000)

for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
    g, wires = 1e-3 * torch.rand(3, 13, 10, dtype=dtype), Wires(word_line=20.0, bit_line=10.0)
    drive = Drive.select(13, 10, 3, 4, 1.5, dtype=dtype)
    got = OhmicCircuit.of(g, wires).solve(g, drive, bound).voltage
    expected = solve(g, wires, drive).device_voltage
    torch.testing.assert_close(got, expected, rtol=0, atol=10 * bound)
"""


@pytest.fixture(scope="session")
def checked(fresh):
    """What a process with an instruction set makes of all kernels, asked once for each."""
    return functools.cache(lambda isa: fresh(CHECK, {**INHERITED, "MEMCORE_ISA": isa}))


@pytest.mark.parametrize("isa", ISAS)
def test_every_kernel_agrees_with_its_reference(isa, checked):
    done = checked(isa)
    if "but this machine has" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa, checked("baseline").stdout.split()[1]]


def test_an_unknown_instruction_set_is_an_error_that_lists_the_known(fresh):
    code = "from memcore import native; native.status()"
    done = fresh(code, {**INHERITED, "MEMCORE_ISA": "avx1024"})
    assert done.returncode != 0
    assert "NativeError: MEMCORE_ISA is 'avx1024', but this machine has: baseline" in done.stderr
