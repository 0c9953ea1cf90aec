"""`InSitu.report()` against a count by hand, from the cells before a step and after it."""

import pytest
import torch
from torch import nn

import memcore
from memcore.optim import InSitu

STEP = 1e-7  #: S, of dw_min = 0.01 weights of 10 uS each
SET, RESET = (2.0, 1e-6), (-1.5, 3e-6)
DEVICE = {
    "name": "constant_step",
    "dw_min": 0.01,
    **dict(zip(("v_set", "t_set"), SET, strict=True)),
    **dict(zip(("v_reset", "t_reset"), RESET, strict=True)),
}


@pytest.mark.parametrize(
    ("mapper", "pair", "order", "vectors"),
    [
        ("differential", None, "grouped", 1),
        ("differential", None, "exact", 1),
        ("differential", None, "net", 4),  # pulses up and down of one weight are subtracted
        ("differential", "one_sided", "grouped", 1),
        ("offset", None, "grouped", 1),
    ],
)
@pytest.mark.filterwarnings("ignore:programmer='direct' sends no pulses")
def test_a_report_is_what_is_counted_by_hand(mapper, pair, order, vectors):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    model = memcore.convert(layer, memcore.CrossbarConfig(device=DEVICE, mapper=mapper))
    optimizer = InSitu(model, rule="sgd_pulsed", lr=0.5, pair=pair, order=order)
    cells = model.crossbar.cells
    before = cells.held.double().flatten()
    ((model(torch.randn(vectors, 3)) - torch.randn(vectors, 2)) ** 2).sum().backward()
    optimizer.step()
    moved = (cells.held.double().flatten() - before) / STEP
    count = moved.round()
    assert count.abs().sum() > 50
    torch.testing.assert_close(moved, count, rtol=0, atol=1e-3)  # whole pulses, none at a bound
    (matrix,) = optimizer.report().matrices
    assert matrix.pulses == int(count.abs().sum())
    # Each slot of a train has one pulse of each kind, or two towards SET.
    slots = matrix.figures["slots"] * vectors
    duration = 2 * SET[1] if pair == "one_sided" else SET[1] + RESET[1]
    assert matrix.time == pytest.approx(slots * duration, rel=1e-6)
    # A way over the window is 200 steps, a cycle two ways.
    cycles = float(count.abs().sum()) / (2 * 200) / len(count)
    assert matrix.cycles == pytest.approx(cycles, rel=1e-4)
    assert float(cells.clock.segments[:, 2].sum()) == pytest.approx(1 + cycles, rel=1e-4)
    # J of one pulse over its conductance, times that before the pulses that come at once.
    per_siemens = torch.where(count > 0, SET[0] ** 2 * SET[1], RESET[0] ** 2 * RESET[1])
    energy = float((per_siemens * count.abs() * before).sum())
    assert matrix.energy == pytest.approx(energy, rel=1e-5)
    # Pulse by pulse, the conductance is on average half of the way further: some per cent here.
    each = float((per_siemens * count.abs() * (before + (count - count.sign()) * STEP / 2)).sum())
    assert matrix.energy == pytest.approx(each, rel=0.05)
