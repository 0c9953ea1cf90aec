import pytest
import torch

import memcore
from memcore import ConfigError, LogNormal, nonidealities

StuckAt = nonidealities["stuck_at"]
SHAPE = (4, 200, 250)
G = torch.full(SHAPE, 3e-5)


def test_shares_are_those_asked_for_and_no_cell_fails_twice(arrays, ctx):
    shares = {1e-4: 0.0175, 1e-6: 0.0904, 7e-5: 0.01}
    effect = StuckAt(p_lrs=0.0175, p_hrs=0.0904, p_other=0.01, conductance=7e-5)
    g = effect.bind(arrays(shape=SHAPE), ctx)(G)
    for level, p in shares.items():
        found = torch.isclose(g, torch.tensor(level)).double().mean()
        assert abs(found - p) < 4 * (p * (1 - p) / G.numel()) ** 0.5
    assert torch.isclose(g, torch.tensor([*shares, 3e-5]).view(4, 1, 1, 1)).any(0).all()


def test_a_higher_share_only_adds_stuck_cells(arrays, ctx):
    array = arrays()
    few, many = (
        StuckAt(p_lrs=p).bind(array, ctx)(torch.zeros(array.shape)) > 0 for p in (0.1, 0.2)
    )
    assert few.any()
    assert (many & few).sum() == few.sum()
    assert many.sum() > few.sum()


def test_all_cells_can_be_stuck_or_none(arrays, ctx):
    array = arrays()
    g = torch.full(array.shape, 3e-5)
    torch.testing.assert_close(StuckAt(p_lrs=1.0).bind(array, ctx)(g), torch.full_like(g, 1e-4))
    torch.testing.assert_close(StuckAt(p_hrs=1.0).bind(array, ctx)(g), torch.full_like(g, 1e-6))
    assert torch.equal(StuckAt().bind(array, ctx)(g), g)


def test_cells_are_stuck_at_the_ends_of_their_own_windows(arrays, ctx):
    array = arrays(r_on=LogNormal(1e4, 0.3))
    stuck = StuckAt(p_lrs=1.0).bind(array, ctx)(torch.full(array.shape, 3e-5))
    torch.testing.assert_close(stuck, array.device.conductance_range()[1])


def test_the_same_cells_are_stuck_after_every_write(arrays, ctx):
    array = arrays()
    g = torch.full(array.shape, 3e-5)
    writes = [memcore.Context(random=ctx.random, writes=n) for n in range(3)]
    first, *others = (StuckAt(p_lrs=0.3).bind(array, c)(g) for c in writes)
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("order", [["stuck_at", "finite_states"], ["finite_states", "stuck_at"]])
def test_finite_states_leave_stuck_cells_at_their_ends(order, arrays, ctx):
    array = arrays(r_on=LogNormal(1e4, 0.2), r_off=LogNormal(1e6, 0.2))
    effects = {
        "stuck_at": StuckAt(p_lrs=0.2, p_hrs=0.2).bind(array, ctx),
        "finite_states": nonidealities["finite_states"](states=4).bind(array, ctx),
    }
    low, high = array.device.conductance_range()
    g = before = 0.4 * (low + high)
    for name in order:
        g = effects[name](g)
    stuck = effects["stuck_at"](before) != before
    assert 0.3 < stuck.float().mean() < 0.5
    assert torch.isclose(g[stuck], torch.stack((low, high))[:, stuck]).any(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_is_kept(arrays, ctx, dtype):
    array = arrays()
    assert StuckAt(p_lrs=0.5).bind(array, ctx)(torch.zeros(array.shape, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"p_lrs": -0.1}, r"p_lrs=-0\.1; expected a finite number in \[0, 1\]"),
        ({"p_lrs": 0.6, "p_hrs": 0.6}, "add up to at most 1"),
        ({"p_other": 0.1}, "conductance=None with p_other=0.1"),
    ],
)
def test_impossible_shares_are_refused(parameters, text):
    with pytest.raises(ConfigError, match=text):
        StuckAt(**parameters)
