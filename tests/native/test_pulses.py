"""Pulses of a training in place by kernels: against their references, and counted by hand."""

import dataclasses

import pytest
import torch

import memcore
from memcore import Context, Normal, Stream, native
from memcore.crossbar.tiling import Tiling
from memcore.dynamics.pulses import PulseKernels, both_ways
from memcore.ops import coincidences
from memcore.ops.coincidences import Lines
from memcore.ops.pulse_order import Arrays, Draw, first_of, ordered

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

#: Vectors, groups, inputs, outputs, and the longest train.
SIZES = [
    (1, 1, 1, 1, 1),
    (5, 1, 6, 4, 31),
    (3, 2, 5, 17, 40),
    (64, 1, 70, 130, 3),
    (2, 3, 33, 7, 97),
]


def lines(n, groups, count, name):
    stream = Stream(3).child(name)
    signed = 2 * stream.uniform((n, groups, count)) - 1
    certain = stream.child("certain").uniform(signed.shape) < 0.1
    return Lines(torch.where(certain, signed.sign(), signed), stream.child("draws").key)


def lengths(n, groups, longest):
    drawn = Stream(4).uniform((n, groups)) * (longest + 1)
    drawn[0, 0] = longest
    return drawn.floor()


@pytest.mark.parametrize("size", SIZES)
def test_coincidences_are_those_of_the_reference(size):
    n, groups, inputs, outputs, longest = size
    sides = lines(n, groups, inputs, "x"), lines(n, groups, outputs, "d")
    length = lengths(n, groups, longest)
    found = coincidences.coincidences(*sides, length, 7)
    expected = coincidences._reference(*sides, length, 7)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    assert found[0].sum() + found[1].sum() > 0


@pytest.mark.parametrize("slots", [1, 31, 32, 992, 993, 3100])
def test_lines_that_always_fire_coincide_in_every_slot(slots):
    x, d = torch.ones(1, 1, 6), torch.ones(1, 1, 21)
    x[..., ::2], d[..., ::3] = -1, -1
    sides = Lines(x, 1), Lines(d, 2)
    up, down = coincidences.coincidences(*sides, torch.full((1, 1), float(slots)), 0)
    lowers = (d[0].mT * x[0] > 0).unsqueeze(0)
    assert torch.equal(down, lowers * float(slots))
    assert torch.equal(up, ~lowers * float(slots))


def test_coincidences_are_those_that_are_counted_by_hand():
    """Slot by slot, line by line: a pulse where both draws are below their probabilities."""
    n, groups, inputs, outputs, longest = 4, 2, 3, 5, 6
    x, d = lines(n, groups, inputs, "x"), lines(n, groups, outputs, "d")
    length = lengths(n, groups, longest)
    up, down = torch.zeros(groups, outputs, inputs), torch.zeros(groups, outputs, inputs)
    for vector in range(n):
        of_x = Stream(3).child("x", "draws").at(torch.tensor([20 + vector]))
        of_d = Stream(3).child("d", "draws").at(torch.tensor([20 + vector]))
        assert (of_x.key, of_d.key) == (x.key, d.key)
        u = of_x.uniform((longest, groups, inputs))[0]
        v = of_d.uniform((longest, groups, outputs))[0]
        for g in range(groups):
            for slot in range(int(length[vector, g])):
                for i in range(inputs):
                    for o in range(outputs):
                        p, q = x.probability[vector, g, i], d.probability[vector, g, o]
                        if u[slot, g, i] < abs(p) and v[slot, g, o] < abs(q):
                            (up if p * q < 0 else down)[g, o, i] += 1
    found = coincidences.coincidences(x, d, length, 20)
    assert torch.equal(found[0], up)
    assert torch.equal(found[1], down)


def test_the_mean_and_the_variance_of_counts_are_binomial():
    n, length = 4000, 12
    p, q = torch.tensor([0.9, -0.3, 0.05]), torch.tensor([0.5, -0.2])
    totals = []
    for first in range(0, 20 * n, n):
        sides = Lines(p.expand(n, 1, 3).contiguous(), 5), Lines(q.expand(n, 1, 2).contiguous(), 6)
        totals.append(coincidences.coincidences(*sides, torch.full((n, 1), 12.0), first))
    up, down = (torch.stack(each).double() / n for each in zip(*totals, strict=True))
    both = torch.outer(q.abs(), p.abs()).double()
    mean, variance = length * both, length * both * (1 - both)
    error = 4 * (variance / (20 * n)).sqrt() + 1e-9
    raises = torch.outer(q, p) < 0
    assert (((up + down).mean(0)[0] - mean).abs() <= error).all()
    assert (up.sum(0)[0][~raises] == 0).all()
    assert (down.sum(0)[0][raises] == 0).all()
    of_mean = (up + down)[:, 0].var(0) * n / variance
    assert ((of_mean - 1).abs() < 4 * (2 / 19) ** 0.5).all()


