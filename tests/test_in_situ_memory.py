"""What a training in place keeps in memory, and that nobody else notices."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream, native
from memcore.optim import InSitu, PulsedCells

EVEN = {"name": "constant_step", "dw_min": 0.005}
NATIVE = pytest.mark.skipif(native.cpu() is None, reason="conductances are derived by a kernel")
MAPPERS = pytest.mark.parametrize("mapper", ["offset", "differential"])
X = Stream(9).child("inputs").normal((16, 60))


def memristive(outputs=40, device=EVEN, mapper="offset", **more):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Linear(60, outputs)
    return memcore.convert(model, CrossbarConfig(device=device, mapper=mapper, **more))


def train(model, optimizer, steps=2):
    for _ in range(steps):
        optimizer.zero_grad()
        (model(X) - 1).square().mean().backward()
        optimizer.step()


def trained(**settings):
    mem = memristive(**settings)
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    train(mem, optimizer)
    return mem, optimizer


def held(*modules):
    """Bytes of all tensors, memory that several have in common once."""
    tensors = itertools.chain(*(itertools.chain(m.parameters(), m.buffers()) for m in modules))
    storages = (each.untyped_storage() for each in tensors)
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


@NATIVE
@pytest.mark.parametrize(("mapper", "most"), [("offset", 2.1), ("differential", 3.1)])
def test_a_training_keeps_a_weight_and_the_state_of_its_cells(mapper, most):
    mem = memristive(outputs=500, mapper=mapper, tile=None)
    optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
    train(mem, optimizer)
    assert held(mem, *optimizer._trainers) < most * mem.weight.nbytes


@NATIVE
@MAPPERS
@pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")  # before the training
@pytest.mark.parametrize("device", ["soft_bounds", "pow_step"])
@pytest.mark.parametrize("tile", [None, (16, 7)])
def test_cells_that_are_folded_in_parts_are_those_of_the_whole(device, mapper, tile):
    device = {"name": device, "dw_min": 0.01, "c2c": 0.3, "w_max": memcore.Normal(1.0, 0.1)}
    mem, optimizer = trained(device=device, mapper=mapper, tile=tile, programmer="direct")
    (trainer,) = optimizer._trainers
    cells, g = trainer.slow, mem.crossbar.programmed
    torch.testing.assert_close(g, cells._device.conductance(cells.state), rtol=1e-5, atol=0)
    mem.crossbar.refresh()
    whole = mem.crossbar.folded.clone()
    some = torch.full_like(whole, torch.nan)
    assert cells._mover.derived.fold(some)
    assert torch.equal(some, whole)
    part = torch.full_like(whole[:, :, :20], torch.nan)
    assert cells._mover.derived.fold_rows(slice(13, 33), part)
    assert torch.equal(part, whole[:, :, 13:33])


@MAPPERS
def test_a_state_has_conductances_that_any_network_loads(mapper, tmp_path):
    mem, _ = trained(mapper=mapper)
    fresh = memristive(mapper=mapper)
    state = mem.state_dict()
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in fresh.state_dict().items()
    }
    save_file(state, tmp_path / "state.safetensors")
    fresh.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(fresh.crossbar.programmed, mem.crossbar.programmed)
    assert torch.equal(fresh.eval()(X), mem.eval()(X))


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "save", "release"])
def test_what_is_released_has_weights_apart_from_its_cells(way):
    mem, optimizer = trained()
    before, g = mem.eval()(X), mem.crossbar.programmed.clone()
    if way == "release":
        optimizer.release()
        other = mem
    elif way == "deepcopy":
        other = copy.deepcopy(mem)
    elif way == "pickle":
        other = pickle.loads(pickle.dumps(mem))
    else:
        file = io.BytesIO()
        torch.save(mem, file)
        file.seek(0)
        other = torch.load(file, weights_only=False)
    with torch.no_grad():
        other.weight.zero_()
    with pytest.warns(memcore.StaleCellsWarning):
        assert torch.equal(other.eval()(X), before)
    assert torch.equal(other.crossbar.programmed, g)
    memcore.program(other)
    assert other.effective_weight.abs().max() < 0.05  # as close to 0 as pulses take them
    if other is not mem:  # which goes on
        train(mem.train(), optimizer, 1)
        assert not torch.equal(mem.crossbar.programmed, g)


def test_a_parameter_that_somebody_overwrites_moves_no_cells():
    mem, optimizer = trained()
    before, weights = mem(X).detach(), mem.weight.detach().clone()
    with torch.no_grad():
        mem.weight.mul_(2)
    assert torch.equal(mem(X), before)
    optimizer.step()  # which has seen nothing
    assert torch.equal(mem.weight, weights)
    train(mem, optimizer, 1)
    assert torch.equal(mem.eval()(X), nn.functional.linear(X, mem.weight, mem.bias))


def test_a_pass_before_a_step_has_no_gradient_of_cells_behind_it():
    mem, optimizer = trained()
    x = X.clone().requires_grad_()
    loss = mem(x).sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_tied_parameters_and_parts_of_one_follow_their_own_cells():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(8, 8), nn.Linear(8, 8)
            self.other.weight = self.one.weight
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x):
            return self.attention(*[self.other(self.one(x))] * 3)[0]

    mem = memcore.convert(Tied(), CrossbarConfig(device=EVEN, mapper="offset"))
    with pytest.warns(memcore.StaleCellsWarning, match=r"one\.weight and other\.weight are one"):
        optimizer = InSitu(mem, lr=0.1)
    for _ in range(2):
        mem(X[:, :8]).square().sum().backward()
        optimizer.step()
    matrices = [place[1] for place in optimizer._places.values()]
    for matrix in matrices:
        folded = matrix.crossbar.folded.clone()
        matrix.crossbar.refresh()
        assert torch.equal(matrix.crossbar.folded, folded)


@NATIVE
def test_a_network_that_is_written_or_moved_keeps_its_cells():
    mem, optimizer = trained()
    g = mem.crossbar.programmed
    optimizer.release()
    mem.double()
    torch.testing.assert_close(mem.crossbar.programmed, g.double())
    mem.float()
    second = PulsedCells(mem.crossbar)
    third = PulsedCells(mem.crossbar)  # takes the cells over
    up = torch.ones(1, 40, 60)
    third.pulse(up, 0 * up)
    raised = mem.crossbar.programmed
    assert torch.equal(raised, third._mover.derived.conductance())
    memcore.program(mem)
    assert not torch.equal(mem.crossbar.programmed, raised)
    assert second.state.shape == third.state.shape


SETTINGS = [
    {},
    {"tile": (16, 7)},
    {"mapper": "differential", "tile": (16, 7)},
    {"dac": {"name": "uniform", "bits": 4}},
    {"nonidealities": [{"name": "stuck_at", "p_lrs": 0.1}]},
    {"nonidealities": [{"name": "drift", "nu": 0.02}]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_columns_that_are_read_are_what_each_input_alone_gives(settings):
    """Driven with the largest input of its DAC, by which what is read is divided."""
    mem = memristive(**settings)
    if "dac" in settings:
        memcore.calibrate(mem, X)
    cells = PulsedCells(mem.crossbar)
    up = Stream(3).normal(cells.shape).abs().mul(3).floor()
    for columns in (slice(0, 1), slice(13, 40), slice(58, 60)):
        cells.pulse(up, up.flip(1))
        most = cells.crossbar.input.range.amax() if "dac" in settings else torch.ones(())
        unit = torch.eye(60)[columns].unsqueeze(1)
        v = cells.read_columns(columns)
        assert torch.equal(v, cells.read(most * unit).permute(1, 2, 0) / most)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # by the compiler
def test_a_compiled_network_is_trained_in_place_like_any_other():
    trained_so = []
    for compiles in (False, True):
        mem = memristive()
        optimizer = InSitu(mem, rule="sgd_pulsed", lr=0.1)
        train(torch.compile(mem, backend="eager") if compiles else mem, optimizer)
        trained_so.append(mem.weight.detach())
    assert torch.equal(*trained_so)
    assert not torch.equal(trained_so[0], memristive().weight)
