"""Cells that a training in place moves, by the CUDA kernel without a GPU, against the CPU."""

from math import prod

import pytest
import torch

import memcore
from memcore import Normal, Stream, native
from memcore.contracts.records import Context
from memcore.dynamics.pulses import PulseKernels
from memcore.ops.cell_moves import move_by_counts, move_by_trains
from memcore.ops.coincidences import Lines, coincidences
from memcore.ops.pulse_order import Arrays, Draw
from memcore.ops.pulse_trains import Moved, Sent, pulse_trains
from memcore.optim import PulsedCells, trains

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("on_emulated_gpu"),
    pytest.mark.skipif(native.cpu() is None, reason="there is no kernel to compare with"),
]

#: Of positions in the window: elementary functions differ in their last places.
NEAR = 2e-6
#: Vectors, groups, rows, columns, and lines of arrays with those that carry weights.
SIZES = {
    "one": (1, 1, 1, 1, (1, 1, 1)),
    "ragged": (4, 2, 7, 10, (4, 5, 3)),
    "a reference column": (3, 1, 9, 21, (9, 24, 21)),
    "whole blocks": (40, 1, 33, 64, (16, 32, 32)),
}
DEVICES = {
    "even": {"name": "constant_step", "c2c": 0.0},
    "noisy": {"name": "constant_step", "c2c": 0.3},
    "of each cell": {
        "name": "soft_bounds",
        "c2c": 0.1,
        "w_max": Normal(1.0, 0.1),
        "about": "symmetry",
    },
    "powers": {"name": "pow_step", "c2c": 0.1},
    "exponentials": {"name": "exp_step", "c2c": 0.1},
    "cut": {"name": "neurosim"},
}


def sent(size):
    n, groups, rows, cols, _ = size
    sides = []
    for name, count in (("x", rows), ("d", cols)):
        stream = Stream(3).child(name)
        signed = 2 * stream.uniform((n, groups, count)) - 1
        sides.append(Lines(signed, stream.child("draws").key))
    length = (Stream(4).uniform((n, groups)) * 32).floor()
    length[0, 0] = 31
    return Sent(*sides, length, 3)


