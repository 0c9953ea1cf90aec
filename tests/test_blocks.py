"""Cells in blocks hold what cells at once hold, to the bit."""

import pytest
import torch

import memcore
from memcore import CrossbarConfig, LogNormal, Normal, Stream
from memcore.crossbar import blocks

SPREAD = {"r_on": Normal(50.0, 10.0, min=30.0), "r_off": Normal(1e3, 20.0, min=1.0)}
STUCK = {"name": "stuck_at", "p_lrs": 0.1, "p_hrs": 0.05, "p_other": 0.1, "conductance": 3e-5}
RESISTANCES = {"name": "finite_states", "states": 5, "uniform_in": "resistance"}


def programmed(monkeypatch, cells, device, effects, tile):
    monkeypatch.setattr(blocks, "_FEW", 1 if cells else 1 << 60)
    monkeypatch.setattr(blocks, "_CELLS", cells or 1)
    torch.manual_seed(0)
    config = CrossbarConfig(device=device, nonidealities=effects, tile=tile, programmer="direct")
    chip = memcore.convert(torch.nn.Linear(70, 51), config)
    memcore.program(chip)
    return chip.crossbar


@pytest.mark.parametrize("cells", [1, 300, 2000])
@pytest.mark.parametrize("tile", [(32, 24), (33, 7), None])
@pytest.mark.parametrize("device", ["ideal", memcore.devices["vteam"](**SPREAD)])
@pytest.mark.parametrize(
    "effects",
    [
        ["d2d", {"name": "finite_states", "states": 10}, STUCK],
        [STUCK, RESISTANCES, {"name": "d2d", "distribution": "normal", "std": 0.6}, "c2c"],
        ["d2d", "read_noise", {"name": "drift", "nu": 0.1}],
    ],
)
def test_blocks_hold_what_all_cells_at_once_hold(monkeypatch, cells, tile, device, effects):
    at_once = programmed(monkeypatch, 0, device, effects, tile)
    in_blocks = programmed(monkeypatch, cells, device, effects, tile)
    assert torch.equal(in_blocks.programmed, at_once.programmed)
    assert torch.equal(in_blocks.folded, at_once.folded)
    assert in_blocks.written.error == at_once.written.error
    assert in_blocks.written.stuck == at_once.written.stuck


@pytest.mark.parametrize("cells", [0, 300])
def test_what_an_effect_spoils_is_told_of_all_cells(monkeypatch, cells):
    monkeypatch.setattr(blocks, "_FEW", 1 if cells else 1 << 60)
    monkeypatch.setattr(blocks, "_CELLS", cells or 1)
    monkeypatch.setattr(LogNormal, "transform", lambda self, z: z.fill_(torch.inf))
    config = CrossbarConfig(device="ideal", tile=(32, 24), nonidealities=["d2d"])
    with pytest.raises(memcore.ConfigError, match=r"'d2d' makes \d+ of 3072 conductances"):
        memcore.convert(torch.nn.Linear(32, 27), config)


@pytest.mark.parametrize("law", ["normal", "uniform"])
@pytest.mark.parametrize("first", [0, 4, 400, 20_000])
@pytest.mark.parametrize("size", [1, 9, 300, 20_001])
def test_draws_from_a_cell_on_are_those_of_the_cells(law, first, size):
    stream = Stream(3).child("a")
    whole = getattr(stream, law)((first + size,))
    assert torch.equal(getattr(stream.from_cell(first), law)((size,)), whole[first:])
    few = torch.arange(0, size, 7)
    some = getattr(stream.from_cell(first), law)((len(few),), elements=few)
    assert torch.equal(some, whole[first:][few])


def test_truncated_draws_from_a_cell_on_are_those_of_the_cells():
    law = Normal(0.0, 1.0, min=-0.1, max=0.2)
    whole = law.sample(Stream(1), (900,))
    assert torch.equal(law.sample(Stream(1).from_cell(500), (400,)), whole[500:])
    hits = Stream(1).bernoulli(0.3, (900,))
    assert torch.equal(Stream(1).from_cell(500).bernoulli(0.3, (400,)), hits[500:])
