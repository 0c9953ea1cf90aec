"""Weights onto cells and back in one pass: as PyTorch's operations one by one, to the bit."""

import dataclasses
import math

import pytest
import torch

import memcore
from memcore import ConfigError, CrossbarConfig, Mapped, Part, TwoParts
from memcore.ops import pairs
from memcore.ops.largest_magnitude import largest_magnitude
from memcore.ops.matrix_sums import _reference, matrix_sums
from memcore.ops.pairs import Grid, Line

GRIDS = [
    Grid(1, 5, 3, 5, 3),
    Grid(2, 70, 50, 32, 24),
    Grid(1, 130, 67, 128, 64),
    Grid(3, 64, 128, 64, 128),
    Grid(1, 33, 200, 40, 210),
]


def weights(grid, by_columns):
    generator = torch.Generator().manual_seed(4)
    drawn = torch.randn(grid.groups, grid.cols, grid.rows, generator=generator)
    drawn[0, 0, :2] = torch.tensor([0.0, -0.0])
    return drawn.mT if by_columns else drawn.mT.contiguous()


def lines(grid, weight):
    peak = weight.abs().max()
    yield Line(peak, 9.9e-5, 1e-6)
    yield Line(peak / 2, 9.9e-5, 1e-6, limit=1.0)
    yield Line(weight.abs().amax((0, 1)), 2e-2, 1e-3)


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_weights_lie_on_arrays_as_the_reference_lays_them(grid, by_columns):
    weight = weights(grid, by_columns)
    for line in lines(grid, weight):
        got, least, most = pairs.lay(weight, line, grid, 3e-7)
        expected, low, high = pairs._lay_reference(weight, line, grid, 3e-7)
        assert torch.equal(got, expected)
        assert (least, most) == (low, high)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("reference", [False, True])