class Case:
    """Cells in two parts, of which pulses that raise a weight lower the second."""

    def __init__(self, size, device):
        _, groups, rows, cols, lines = self.size = size
        self.arrays = Arrays(rows, cols, *lines)
        count = 2 * groups * -(-rows // lines[0]) * -(-cols // lines[2])
        shape = (count, *lines[:2])
        rest = {name: value for name, value in device.items() if name != "name"}
        kind = memcore.devices[device["name"]](**rest)
        self.device = kind.sample(shape, Context(random=Stream(0)))
        self.sent, self.ctx = sent(size), Context(random=Stream(1))
        self.draw = Draw(self.ctx.random.child("order").key, 5)
        self.kernels = PulseKernels(self.device, shape)
        self.most = float(self.sent.length.sum(0).max())
        self.state = Stream(5).uniform((self.device.variables, *shape))
        self.g = self.device.conductance(self.state).contiguous()

    def recorded(self, most=None):
        found = self.kernels.on_gpu(self.most if most is None else most, self.ctx, self.g.device)
        assert found is not None
        return found

    def moved(self, by, *arguments):
        """States, conductances and sums after something moved the cells."""
        state, g = self.state.clone(), self.g.clone()
        cells = Moved([*state], g, [False, True])
        return state, g, by(*arguments, self.arrays, self.draw, cells, self.recorded())

    def by_cpu(self):
        ready = self.kernels.kernel(self.most, self.ctx)
        state, g = self.state.clone(), self.g.clone()
        cells = Moved([*state], g, [False, True])
        return state, g, pulse_trains(self.sent, self.arrays, self.draw, cells, ready.motion)


def assert_near(found, expected, case):
    """Numbers of pulses are equal; states and conductances differ by rounding."""
    (state, g, sums), (of_cpu, conducts, sums_of_cpu) = found, expected
    assert sums[:2] == sums_of_cpu[:2]
    assert sums[2:] == pytest.approx(sums_of_cpu[2:], rel=1e-6)
    torch.testing.assert_close(state, of_cpu, rtol=0, atol=NEAR)
    torch.testing.assert_close(g, conducts, rtol=0, atol=NEAR * float(conducts.max()))
    assert (of_cpu - case.state).abs().max() > 1e-3
    assert sums.pulses > 0


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_trains_move_cells_as_those_of_the_processor(size, device):
    case = Case(size, device)
    assert_near(case.moved(move_by_trains, case.sent), case.by_cpu(), case)


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_numbers_of_pulses_move_cells_as_their_trains(size):
    case = Case(size, DEVICES["of each cell"])
    counts = tuple(each.mT.contiguous() for each in coincidences(*case.sent))
    for one, other in zip(
        case.moved(move_by_counts, counts), case.moved(move_by_trains, case.sent), strict=True
    ):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_trains_without_slots_move_nothing():
    case = Case(SIZES["ragged"], DEVICES["noisy"])
    silent = case.sent._replace(length=torch.zeros_like(case.sent.length))
    state, g, sums = case.moved(move_by_trains, silent)
    assert torch.equal(state, case.state)
    assert torch.equal(g, case.g)
    assert sums == (0, 0, 0.0, 0.0)


@pytest.mark.parametrize("device", DEVICES.values(), ids=DEVICES)
def test_without_pulses_all_cells_are_told_what_they_conduct(device):
    case = Case(SIZES["a reference column"], device)
    state, g = case.state.clone(), torch.full_like(case.g, torch.nan)
    cells = Moved([*state], g, [False, True])
    move_by_counts(None, case.arrays, case.draw, cells, case.recorded(0.0))
    torch.testing.assert_close(g, case.g, rtol=0, atol=NEAR * float(g.max()))
    torch.testing.assert_close(state, case.state, rtol=0, atol=NEAR)


def test_devices_with_too_many_numbers_for_a_block_are_left_to_torch():
    recorded = Case(SIZES["one"], DEVICES["noisy"]).recorded()
    assert recorded.threads == 64
    assert recorded._replace(registers=60).threads == 32
    assert recorded._replace(registers=200).threads == 0
    assert recorded._replace(constants=torch.zeros(300)).threads == 0


@pytest.mark.parametrize("mapper", ["offset", "differential"])
@pytest.mark.parametrize("tile", [(5, 19), None])
def test_cells_of_a_network_take_trains_and_pulses_alike(tile, mapper, monkeypatch):
    given = trains(*(Stream(9).child(each).normal((7, 1, 12)) for each in "xd"), 0.1, 0.01)
    pulses = (Stream(9).child("pulses").uniform((2, 1, 12, 12)) * 4).floor()
    found = []
    for on_gpu in (False, True):
        if on_gpu:
            for name, answer in (("fits_cuda", True), ("is_plain", False), ("is_known", False)):
                monkeypatch.setattr(f"memcore.optim.mover.{name}", lambda *_, a=answer: a)
        torch.manual_seed(1)
        device = DEVICES["of each cell"]
        config = memcore.CrossbarConfig(device=device, mapper=mapper, tile=tile)
        cells = PulsedCells(memcore.convert(torch.nn.Linear(12, 12), config).crossbar)
        cells.take(given, Stream(3).child("trains"), 0)
        cells.pulse(*pulses)
        before = cells.crossbar.programmed.clone()
        cells.resume()
        assert torch.equal(cells.crossbar.programmed, before)
        found.append(cells)
    one, other = found
    assert int(one.pulses) == int(other.pulses) > prod((12, 12))
    torch.testing.assert_close(other.state, one.state, rtol=0, atol=NEAR)
    g = one.crossbar.programmed
    torch.testing.assert_close(other.crossbar.programmed, g, rtol=0, atol=NEAR * float(g.max()))
    torch.testing.assert_close(other.energy, one.energy, rtol=1e-6, atol=0)
