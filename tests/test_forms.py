import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcore import Affine, Gaussian, Lookup, Stream, UniformLevels

X = torch.linspace(-2, 2, 41)


def test_affine_is_a_line():
    assert torch.equal(Affine(2.0, 1.0)(X), 2 * X + 1)
    assert torch.equal(Affine()(X), X)


def test_gaussian_has_the_variance_it_states():
    form = Gaussian(std=3e-6, relative=0.1)
    g = torch.tensor([[0.0, 1e-5, 4e-5, 1e-4]])
    noise = form(g, Stream(0).at(torch.arange(100_000))).double() - g.double()
    sigma2 = torch.tensor([9e-12, 9e-12 + 1e-12, 9e-12 + 16e-12, 9e-12 + 1e-10]).double()
    torch.testing.assert_close(form.variance(g)[0].double(), sigma2, rtol=1e-5, atol=0)
    assert (abs(noise.mean(0)) < 4 * (sigma2 / 1e5).sqrt()).all()
    assert (abs(noise.var(0) / sigma2 - 1) < 4 * (2 / 1e5) ** 0.5).all()


def test_silent_gaussian_is_the_identity():
    x = X.view(1, -1)
    assert torch.equal(Gaussian()(x, Stream(0).at(torch.arange(3))), x.expand(3, -1))


@given(st.floats(-10, 10))
def test_uniform_levels_round_to_the_nearest_and_saturate(value):
    x = torch.tensor([value])
    level = UniformLevels(0.5, -7, 7)(x)
    assert abs(level) <= 3.5
    assert abs(level - x) <= 0.25 or (abs(x) > 3.5 and abs(level) == 3.5)
    assert torch.equal(UniformLevels(0.5, -7, 7)(level), level)


def test_lookup_takes_the_value_between_its_edges():
    form = Lookup(torch.tensor([-1.0, 1.0]), torch.tensor([-5.0, 0.0, 5.0]))
    assert form(torch.tensor([-3.0, 0.0, 0.5, 2.0])).tolist() == [-5.0, 0.0, 0.0, 5.0]


def test_lookup_wants_one_value_more_than_edges():
    with pytest.raises(ValueError, match="2 values for 2 edges; expected one value more"):
        Lookup(torch.zeros(2), torch.zeros(2))


@pytest.mark.parametrize(
    ("form", "gradient"),
    [
        (Affine(2.0), torch.full((41,), 2.0)),
        (UniformLevels(0.5, -2, 2), (X.abs() <= 1).float()),
        (Lookup(torch.tensor([0.0]), torch.tensor([-1.0, 1.0])), torch.ones(41)),
    ],
)
def test_gradients_pass_the_steps(form, gradient):
    x = X.clone().requires_grad_()
    form(x).sum().backward()
    assert torch.equal(x.grad, gradient)


@pytest.mark.parametrize(
    "form",
    [
        Affine(torch.ones(3), 0.5),
        Gaussian(torch.ones(3)),
        UniformLevels(1.0, -1, 1),
        Lookup(torch.zeros(1), torch.zeros(2)),
    ],
)
def test_forms_follow_to_and_travel_in_a_state_dict(form):
    moved = copy.deepcopy(form).to("meta")
    assert all(buffer.is_meta for buffer in moved.buffers())
    assert {buffer.dtype for buffer in copy.deepcopy(form).double().buffers()} == {torch.float64}
    state = form.state_dict()
    assert state
    blank = copy.deepcopy(form)
    for buffer in blank.buffers():
        buffer.fill_(9.0)
    blank.load_state_dict(state)
    assert all(torch.equal(blank.get_buffer(name), value) for name, value in state.items())


def test_levels_are_looked_up_without_a_warning_whatever_lies_in_memory():
    import warnings

    form = Lookup(torch.tensor([0.0]), torch.tensor([-1.0, 1.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert form(torch.tensor([[0.5, -0.5], [0.1, 0.2]]).t()).tolist() == [[1, 1], [-1, 1]]
