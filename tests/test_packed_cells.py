"""Cells that are kept in less than single precision: what that changes, needs and saves."""

import copy
import pickle

import pytest
import torch
from torch import nn

import memcore
from memcore import ConfigError, CrossbarConfig
from memcore.crossbar.packed import packed
from memcore.testing.cases import ReferenceDevice

DEVICE = ReferenceDevice(r_on=1e4, r_off=1e5)
SLICES = {"name": "bit_slice", "slice_bits": [1, 2, 4]}
FAULTS = {"name": "stuck_at", "p_lrs": 0.01, "p_hrs": 0.02}


def layer(inputs=50, outputs=30):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Linear(inputs, outputs)


def chip(kept, model=None, seed=0, **settings):
    settings = {"device": DEVICE, "mapper": SLICES, "tile": (32, 16), **settings}
    x = torch.randn(20, 50, generator=torch.Generator().manual_seed(1))
    config = CrossbarConfig(cells=kept, **settings)
    ranged = x if config.adc or config.dac else None
    return memcore.convert(
        layer() if model is None else model, config, seed=seed, calibration=ranged
    ), x


def kept_bytes(mem):
    cells = mem.crossbar.cells
    return sum(each.nbytes for each in (cells.programmed, cells.table) if each is not None)


HOW = {
    "slices": {},
    "ADC": {"adc": "uniform", "dac": "uniform"},
    "stuck": {"nonidealities": [FAULTS]},
    "around": {"nonidealities": [FAULTS], "faults": "avoided", "spare_cols": 2},
    "states": {"mapper": "differential", "nonidealities": [{"name": "finite_states", "states": 9}]},
    "noise": {"nonidealities": ["read_noise"], "adc": "uniform"},
    "drift": {"nonidealities": ["drift"]},
    "wires": {"nonidealities": ["ir_drop"]},
    "offset": {"mapper": {**SLICES, "slice_bits": [4, 4], "encoding": "offset"}},
    "lanes": {"lanes": [{"copies": 2}, {"device": "ideal"}, {}]},
}


@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
@pytest.mark.filterwarnings("ignore:nothing that is configured changes with time")
def test_codes_change_no_bit_of_any_output(how):
    (full, x), (codes, _) = chip("full", **how), chip("codes", **how)
    for _ in range(2):
        with torch.no_grad():
            assert torch.equal(codes(x), full(x))
        assert torch.equal(codes.crossbar.conductance, full.crossbar.conductance)
        memcore.age(codes, seconds=1e4)
        memcore.age(full, seconds=1e4)
    assert codes.crossbar.cells.programmed.dtype == torch.uint8
    assert kept_bytes(codes) < 0.3 * kept_bytes(full)
    memcore.program(codes)
    memcore.program(full)
    with torch.no_grad():
        assert torch.equal(codes(x), full(x))


@pytest.mark.parametrize("spread", [[], ["d2d", "c2c"], [FAULTS, "read_noise"]], ids=str)
def test_half_precision_rounds_each_conductance_by_less_than_a_two_thousandth(spread):
    how = {"mapper": "differential", "nonidealities": spread}
    (full, _), (half, _) = chip("full", **how), chip("float16", **how)
    expected = full.crossbar.programmed.double()
    ratio = half.crossbar.programmed.double() / expected - 1
    assert 0 < ratio.abs().max() <= 2.0**-11 + 1e-7
    assert kept_bytes(half) < 0.51 * kept_bytes(full)
    one = half.crossbar.cells.programmed
    again = copy.deepcopy(half).float().crossbar.cells.programmed  # which casts what is floating
    assert torch.equal(one, again)


@pytest.mark.parametrize("kept", ["float16", "codes"])
def test_a_chip_is_saved_copied_and_pickled_as_it_is_kept(kept):
    how = {"nonidealities": [FAULTS], "adc": "uniform"}
    mem, x = chip(kept, **how)
    with torch.no_grad():
        y = mem(x)
        for other in (copy.deepcopy(mem), pickle.loads(pickle.dumps(mem))):
            assert torch.equal(other(x), y)
        for other_kept in ("full", "float16", "codes"):
            other, _ = chip(other_kept, seed=1, **how)
            other.load_state_dict(mem.state_dict())
            if other_kept == "float16":
                torch.testing.assert_close(other(x), y, rtol=0.05, atol=0.05)
            else:
                assert (other.crossbar.cells.table is None) == (other_kept == "full")
                assert kept == "float16" or torch.equal(other(x), y)
        full, _ = chip("full", seed=2, **how)
        mem.load_state_dict(full.state_dict())
        if kept == "codes":
            assert torch.equal(mem(x), full(x))


