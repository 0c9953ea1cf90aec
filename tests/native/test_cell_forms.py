"""Forms of cells in one pass: as PyTorch's operations one by one, to the bit."""

import math

import pytest
import torch

from memcore import Affine, native
from memcore.contracts.forms_of_cells import Held, NearestLevel, Passive, lowered
from memcore.ops import cell_forms

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

COUNTS = [1, 7, 16, 1000, 2048, 50_003]


def forms(count):
    """Forms with one parameter for all cells, and with one for each."""
    generator = torch.Generator().manual_seed(3)

    def drawn():
        return torch.rand(count, generator=generator)

    held = torch.where(drawn() < 0.2, 7e-6 * drawn(), torch.nan)
    low, high = 1e-6 * (1 + drawn()), 5e-5 * (1 + drawn())
    high[: count // 5] = low[: count // 5]  # windows without width
    return {
        "factor": Affine(drawn() + 0.5),
        "line": Affine(1.3, 1e-6 * drawn()),
        "lines": Affine(drawn() + 0.5, 1e-6 * drawn()),
        "passive": Passive(drawn() - 0.2, 1e-6 * drawn()),
        "states": NearestLevel(1e-6, 1e-4, 16),
        "states of windows": NearestLevel(low, high, 7),
        "states of ends": NearestLevel(1e-6, high, 10),
        "resistances": NearestLevel(1e6, 1e4, 5, inverse=True),
        "resistances of windows": NearestLevel(1 / low, 1 / high, 5, inverse=True),
        "held": Held(held),
    }


def chain(*forms):
    return [step for form in forms for step in lowered(form)]


def conductances(count):
    return 1.2e-4 * torch.rand(count, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", forms(1))
def test_a_form_is_what_its_forward_gives(name, count):
    form, g = forms(count)[name], conductances(count)
    got = cell_forms.through(g, lowered(form))
    assert torch.equal(got, form(g))


@pytest.mark.parametrize("count", COUNTS)
def test_forms_follow_each_other(count):
    g, expected = conductances(count), conductances(count)
    for form in forms(count).values():
        expected = form(expected)
    got = cell_forms.through(g, chain(*forms(count).values()))
    assert torch.equal(got, expected)
    assert torch.equal(g, conductances(count))


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 20, 2999])
def test_what_is_not_finite_is_noticed_even_where_the_next_form_hides_it(value, place):
    spoilt = torch.ones(3000)
    spoilt[place] = value
    hides = NearestLevel(1e-6, 1e-4, 16)
    assert hides(spoilt).isfinite().all()
    assert cell_forms.through(conductances(3000), chain(Affine(spoilt), hides)) is None
    assert cell_forms.through(conductances(3000), chain(hides)) is not None


def test_forms_of_ones_own_and_other_shapes_are_left_to_pytorch():
    class Own(Affine):
        pass

    assert lowered(Own()) == ()
    assert cell_forms.through(torch.ones(3, 4), chain(Affine(torch.ones(3, 1)))) is None
    assert cell_forms.through(torch.ones(3, 4, dtype=torch.float64), chain(Affine())) is None


@pytest.mark.parametrize("count", COUNTS)
def test_shares_are_held_as_the_reference_holds_them(count):
    low, high = conductances(count), 1 + conductances(count)
    draw = torch.rand(count, generator=torch.Generator().manual_seed(9))
    shares = [(0.1, high), (0.2, low), (0.05, torch.tensor(3e-5))]
    expected = cell_forms._shared_out_reference(
        draw, [0.1, 0.1 + 0.2, 0.1 + 0.2 + 0.05], [level for _, level in shares]
    )
    got = cell_forms.shared_out(draw.clone(), shares)
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(got[draw < 0.1], high[draw < 0.1])
    assert got[draw >= 0.36].isnan().all()


@pytest.mark.parametrize("count", [1, 15, 16, 33, 32768, 100_001])
def test_errors_are_those_of_double_precision(count):
    x, y = conductances(count), conductances(count).flip(0)
    squares, largest = cell_forms.errors(x, y)
    exact = (x - y).double()
    assert squares == pytest.approx(float(exact.square().sum()), rel=1e-12)
    assert largest == float(exact.abs().max())
    assert cell_forms.errors(x, x) == (0.0, 0.0)
    reference = cell_forms._errors_reference(x, y)
    assert reference == (pytest.approx(squares, rel=1e-12), largest)


def test_nothing_depends_on_threads():
    g, other = conductances(300_000), conductances(300_000).flip(0)
    steps = chain(*forms(300_000).values())
    before, seen = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            seen.append((cell_forms.through(g, steps), cell_forms.errors(g, other)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(seen[0][0], seen[1][0])
    assert seen[0][1] == seen[1][1]