def test_cells_stand_for_what_the_reference_says(grid, each, reference):
    generator = torch.Generator().manual_seed(5)
    arrays, rows, cols = grid.shape
    shape = (arrays // 2, rows, cols + 1) if reference else (arrays, rows, cols)
    cells = torch.rand(shape, generator=generator)
    gain = torch.rand(grid.cols if each else 1, generator=generator) + 0.5
    got, is_finite = pairs.fold(cells, gain, grid, reference=reference)
    expected = pairs._fold_reference(cells, gain, grid, reference=reference)
    assert torch.equal(got, expected[0])
    assert is_finite
    cells[0, 1, 1] = math.inf
    assert not pairs.fold(cells, gain, grid, reference=reference)[1]


@pytest.mark.parametrize("count", [0, 1, 7, 16, 1000, 32768, 100_001])
def test_sums_are_those_of_double_precision(count):
    x = torch.randn(count, generator=torch.Generator().manual_seed(6))
    assert matrix_sums(x) == pytest.approx(_reference(x) if count else (0.0, 0.0), rel=1e-12)
    if count:
        x[count // 2] = math.nan
        assert math.isnan(matrix_sums(x)[1])


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5, 9), (2, 300, 200), (1, 0x10001)], ids=str)
def test_the_largest_magnitude_is_that_of_torch(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(8))
    expected = float(x.abs().max())
    assert largest_magnitude(x) == largest_magnitude(-x) == expected
    if x.dim() > 1:
        assert largest_magnitude(x.mT) == expected
        assert largest_magnitude(x[..., ::2]) == float(x[..., ::2].abs().max())
    x.view(-1)[x.numel() // 2] = -math.inf
    assert largest_magnitude(x) == math.inf
    x.view(-1)[-1] = math.nan
    assert math.isnan(largest_magnitude(x))


def test_two_parts_without_a_scale_take_the_largest_weight():
    weight = torch.tensor([[[0.5, -2.0], [0.0, 1.0]]])
    told = TwoParts(scale=torch.tensor(2.0), start=1e-6, span=9.9e-5)
    found = TwoParts(start=1e-6, span=9.9e-5)
    for one, other in zip(told.mapped(weight).parts, found.mapped(weight).parts, strict=True):
        assert torch.equal(one.target, other.target)
    assert torch.equal(told.mapped(weight).gain, found.mapped(weight).gain)
    assert found.scale_of(torch.zeros(1, 2, 2)) == 1
    assert found.mapped(weight.to("meta")).gain.is_meta


def test_sums_do_not_depend_on_threads():
    x = torch.randn(300_000, generator=torch.Generator().manual_seed(7))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = matrix_sums(x)
        torch.set_num_threads(2)
        assert matrix_sums(x) == one
    finally:
        torch.set_num_threads(before)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InSteps(memcore.mappers["differential"]):
    """The same mapping, of which nothing is known beforehand."""

    def two_parts(self, weight, device, ctx):
        return None

    def map(self, weight, device, ctx):
        return memcore.mappers["differential"].two_parts(self, weight, device, ctx).mapped(weight)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Halved(memcore.mappers["differential"]):
    """A mapping of its own that inherits what another one knows of itself."""

    def map(self, weight, device, ctx):
        mapped = super().map(weight, device, ctx)
        parts = tuple(
            Part(target=1e-6 + (part.target - 1e-6) / 2, sign=part.sign) for part in mapped.parts
        )
        return Mapped(parts=parts, gain=2 * mapped.gain)


def programmed(mapper, twice=True, **settings):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(6, 8, 3, groups=2) if settings.pop("conv", False) else None
    layer = layer or torch.nn.Linear(70, 50)
    config = CrossbarConfig(**{"device": "ideal", "tile": (32, 24), "mapper": mapper, **settings})
    chip = memcore.convert(layer, config)
    if twice:
        memcore.program(chip)
    return chip


@pytest.mark.parametrize("settings", [{}, {"scale": "column", "clip": 0.9}])
@pytest.mark.parametrize("conv", [False, True])
@pytest.mark.parametrize("tile", [(32, 24), None])
@pytest.mark.parametrize("effects", [[], ["d2d", {"name": "stuck_at", "p_lrs": 0.1}]])
def test_a_mapping_at_once_gives_the_chip_of_a_mapping_in_steps(settings, conv, tile, effects):
    both = {"conv": conv, "tile": tile, "nonidealities": effects}
    once = programmed(memcore.mappers["differential"](**settings), **both).crossbar
    steps = programmed(InSteps(**settings), **both).crossbar
    assert torch.equal(once.programmed, steps.programmed)
    assert torch.equal(once.folded, steps.folded)
    assert torch.equal(once.gain, steps.gain)
    assert once.written.error == steps.written.error


def test_a_mapping_that_replaces_the_steps_alone_is_not_passed_over():
    chip = programmed(Halved())
    assert float(chip.crossbar.programmed.max()) == pytest.approx(0.5 * (1e-4 + 1e-6), rel=1e-4)
    assert chip.crossbar.folded[0] == pytest.approx(chip.weight.detach(), abs=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused_and_leave_the_chip_as_it_was(value):
    chip = programmed("differential")
    before, cells = chip.state_dict(), chip.crossbar.programmed.clone()
    kept = {key: each.clone() for key, each in before.items() if "crossbar" in key}
    with torch.no_grad():
        chip.weight[3, 4] = value
    with pytest.raises(ConfigError, match="1 of 3500 weights of the layer are infinite or NaN"):
        memcore.program(chip)
    assert torch.equal(chip.crossbar.programmed, cells)
    after = chip.state_dict()
    for key, each in kept.items():
        torch.testing.assert_close(after[key], each, rtol=0, atol=0, equal_nan=True)


def test_writing_again_gives_new_cells_and_leaves_those_that_somebody_kept():
    chip = programmed("differential")
    kept = chip.crossbar.programmed
    numbers = kept.clone()
    with torch.no_grad():
        chip.weight.mul_(0.5)
        chip.weight[0, 0] = 1.0
    memcore.program(chip)
    assert torch.equal(kept, numbers)
    assert not torch.equal(chip.crossbar.programmed, numbers)


def test_cells_that_were_spoiled_by_hand_are_refused_when_they_are_read_anew():
    chip = programmed("differential")
    chip.crossbar.cells.programmed[0, 0, 0] = math.nan
    with pytest.raises(ConfigError, match=r"1 of .* conductances of the layer are infinite or NaN"):
        chip.crossbar.refresh()
