"""Numbers of reads: a training and an evaluation each have their own."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream
from memcore.optim import InSitu

pytestmark = [
    pytest.mark.filterwarnings("ignore::memcore.StaleCellsWarning"),
    pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses"),
]

NOISE = {"device": "ideal", "nonidealities": [{"name": "d2d", "std": 0.3}, "read_noise"]}
CONVERTERS = {"dac": "uniform", "adc": {"name": "uniform", "bits": 6}, "tile": (8, 8)}
#: Ways of a training to read with noise.
WAYS = {
    "what was programmed": {"training": "off"},
    "any chip": {"training": {"chip": "any"}},
    "this chip": {"training": {"chip": "this"}},
    "noise on outputs": {"training": {"output_noise": 0.05}},
    "cells at each read": {"training": {"anew": "read"}},
    "converters": {**CONVERTERS, "training": "off"},
    "a learned range": {**CONVERTERS, "training": {"input_range": {"batches": 2}}},
    "a learned output range": {**CONVERTERS, "training": {"output_range": {}}},
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def draws(*shape, name):
    return Stream(3).child(name).normal(shape)


X, TARGET = draws(10, 6, name="inputs"), draws(10, 4, name="targets")
OTHER = draws(7, 6, name="validation")


def linear():
    return nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4))


def converted(make=linear, **way):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        plain = make()
    config = CrossbarConfig(**{**NOISE, **way})
    asks = config.dac is not None or config.adc is not None
    return memcore.convert(plain, config, calibration=X if asks else None).train()


def validate(model):
    """What the network gives in evaluation."""
    model.eval()
    with torch.no_grad():
        y = model(OTHER)
    model.train()
    return y


def step(model, optimizer):
    optimizer.zero_grad()
    loss = (model(X) - TARGET).square().mean()
    loss.backward()
    optimizer.step()
    return loss.item()


def losses(model, optimizer, between=lambda model: None, steps=4):
    """Those of some steps, between which something is done."""
    found = []
    for _ in range(steps):
        found.append(step(model, optimizer))
        between(model)
    return found


def descent(model):
    return torch.optim.SGD(model.parameters(), lr=0.05)


@ways
def test_a_validation_between_steps_changes_no_bit_of_a_training(way):
    alone, validated = converted(**way), converted(**way)
    expected = losses(alone, descent(alone))
    assert losses(validated, descent(validated), validate) == expected
    assert validated[0].crossbar.reads > 0


@ways
def test_reads_in_training_mode_change_no_bit_of_an_evaluation(way):
    alone, trained = converted(**way), converted(**way)
    step(alone, descent(alone))  # ranges that training finds are those of its steps
    expected = [validate(alone) for _ in range(3)]
    step(trained, descent(trained))
    found = []
    for _ in range(3):
        found.append(validate(trained))
        trained(X)
    assert (found[0] != found[1]).any()
    if "input_range" not in str(way):  # which the pass in training mode has found further
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))


def test_no_read_in_evaluation_has_the_noise_of_one_in_training():
    mem = converted(training="off")
    first = [mem(OTHER) for _ in range(3)]
    assert not any(torch.equal(validate(mem), each) for each in first)


class Frozen(nn.Module):
    """A base that is not trained, and beside it what corrects its outputs."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(6, 4).requires_grad_(False)
        self.down, self.up = nn.Linear(6, 2, bias=False), nn.Linear(2, 4, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


@pytest.mark.parametrize("training", ["off", {"chip": "any"}])
def test_frozen_weights_are_read_as_those_that_are_trained(training):
    alone, validated = (converted(Frozen, training=training) for _ in range(2))
    assert losses(validated, descent(validated), validate) == losses(alone, descent(alone))


class Last(nn.Module):
    """The last output of a recurrent layer, whose matrices are read at each time."""

    def __init__(self):
        super().__init__()
        self.layer = nn.LSTM(2, 4, batch_first=True)

    def forward(self, x):
        return self.layer(x.view(len(x), 3, 2))[0][:, -1]


def calibrated_again(model):
    memcore.calibrate(model, X)


@pytest.mark.parametrize("make", [linear, Last])
def test_ranges_that_are_found_between_steps_are_those_without_a_validation(make):
    config = {**CONVERTERS, "training": "off"}
    alone, validated = converted(make, **config), converted(make, **config)
    expected = losses(alone, descent(alone), calibrated_again)

    def both(model):
        validate(model)
        calibrated_again(model)

    assert losses(validated, descent(validated), both) == expected


def test_a_layer_without_converters_draws_in_a_calibration_what_it_would_without_a_validation():
    plain = CrossbarConfig(**NOISE, training="off")
    each = {"0": plain, "2": plain.replace(**CONVERTERS)}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = linear()
    alone, validated = (memcore.convert(model, each, calibration=X) for _ in range(2))
    validate(validated)
    for mem in (alone, validated):
        memcore.calibrate(mem, X)
    for port in ("input", "output"):
        found, expected = (getattr(mem[2].crossbar, port).range for mem in (validated, alone))
        assert torch.equal(found, expected)
    assert (validated[0].crossbar.reads, alone[0].crossbar.reads) == (len(OTHER), 0)


def in_place(rule, **options):
    device = {"name": "soft_bounds", "dw_min": 0.005, "c2c": 0.1}
    pair = memcore.updates[rule].pair
    mapper = "differential" if pair == "one_sided" else "offset"
    noise = {"device": device, "nonidealities": ["read_noise"], "mapper": mapper}
    mem = converted(lambda: nn.Linear(6, 4), programmer="direct", training="off", **noise)
    return mem, InSitu(mem, rule={"name": rule, **options}, lr=0.1)


@pytest.mark.parametrize("rule", sorted(memcore.updates))
def test_a_validation_changes_no_bit_of_a_training_in_place(rule):
    (alone, first), (validated, second) = in_place(rule), in_place(rule)
    assert losses(validated, second, validate) == losses(alone, first)
    assert torch.equal(validated.crossbar.programmed, alone.crossbar.programmed)


def test_a_validation_reads_no_array_of_a_training_with_the_numbers_of_its_steps():
    mem, optimizer = in_place("residual")
    step(mem, optimizer)
    arrays = mem.matrix.crossbars
    before = [int(each.training_reads) for each in arrays]
    validate(mem)
    assert len(arrays) > 1
    assert [int(each.training_reads) for each in arrays] == before
    assert [int(each.reads) for each in arrays] == [len(OTHER)] * len(arrays)


def reloaded(mem):
    file = io.BytesIO()
    torch.save(mem.state_dict(), file)
    file.seek(0)
    other = converted(**WAYS["this chip"])
    other.load_state_dict(torch.load(file))
    return other


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda mem: pickle.loads(pickle.dumps(mem)), reloaded]
)
def test_both_counts_go_on_where_they_were(again):
    mem = converted(**WAYS["this chip"])
    losses(mem, descent(mem), validate, 2)
    other = again(mem)
    assert losses(other, descent(other), validate) == losses(mem, descent(mem), validate)
    assert torch.equal(validate(other), validate(mem))


def test_a_state_of_before_has_no_count_of_a_training_and_is_taken():
    mem, other = converted(**WAYS["this chip"]), converted(**WAYS["this chip"])
    losses(mem, descent(mem), validate)
    state = {key: each for key, each in mem.state_dict().items() if "training_reads" not in key}
    other.load_state_dict(state)
    assert other[0].crossbar.training_reads == 0
    assert torch.equal(validate(other), validate(mem))


def test_a_state_of_before_of_a_training_in_place_is_taken():
    (mem, optimizer), (other, second) = in_place("residual"), in_place("residual")
    losses(mem, optimizer, steps=2)
    state = optimizer.state_dict()
    arrays = state["in_situ"]
    state["in_situ"] = {key: each for key, each in arrays.items() if "training_reads" not in key}
    assert len(state["in_situ"]) < len(arrays)
    other.load_state_dict(mem.state_dict())
    second.load_state_dict(state)
    assert [int(each.training_reads) for each in other.matrix.crossbars[1:]] == [0]
    assert torch.equal(validate(other), validate(mem))
