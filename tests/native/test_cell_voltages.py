"""Voltages across the cells for many drives, against nodal equations and the PyTorch reference."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from memcore import ArgumentTypeError, ShapeError, native
from memcore.ops import _effective_reference
from memcore.ops.cell_voltages import cell_voltages

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

SIZES = [(1, 1), (3, 2), (8, 8), (9, 17), (1, 70), (33, 1), (40, 24)]
ENDS = list(itertools.product((False, True), (False, True)))
BOUND = {torch.float64: 1e-12, torch.float32: 2e-5}
NATIVE = pytest.mark.skipif(native.cpu() is None, reason="no native module")


def inputs(rows, cols, both, *, arrays=2, drives=5, ohm=3.0, dtype=torch.float64):
    """Cells of 1 kiloohm to 1 megaohm, one of them open, on wires that lose much."""
    draw = torch.Generator().manual_seed(rows * 100 + cols)

    def random(*shape):
        return torch.rand(shape, dtype=torch.float64, generator=draw)

    g = 10 ** -(3 + 3 * random(arrays, rows, cols))
    g[0, 0, 0] = 0
    word, bit = random(arrays, rows, cols + both[0]), random(arrays, rows + both[1], cols)
    volts = random(arrays, drives, rows) - 0.3, random(arrays, drives, cols) - 0.5
    segments = ohm * (0.1 + word), ohm * (0.1 + bit)
    tensors = [x.to(dtype) for x in (g, *segments, *volts)]
    return (*tensors[:3], *both, *tensors[3:])


def nodal(g, word, bit, drive_both, sense_both, word_volts, bit_volts):
    """The voltages of one array [drives, rows, cols] by a sparse solution for all its nodes."""
    rows, cols = g.shape
    at = np.arange(rows * cols).reshape(rows, cols)
    down = at + rows * cols
    size = 2 * rows * cols
    matrix, right = sparse.lil_matrix((size, size)), np.zeros((size, len(word_volts)))

    def join(a, b, siemens):
        matrix[a, a] += siemens
        matrix[b, b] += siemens
        matrix[a, b] -= siemens
        matrix[b, a] -= siemens

    def hold(node, ohm, volts):
        matrix[node, node] += 1 / ohm
        right[node] += volts / ohm

    for i, j in itertools.product(range(rows), range(cols)):
        join(at[i, j], down[i, j], float(g[i, j]))
        if j:
            join(at[i, j - 1], at[i, j], 1 / float(word[i, j]))
        if i + 1 < rows:
            join(down[i, j], down[i + 1, j], 1 / float(bit[i + sense_both, j]))
    for i in range(rows):
        hold(at[i, 0], float(word[i, 0]), word_volts[:, i].numpy())
        if drive_both:
            hold(at[i, -1], float(word[i, -1]), word_volts[:, i].numpy())
    for j in range(cols):
        hold(down[-1, j], float(bit[-1, j]), bit_volts[:, j].numpy())
        if sense_both:
            hold(down[0, j], float(bit[0, j]), bit_volts[:, j].numpy())
    x = linalg.splu(matrix.tocsc()).solve(right).T
    return torch.from_numpy((x[:, : rows * cols] - x[:, rows * cols :]).reshape(-1, rows, cols))


@pytest.mark.parametrize("both", ENDS)
@pytest.mark.parametrize(("rows", "cols"), SIZES)
def test_voltages_are_those_of_the_nodal_equations(rows, cols, both):
    g, word, bit, *ends, word_volts, bit_volts = given = inputs(rows, cols, both)
    found, reference = cell_voltages(*given), _effective_reference.voltages(*given)
    for array in range(len(g)):
        of_array = (word_volts[array], bit_volts[array])
        expected = nodal(g[array], word[array], bit[array], *ends, *of_array)
        torch.testing.assert_close(found[array], expected, rtol=0, atol=1e-10)
        torch.testing.assert_close(reference[array], expected, rtol=0, atol=1e-10)


@NATIVE
@pytest.mark.parametrize("dtype", BOUND, ids=("double", "single"))
@pytest.mark.parametrize("both", ENDS)
def test_kernel_is_the_reference(both, dtype):
    for (rows, cols), drives in itertools.product(SIZES, (1, 8, 35)):
        given = inputs(rows, cols, both, drives=drives, dtype=dtype)
        expected = _effective_reference.voltages(*given)
        torch.testing.assert_close(cell_voltages(*given), expected, rtol=0, atol=BOUND[dtype])


def test_wires_without_resistance_are_exact():
    given = inputs(9, 12, (False, False), ohm=0.0)
    expected = given[-2][..., :, None] - given[-1][..., None, :]
    torch.testing.assert_close(cell_voltages(*given), expected, rtol=0, atol=1e-15)


def test_no_drives_and_no_arrays_have_no_voltages():
    assert cell_voltages(*inputs(3, 4, (True, False), drives=0)).shape == (2, 0, 3, 4)
    assert cell_voltages(*inputs(3, 4, (False, False), arrays=1)[:5], *_none(3, 4)).numel() == 0


def _none(rows, cols):
    return torch.empty(1, 0, rows, dtype=torch.float64), torch.empty(1, 0, cols).double()


@NATIVE
@pytest.mark.parametrize("threads", [1, 3])
def test_drives_are_solved_apart(threads):
    given = inputs(20, 30, (False, True), arrays=1, drives=70)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        whole = cell_voltages(*given)
        last = cell_voltages(*given[:5], given[5][:, -1:], given[6][:, -1:])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(whole[:, -1:], last, rtol=0, atol=1e-13)


def test_wrong_shapes_and_dtypes_are_refused():
    g, *rest = inputs(3, 4, (False, False))
    with pytest.raises(ShapeError, match="bit_volts"):
        cell_voltages(g, *rest[:-1], rest[-1][..., 1:])
    with pytest.raises(ShapeError, match="word_volts"):
        cell_voltages(g, *rest[:-2], rest[-2][0], rest[-1])
    with pytest.raises(ShapeError, match="arrays"):
        cell_voltages(g[0], *rest)
    with pytest.raises(ArgumentTypeError, match="float32 or float64"):
        cell_voltages(g.half(), *rest)


LOWER = """
import sys
sys.path.insert(0, {folder!r})
import torch
from test_cell_voltages import BOUND, ENDS, inputs
from memcore.ops import _effective_reference
from memcore.ops.cell_voltages import cell_voltages
for both in ENDS:
    for dtype, bound in BOUND.items():
        given = inputs(40, 24, both, drives=35, dtype=dtype)
        error = cell_voltages(*given) - _effective_reference.voltages(*given)
        assert float(error.abs().max()) < bound
"""


@NATIVE
@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_lower_instruction_sets_agree(isa, fresh):
    script = LOWER.format(folder=str(Path(__file__).parent))
    done = fresh(script, {**os.environ, "MEMCORE_ISA": isa})
    assert done.returncode == 0, done.stderr
