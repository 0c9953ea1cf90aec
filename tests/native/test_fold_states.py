"""What the cells of two parts stand for, from their states at once: as law and fold give it."""

import itertools
import math

import pytest
import torch

from memcore import Context, Normal, ShapeError, Stream, devices, native
from memcore.dynamics.pulses import PulseKernels
from memcore.ops import pairs
from memcore.ops.fold_states import fold_states
from memcore.ops.pairs import Grid

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

GRIDS = [
    Grid(1, 1, 1, 1, 1),
    Grid(1, 5, 3, 5, 3),
    Grid(2, 70, 50, 32, 24),
    Grid(1, 130, 67, 128, 64),
    Grid(3, 64, 128, 64, 128),
    Grid(1, 33, 5000, 40, 5000),
]
DEVICES = {
    "constant_step": {},
    "soft_bounds": {"w_max": Normal(1.0, 0.1)},
    "neurosim": {},
}
REFERENCE = pytest.mark.parametrize("reference", [False, True])


@pytest.fixture(params=[1, 2, 5])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def cells(grid, reference, name="soft_bounds"):
    """States of cells, the recorded law of their device, and what they conduct by it."""
    arrays, lines, cols = grid.shape
    shape = (arrays // 2, lines, cols + 1) if reference else (arrays, lines, cols)
    device = devices[name](**DEVICES[name]).sample(shape, Context(random=Stream(2)))
    low, high = device.conductance_range()
    state = device.state_of((low + (high - low) * Stream(3).uniform(shape)).float())
    law, g = PulseKernels(device, shape).law, torch.empty(shape)
    assert law is not None
    law([*state], [g, *state[1:]], state[:1])
    return state.contiguous(), law, g


def gain_of(grid, each):
    return 1e4 * Stream(5).uniform((grid.cols if each else 1,)) + 1e4


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("each", [False, True])
@REFERENCE
def test_states_are_folded_as_their_conductances_are(name, grid, each, reference, threads):
    state, law, g = cells(grid, reference, name)
    gain, before = gain_of(grid, each), state.clone()
    expected, _ = pairs.fold(g, gain, grid, reference=reference)
    some = [0, 1, grid.rows // 3, grid.rows // 2 + 1, grid.rows]
    for start, stop in [(0, grid.rows), *itertools.pairwise(some)]:
        if start > stop:
            continue
        out = torch.full((grid.groups, grid.cols, stop - start), math.nan)
        rows = slice(start, stop)
        assert fold_states(state, law.motion, gain, grid, rows, reference=reference, out=out)
        assert torch.equal(out, expected[:, :, rows])
    assert torch.equal(state, before)


@REFERENCE
def test_rows_are_put_where_they_belong_and_nowhere_else(reference):
    grid, rows = Grid(2, 70, 50, 32, 24), slice(20, 45)
    state, law, g = cells(grid, reference)
    gain = gain_of(grid, True)
    whole, _ = pairs.fold(g, gain, grid, reference=reference)
    matrix = torch.full_like(whole, 7.0)
    out = matrix[:, :, rows]
    assert fold_states(state, law.motion, gain, grid, rows, reference=reference, out=out)
    assert torch.equal(out, whole[:, :, rows])
    assert (matrix[:, :, :20] == 7).all()
    assert (matrix[:, :, 45:] == 7).all()


@REFERENCE
def test_what_is_not_finite_is_told_where_it_is_wanted(reference, threads):
    grid = Grid(1, 130, 67, 128, 64)
    state, law, _ = cells(grid, reference)
    state[0, 0, 40, 3] = math.inf
    gain, told = gain_of(grid, False), []
    for rows in (slice(0, 130), slice(40, 41), slice(0, 40), slice(41, 130)):
        out = torch.empty(1, grid.cols, rows.stop - rows.start)
        at_once = fold_states(state, law.motion, gain, grid, rows, reference=reference, out=out)
        assert at_once == bool(out.isfinite().all())
        told.append(at_once)
    assert told == [False, False, True, True]


def test_what_no_kernel_reads_is_left_as_it_was():
    grid, rows = Grid(1, 5, 3, 5, 3), slice(0, 5)
    state, law, _ = cells(grid, False)
    gain = gain_of(grid, False)
    for out in (torch.ones(1, 5, 3).mT, torch.ones(1, 3, 5).double()):
        assert fold_states(state, law.motion, gain, grid, rows, reference=False, out=out) is None
        assert (out == 1).all()
    out, lying = torch.ones(1, 3, 5), state.mT.contiguous().mT
    assert fold_states(lying, law.motion, gain, grid, rows, reference=False, out=out) is None


def test_shapes_that_do_not_fit_are_refused():
    grid, rows = Grid(1, 5, 3, 5, 3), slice(1, 4)
    state, law, _ = cells(grid, False)
    gain, out = gain_of(grid, False), torch.empty(1, 3, 3)

    def fold(state=state, gain=gain, rows=rows, reference=False, out=out):
        fold_states(state, law.motion, gain, grid, rows, reference=reference, out=out)

    fold()
    with pytest.raises(ShapeError, match=r"state has shape \[1, 2, 5, 3\]; expected \[1, 1, 5, 4"):
        fold(reference=True)
    with pytest.raises(ShapeError, match=r"gain has shape \[2\]; expected \[1\] or \[3\]"):
        fold(gain=torch.ones(2))
    with pytest.raises(ShapeError, match="rows are 3 to 6; expected some of 5"):
        fold(rows=slice(3, 6))
    with pytest.raises(ShapeError, match=r"out has shape \[1, 3, 2\]; expected \[1, 3, 3\]"):
        fold(out=out[:, :, 1:])