@pytest.mark.parametrize(
    "table",
    [
        [1e-5],
        [1e-5, 2e-5, 3e-5, 9e-5],
        [1e-9, 1.0001e-9, 1e-4],  # which no grid holds
        [0.0, 1e-5 / 3, 1e-5],
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_codes_of_any_table_give_the_conductances_back(table, dtype):
    values = torch.tensor(table, dtype=dtype)
    chosen = torch.randint(len(table), (3, 700, 300), generator=torch.Generator().manual_seed(0))
    g = values[chosen]
    found = packed(g, "codes", "it", "")
    assert torch.equal(found.unpacked(), g)
    assert found.values.dtype == torch.uint8


def test_training_and_diagnosis_leave_cells_as_they_are_kept():
    mem, x = chip("codes", nonidealities=[FAULTS])
    target = layer()(x).detach()
    mem.train()
    mem(x).square().sum().backward()
    with torch.no_grad():
        mem.weight.add_(0.01)
    mem(x).square().sum().backward()
    memcore.program(mem.eval())
    assert mem.crossbar.cells.programmed.dtype == torch.uint8
    budget = memcore.diagnose(mem, [(x, target)], lambda y, t: -float((y - t).square().mean()))
    assert [effect.name for effect in budget.effects] == ["stuck_at"]


def test_convolutions_and_more_values_than_a_first_look_finds():
    model, x = nn.Conv2d(16, 64, 5), torch.randn(2, 16, 9, 9)
    found = []
    for kept in ("full", "codes"):
        # A few cells that are stuck elsewhere, among many.
        rare = {"name": "stuck_at", "p_lrs": 1e-5, "p_hrs": 1e-5}
        config = CrossbarConfig(device=DEVICE, mapper=SLICES, cells=kept, nonidealities=[rare])
        with torch.no_grad():
            found.append(memcore.convert(model, config)(x))
    assert torch.equal(*found)


@pytest.mark.parametrize(
    ("kept", "how", "message"),
    [
        ("codes", {"mapper": "differential"}, "have more, by ReferenceDevice, Differential"),
        ("codes", {"nonidealities": ["d2d"]}, "d2d; expected cells with few states"),
        ("codes", {"nonidealities": ["rtn"]}, "with rtn, whose reads need every cell in full"),
        ("float16", {"nonidealities": ["nonlinear_iv"]}, "with nonlinear_iv, whose reads"),
        ("float16", {"device": ReferenceDevice(r_on=1e3, r_off=1e9)}, "at most 16384 times apart"),
        ("int4", {}, "cells='int4'; expected one of"),
    ],
)
def test_what_cannot_be_kept_in_fewer_bits_is_refused_with_its_cause(kept, how, message):
    with pytest.raises(ConfigError, match=message):
        chip(kept, **how)


def test_a_rewrite_that_does_not_fit_into_codes_changes_nothing():
    model = layer()
    with torch.no_grad():
        model.weight.sign_()
    mem, _ = chip("codes", model, mapper="differential", nonidealities=["drift"])
    memcore.age(mem.eval(), seconds=1e4)
    cells = mem.crossbar.cells
    held, seconds = mem.crossbar.conductance, mem.crossbar.seconds
    before = copy.deepcopy(cells.state_dict())
    with torch.no_grad():
        mem.weight.copy_(layer().weight)
    with pytest.raises(ConfigError, match="holds 256 different conductances"):
        memcore.program(mem)
    after = cells.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert mem.crossbar.seconds == seconds > 0
    assert torch.equal(mem.crossbar.conductance, held)


def test_cells_in_fewer_bits_are_not_trained_in_place():
    config = CrossbarConfig(device="soft_bounds", cells="float16")
    mem = memcore.convert(layer(), config)
    with pytest.raises(ConfigError, match="cells='full' to train in place"):
        memcore.optim.InSitu(mem, rule="sgd_pulsed", lr=0.1)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda g: g * torch.rand_like(g), "cells='codes' holds 256 different conductances"),
        (lambda g: -g, "has negative values"),
        (lambda g: g * torch.nan, "infinite"),
    ],
)
def test_a_state_that_cells_refuse_leaves_the_whole_layer_as_it_was(spoil, text):
    mem, x = chip("codes", nonidealities=[FAULTS])
    other, _ = chip("full", seed=1, nonidealities=[FAULTS])
    with torch.no_grad():
        other.weight.add_(1.0)
        y = mem(x)
    state = other.state_dict()
    name = "matrices.weight.crossbar.cells.programmed"
    state[name] = spoil(state[name])
    before = {name: value.clone() for name, value in mem.state_dict().items()}
    with pytest.raises(memcore.ConfigError, match=text):
        mem.load_state_dict(state)
    after = mem.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)
    with torch.no_grad():
        assert torch.equal(mem(x), y)
    mem.load_state_dict(other.state_dict())
    assert torch.equal(mem.weight, other.weight)


def test_half_precision_of_before_is_loaded_as_it_is():
    """It was kept as integers of 16 bits, which some backends of several processes refuse."""
    (half, x), (other, _) = chip("float16"), chip("float16", seed=1)
    state, name = half.state_dict(), "matrices.weight.crossbar.cells.programmed"
    assert state[name].dtype == torch.uint8
    before = {**state, name: state[name].view(torch.int16).squeeze(-1)}
    assert before[name].shape == half.crossbar.programmed.shape
    for kept in ("float16", "full"):
        other, _ = chip(kept, seed=1)
        other.load_state_dict(before)
        assert torch.equal(other.crossbar.programmed, half.crossbar.programmed)
        with torch.no_grad():
            torch.testing.assert_close(other(x), half(x))