def numbers(rows, cols, most=4):
    """Pulses up and down, none in about half of the cells."""
    return tuple(
        ((2 * Stream(6).child(name).uniform((rows, cols)) - 1) * (most + 1)).floor().clamp(min=0)
        for name in ("up", "down")
    )


#: Groups, rows and columns of matrices, and rows, columns and spare ones of arrays.
LAYOUTS = [
    (1, 1, 1, (1, 1, 0)),
    (1, 9, 5, (9, 5, 1)),
    (2, 40, 64, (16, 30, 2)),
    (1, 20, 70, (8, 70, 3)),
]


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize(("groups", "rows", "cols", "array"), LAYOUTS)
def test_the_order_of_pulses_is_that_of_the_reference(groups, rows, cols, array, opposite):
    up, down = (each.view(groups, rows, cols) for each in numbers(groups * rows, cols))
    height, width, spare = array
    tiling = Tiling(groups, rows, cols, (False,), (height, width + spare), spare=spare)
    g = Stream(7).uniform((tiling.arrays * height, width + spare)) + 0.5
    lines = slice(len(g) // 3, len(g))
    out = tuple(torch.full((lines.stop - lines.start, width + spare), 9.0) for _ in range(2))
    arrays = Arrays(rows, cols, height, width + spare, width)
    sums = ordered((up, down), g[lines], arrays, Draw(11, 3), lines, opposite=opposite, out=out)
    first = first_of(up, down, Draw(11, 3))
    laid = [
        (tiling.split([-each if opposite else each], 0.0)).view(len(g), -1)[lines]
        for each in (first, up - down - first, up, down)
    ]
    for one, other in zip(out, laid, strict=False):
        assert torch.equal(one, other)
    pulses = [each.abs() for each in laid[2:]]
    assert sums.pulses == sum(pulses).sum()
    assert sums.both == ((pulses[0] > 0) & (pulses[1] > 0)).sum()
    conducted = [(g[lines] * each).sum().item() for each in pulses]
    found = (sums.resets, sums.sets) if opposite else (sums.sets, sums.resets)
    assert found == pytest.approx(conducted, rel=1e-5)


def test_opposite_pulses_are_not_subtracted_and_either_direction_comes_first_as_often():
    up, down = numbers(200, 200)
    first = first_of(up, down, Draw(1, 0))
    second, both = up - down - first, (up > 0) & (down > 0)
    assert (first[both] * second[both] < 0).all()
    assert torch.equal(first.abs() + second.abs(), up + down)
    assert (second[~both] == 0).all()
    share, count = (first[both] > 0).float().mean().item(), int(both.sum())
    assert abs(share - 0.5) < 4 * 0.5 / count**0.5


NAMES = (
    "constant_step",
    "linear_step",
    "soft_bounds",
    "exp_step",
    "pow_step",
    "piecewise_step",
    "neurosim",
    "tabular",
)
#: What makes the pulses of a device noisy, where it has it.
NOISES = {
    "quiet": {"c2c": 0.0},
    "noisy": {"c2c": 0.2},
    "very noisy": {"c2c": 0.8},
    "multiplicative": {"c2c": 0.2, "noise": "multiplicative"},
    "per_update": {"c2c": 0.2, "noise": "per_update"},
    "several": {
        "ltp": ((1e-5, 3e-5, 4e-5, 5e-5), (1e-5, 2e-5, 4e-5, 6e-5)),
        "ltd": ((5e-5, 3e-5, 2e-5, 1e-5), (6e-5, 3e-5, 2e-5, 1e-5)),
    },
    "measured": {"std_set": (2e-6, 1e-6), "std_reset": (1e-6,)},
}


def has(name, settings):
    try:
        memcore.devices[name](**settings)
    except memcore.MemcoreError:
        return False
    return True


CASES = [
    (name, noise)
    for name in NAMES
    for noise, settings in NOISES.items()
    if settings.keys() <= {f.name for f in dataclasses.fields(memcore.devices[name])}
    and has(name, settings)
]


def sampled(name, settings, cells):
    fields = {field.name for field in dataclasses.fields(memcore.devices[name])}
    spread = {"gain": Normal(1.0, 0.2, min=0.2, max=2.0)} if "gain" in fields else {}
    device = memcore.devices[name](**settings, **spread)
    return device.sample(cells, Context(random=Stream(2).child("device")))


def moved(name, settings, counts, pieces):
    """States and conductances after pulses, by kernels and by torch."""
    cells, ctx = tuple(counts[0].shape), Context(random=Stream(2).child("pulses"))
    device = sampled(name, settings, cells)
    low, high = device.conductance_range()
    share = Stream(2).child("start").uniform(cells)
    state = device.state_of((low + (high - low) * share).float())  # tables are in double precision
    most = max(float(each.abs().max()) for each in counts)
    kernel = PulseKernels(device, cells).kernel(most, ctx)
    assert kernel is not None, f"{name} has no kernel"
    found = torch.cat([state, counts[1].unsqueeze(0)])
    for rows in pieces:
        piece = found[:, rows].contiguous()
        first = counts[0][rows].unsqueeze(0).contiguous()
        kernel([*piece], [*piece], first, first_step=5, first_cell=rows.start * cells[1])
        found[:, rows] = piece
    at = dataclasses.replace(ctx, random=ctx.random.of_step(5))
    expected = both_ways(device, state, counts, most, at)
    return found, torch.cat([expected, device.conductance(expected).unsqueeze(0)])


@pytest.mark.parametrize("most", [1, 3, 40])
@pytest.mark.parametrize(("name", "noise"), CASES)
def test_kernels_move_cells_as_the_device_does(name, noise, most):
    counts = tuple(
        ((2 * Stream(8).child(each).uniform((24, 20)) - 1) * (most + 1)).trunc()
        for each in ("first", "second")
    )
    found, expected = moved(name, NOISES[noise], counts, [slice(0, 24)])
    wide = expected[-1].max() - expected[-1].min()
    torch.testing.assert_close(found[:-1], expected[:-1], rtol=0, atol=3e-5)
    torch.testing.assert_close(found[-1], expected[-1], rtol=0, atol=float(3e-5 * wide))
    in_pieces, _ = moved(name, NOISES[noise], counts, [slice(0, 8), slice(8, 24)])
    assert torch.equal(in_pieces, found)


@pytest.mark.parametrize("name", NAMES)
def test_many_pulses_by_a_kernel_are_single_ones(name):
    ones, zeros = torch.ones(8, 5), torch.zeros(8, 5)
    device = memcore.devices[name](c2c=0.0).sample((8, 5), Context(random=Stream(0)))
    kernels, ctx = PulseKernels(device, (8, 5)), Context(random=Stream(0))
    low, high = device.conductance_range()
    state = device.state_of(torch.linspace(0, 1, 40).view(8, 5) * (high - low) + low)
    for sign in (1, -1):
        at_once = torch.cat([state, zeros.unsqueeze(0)])
        kernels.kernel(60, ctx)([*at_once], [*at_once], 60 * sign * ones.unsqueeze(0))
        singly = torch.cat([state, zeros.unsqueeze(0)])
        for _ in range(60):
            kernels.kernel(1, ctx)([*singly], [*singly], sign * ones.unsqueeze(0))
        torch.testing.assert_close(at_once, singly, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("name", "noise"), CASES)
def test_cells_move_alike_whoever_else_takes_pulses(name, noise):
    """To the bit: where few of many cells take a pulse, kernels compute for these, else for all."""
    cells, ctx = (48, 40), Context(random=Stream(2))
    device = sampled(name, NOISES[noise], cells)
    low, high = device.conductance_range()
    share = Stream(2).child("start").uniform(cells)
    state = device.state_of((low + (high - low) * share).float())
    kernel = PulseKernels(device, cells).kernel(12, ctx)
    for share in (0.0, 0.03, 0.3, 0.9):
        first, second = (
            (Stream(8).child(each).uniform(cells) < share)
            * ((2 * Stream(9).child(each).uniform(cells) - 1) * 13).trunc()
            for each in ("first", "second")
        )
        found = []
        for height in (48, 1):  # 40 cells at once are too few to be told apart
            cell = torch.cat([state, second.unsqueeze(0)])
            for row in range(0, 48, height):
                x = [each[row : row + height] for each in cell]
                kernel(x, x, first[None, row : row + height], first_step=3, first_cell=row * 40)
            found.append(cell)
        assert torch.equal(*found)
        resting = (first == 0) & (second == 0)
        assert torch.equal(found[0][:-1, resting], state[:, resting])


def test_states_of_another_precision_are_refused_by_a_kernel_that_would_misread_them():
    device = sampled("constant_step", {"c2c": 0.0}, (3, 4))
    kernel = PulseKernels(device, (3, 4)).kernel(1, Context(random=Stream(0)))
    cell, pulses = torch.zeros(2, 3, 4, dtype=torch.float64), torch.ones(1, 3, 4)
    with pytest.raises(memcore.MemcoreError, match=r"kernel of torch\.float32 was given"):
        kernel([*cell], [*cell], pulses)


def test_tables_have_kernels_of_the_cpu_alone():
    kernels, ctx = PulseKernels(sampled("tabular", {}, (3, 4)), (3, 4)), Context(random=Stream(0))
    assert kernels.kernel(3, ctx) is not None
    assert kernels.on_gpu(3, ctx, torch.device("cpu")) is None


def one_by_one(device, w, count):
    """Positions in double precision after `count` pulses, each computed for itself."""
    low, high = (torch.as_tensor(end, dtype=torch.float64) for end in device.ends)
    up = count > 0
    for pulse in range(int(count.abs().max())):
        after = torch.clamp(w + device.change(w, up), low, high)
        w = torch.where(pulse < count.abs(), after, w)
    return w


@pytest.mark.parametrize("name", NAMES)
def test_any_number_of_pulses_leads_where_single_ones_do_in_double_precision(name):
    cells, ctx = (30, 40), Context(random=Stream(0))
    device = memcore.devices[name](c2c=0.0).sample(cells, ctx)
    low, high = device.conductance_range()
    x = device.state_of(low + (high - low) * Stream(3).uniform(cells))
    counts = [
        ((2 * Stream(4).child(way).uniform(cells) - 1) * Stream(5).uniform(cells) * 70).trunc()
        for way in ("first", "second")
    ]
    found = torch.cat([x, counts[1].unsqueeze(0)])
    kernel = PulseKernels(device, cells).kernel(70, ctx)
    kernel([*found], [*found], counts[0].unsqueeze(0).contiguous())
    bottom, top = device.ends
    w = bottom + (top - bottom) * x[0].double()
    for count in counts:
        w = one_by_one(device, w, count)
    expected = (w - bottom) / (top - bottom)
    torch.testing.assert_close(found[0].double(), expected, rtol=0, atol=2e-5)


#: Noise of pulses and how it adds up, of devices whose steps are cut into parts differently.
SPREAD = {
    "exp_step": {"c2c": 0.3},
    "pow_step": {"c2c": 0.3, "dw_min": 0.002},
    "piecewise_step": {"c2c": 0.3, "dw_min": 0.002},
    "neurosim": {"c2c": 0.01},
    "tabular": {"std_set": (2e-6,), "std_reset": (2e-6,)},
}


@pytest.mark.parametrize("name", SPREAD)
def test_noisy_pulses_spread_as_single_ones_in_double_precision(name):
    """Mean and deviation of 12 pulses, drawn one by one with noise that is no stream of ours."""
    cells, n, ctx = (100, 200), 12, Context(random=Stream(0))
    device = memcore.devices[name](**SPREAD[name]).sample(cells, ctx)
    low, high = device.nominal_range()
    x = device.state_of(torch.full(cells, low + 0.4 * (high - low)))
    found = torch.cat([x, torch.zeros(1, *cells)])
    PulseKernels(device, cells).kernel(n, ctx)([*found], [*found], torch.full((1, *cells), n * 1.0))
    bottom, top = device.ends
    w = bottom + (top - bottom) * x[0].double()
    up, draws = torch.ones(cells, dtype=torch.bool), torch.Generator().manual_seed(1)
    for _ in range(n):
        step = device.change(w, up)
        size = device.spread(w, up) if device.additive else device.c2c * step
        noise = torch.randn(cells, generator=draws, dtype=torch.float64)
        w = torch.clamp(w + step + size * noise, bottom, top)
    expected = (w - bottom) / (top - bottom)
    error = expected.std() * (2 / expected.numel()) ** 0.5
    assert abs(found[0].double().mean() - expected.mean()) < 5 * error
    assert found[0].double().std() == pytest.approx(float(expected.std()), rel=0.03)
