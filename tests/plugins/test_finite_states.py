import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memcore import ArrayInfo, ConfigError, Context, LogNormal, Stream, devices, nonidealities

FiniteStates = nonidealities["finite_states"]
QUANTITY = st.sampled_from(["conductance", "resistance"])


def levels_of(states, uniform_in):
    """What the levels should be, from the definition."""
    ends = torch.tensor([1e-6, 1e-4], dtype=torch.float64)
    if uniform_in == "conductance":
        return torch.linspace(*ends.tolist(), states, dtype=torch.float64)
    return 1 / torch.linspace(*(1 / ends).tolist(), states, dtype=torch.float64)


def bound(states, uniform_in, device=None, shape=(1, 1, 1)):
    device = device or devices["ideal"](r_on=1e4, r_off=1e6)
    ctx = Context(random=Stream(0))
    array = ArrayInfo(
        **dict(zip(("arrays", "rows", "cols"), shape, strict=True)),
        device=device.sample(shape, ctx),
        nominal=device.nominal(),
    )
    return FiniteStates(states=states, uniform_in=uniform_in).bind(array, ctx), array


@given(st.integers(2, 40), QUANTITY, st.floats(1e-6, 1e-4))
def test_a_cell_takes_the_nearest_level(states, uniform_in, g):
    found = bound(states, uniform_in)[0](torch.tensor([g], dtype=torch.float64))
    levels = levels_of(states, uniform_in)
    measure = (lambda x: 1 / x) if uniform_in == "resistance" else (lambda x: x)
    distance = (measure(levels) - measure(torch.tensor(g).double())).abs()
    step = (measure(levels[0]) - measure(levels[1])).abs()
    assert (
        measure(found) - measure(torch.tensor(g).double())
    ).abs() <= distance.min() + 1e-5 * step
    assert (found / levels - 1).abs().min() < 1e-5


@given(st.integers(2, 40), QUANTITY)
def test_there_are_as_many_levels_as_asked_both_ends_included(states, uniform_in):
    sweep = 1 / torch.linspace(1e4, 1e6, 20_000, dtype=torch.float64)
    sweep = torch.cat((sweep, torch.linspace(1e-6, 1e-4, 20_000, dtype=torch.float64)))
    found = bound(states, uniform_in)[0](sweep).float().unique()
    assert len(found) == states
    torch.testing.assert_close(
        found.double(), levels_of(states, uniform_in).sort()[0], rtol=1e-5, atol=0
    )


@given(st.integers(2, 300), QUANTITY)
def test_a_state_is_a_state(states, uniform_in):
    form, _ = bound(states, uniform_in)
    once = form(torch.linspace(1e-6, 1e-4, 500, dtype=torch.float64))
    torch.testing.assert_close(form(once), once, rtol=1e-6, atol=0)


def test_it_acts():
    g = torch.linspace(1e-6, 1e-4, 101)
    assert not torch.equal(bound(16, "conductance")[0](g), g)


def test_each_cell_has_levels_over_its_own_window():
    device = devices["ideal"](r_on=LogNormal(1e4, 0.2), r_off=LogNormal(1e6, 0.2))
    form, array = bound(3, "conductance", device, (2, 5, 5))
    low, high = array.device.conductance_range()
    for share, level in ((0.1, low), (0.5, (low + high) / 2), (0.9, high), (9.0, high)):
        torch.testing.assert_close(form(low + share * (high - low)), level)


def test_a_window_without_width_has_one_level():
    same = 5e-5 * torch.ones(1, 2, 2)

    class Flat:
        def conductance_range(self):
            return same, same

    array = ArrayInfo(arrays=1, rows=2, cols=2, device=Flat(), nominal=Flat())
    form = FiniteStates(states=4).bind(array, Context(random=Stream(0)))
    assert torch.equal(form(torch.tensor(8e-5)), same)


@pytest.mark.parametrize("states", [1, 0, -3, 2.5])
def test_fewer_than_two_states_are_refused(states):
    with pytest.raises(ConfigError, match="expected an integer >= 2"):
        FiniteStates(states=states)


def test_an_unknown_quantity_is_refused():
    with pytest.raises(ConfigError, match="uniform_in='log'"):
        FiniteStates(uniform_in="log")
