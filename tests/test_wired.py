"""Arrays with wires in a network, against the effective matrix of each array solved by itself."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn

import memcore
from memcore import (
    ArrayInfo,
    ConfigError,
    Crossbar,
    CrossbarConfig,
    MemcoreError,
    NoEffectWarning,
    Stream,
    Wired,
    Wires,
    effective_conductance,
)
from memcore.circuit import Drive, OfDevice, Ohmic, Sinh, Transistor, solve
from memcore.crossbar.readers import Tiled

DEVICE = {"name": "ideal", "r_on": 1e4, "r_off": 1e6}
WIRES = Wires(word_line=3.0, bit_line=2.0, driver=50.0, sense=20.0)
IDEAL = memcore.devices["ideal"](r_on=1e4, r_off=1e6)


def conductances(*shape, seed=0):
    return 1e-6 + 1e-4 * Stream(seed).uniform(shape).double()


def array(arrays, rows, cols, parts=1):
    return ArrayInfo(arrays=arrays, rows=rows, cols=cols, device=IDEAL, nominal=IDEAL, parts=parts)


# -- one array of conductances --------------------------------------------------------------------


def test_a_crossbar_with_wires_computes_its_effective_matrix():
    g, v = conductances(12, 9), Stream(1).normal((5, 12)).double()
    expected = v @ effective_conductance(g, WIRES)
    torch.testing.assert_close(Crossbar(g, wires=WIRES) @ v, expected, rtol=1e-12, atol=0)


def test_every_segment_may_have_its_own_resistance():
    g, v = conductances(4, 3), Stream(1).normal((2, 4)).double()
    wires = Wires(word_line=conductances(4, 3, seed=2) * 1e5, bit_line=1.0, sense_at="both")
    torch.testing.assert_close(
        Crossbar(g, wires=wires) @ v, v @ effective_conductance(g, wires), rtol=1e-12, atol=0
    )


@pytest.mark.parametrize("law", [None, Sinh(v0=0.2)])
@pytest.mark.parametrize("ohm", [torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_crossbar_takes_wires_and_voltages_of_any_precision(dtype, ohm, law):
    """All numbers are exact in float32, so that only the solutions differ."""
    g, v = conductances(6, 4).float(), 0.2 * Stream(1).uniform((2, 6))
    given = {"word_line": 2 + torch.arange(24.0).view(6, 4), "driver": torch.arange(6.0)}
    wires = Wires(**{name: value.to(ohm) for name, value in given.items()}, bit_line=1.0)
    exact = Wires(**{name: value.double() for name, value in given.items()}, bit_line=1.0)
    drive = Drive.read(v.double()[:, None])
    expected = solve(g.double()[None], exact, drive, law=law or Ohmic()).current[:, 0]
    crossbar = Crossbar(g.to(dtype), wires=wires, law=law)
    for volts in (v, v.double()):
        found = crossbar @ volts
        assert found.dtype == dtype
        rtol = 1e-4 if dtype == torch.float32 else 1e-8
        torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=0)
        for drive in (volts, Drive.read(volts.unsqueeze(1))):
            torch.testing.assert_close(crossbar.solve(drive).current, expected, rtol=1e-8, atol=0)


@pytest.mark.parametrize("side", ["word_line", "driver", "sense"])
def test_wires_of_each_array_stay_with_it_when_arrays_are_solved_in_pieces(side, monkeypatch):
    shape = {"word_line": (4, 1, 1), "driver": (4, 3), "sense": (4, 1)}[side]
    wires = Wires(**{side: 50 * Stream(2).uniform(shape).double(), "bit_line": 1.0})
    g = conductances(6, 4)
    whole = Crossbar(g, wires=wires, tile=(3, 2)).folded
    monkeypatch.setattr("memcore.crossbar.wired._AT_ONCE", 18)  # cells of three arrays
    torch.testing.assert_close(
        Crossbar(g, wires=wires, tile=(3, 2)).folded, whole, rtol=1e-12, atol=0
    )


def test_wires_without_resistance_change_nothing():
    g, v = conductances(6, 5), Stream(1).normal((3, 6)).double()
    torch.testing.assert_close(Crossbar(g, wires=Wires()) @ v, v @ g, rtol=1e-12, atol=0)


# -- which columns share word lines ---------------------------------------------------------------


def test_separate_columns_are_arrays_of_their_own():
    g = conductances(2, 6, 4)
    found = Wired(WIRES, array(2, 6, 4, parts=2)).matrix(g)
    torch.testing.assert_close(found, effective_conductance(g, WIRES), rtol=1e-12, atol=0)


def test_shared_columns_lie_side_by_side_on_common_word_lines():
    g = conductances(2, 6, 4)  # a positive and a negative array of one tile
    interleaved = torch.stack([g[0], g[1]], -1).reshape(6, 8)
    expected = effective_conductance(interleaved, WIRES)
    found = Wired(WIRES, array(2, 6, 4, parts=2), shared=True).matrix(g)
    torch.testing.assert_close(found[0], expected[:, ::2], rtol=1e-12, atol=0)
    torch.testing.assert_close(found[1], expected[:, 1::2], rtol=1e-12, atol=0)


def test_a_reference_column_shares_the_word_lines_of_its_array():
    weight = Stream(3).normal((4, 6))
    layer = nn.Linear(6, 4, bias=False)
    layer.weight.data = weight
    settings = {"device": DEVICE, "mapper": "offset", "tile": None}
    effect = {"name": "ir_drop", "segment": 5.0}
    plain = memcore.convert(layer, CrossbarConfig(**settings)).crossbar
    wired = memcore.convert(layer, CrossbarConfig(**settings, nonidealities=[effect])).crossbar
    cells = plain.conductance[0].double()  # four columns and the reference
    a = effective_conductance(cells, Wires(word_line=5.0, bit_line=5.0))
    expected = (a[:, :4] - a[:, 4:]).T * plain.gain.double()
    torch.testing.assert_close(wired.folded[0].double(), expected, rtol=1e-5, atol=1e-6)


# -- where lines lie ------------------------------------------------------------------------------


def test_sorted_lines_lose_less():
    g = conductances(1, 16, 16) * torch.logspace(-2, 0, 16).double()  # columns differ by 100
    plain, placed = Wired(WIRES, array(1, 16, 16)), Wired(WIRES, array(1, 16, 16), sort=True)
    losses = [float((g - wired.matrix(g)).sum() / g.sum()) for wired in (plain, placed)]
    assert losses[1] < 0.9 * losses[0]


def test_sorting_is_the_solution_of_the_array_with_its_lines_in_that_order():
    g = conductances(1, 5, 4)
    rows = g[0].sum(1).argsort()  # the largest at the bottom, next to the sense nodes
    cols = g[0].sum(0).argsort(descending=True)  # the largest at the left, next to the drivers
    expected = torch.empty_like(g[0])
    placed = effective_conductance(g[0][rows][:, cols], WIRES)
    expected[rows.unsqueeze(1), cols] = placed
    found = Wired(WIRES, array(1, 5, 4), sort=True).matrix(g)[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


def test_the_order_of_lines_is_for_life_and_saved():
    first, other = (Wired(WIRES, array(1, 5, 4), sort=True) for _ in range(2))
    g, later = conductances(1, 5, 4), conductances(1, 5, 4, seed=9)
    first.matrix(g)
    other.load_state_dict(first.state_dict())
    assert torch.equal(first.matrix(later), other.matrix(later))
    fresh = Wired(WIRES, array(1, 5, 4), sort=True)
    assert not torch.equal(fresh.matrix(later), first.matrix(later))


# -- in a network ---------------------------------------------------------------------------------


def memristive(effects, seed=0, **settings):
    torch.manual_seed(0)
    layer = nn.Linear(40, 12)
    config = CrossbarConfig(device=DEVICE, nonidealities=effects, tile=(16, 8), **settings)
    return memcore.convert(layer, config, seed=seed)


X = Stream(5).normal((256, 40))


def expected_output(model, effect, x):
    """Written out: each array's matrix, then the sums of tiles and the difference of columns."""
    crossbar = model.crossbar
    a = effective_conductance(crossbar.conductance.double(), effect.wires())
    parts = crossbar.tiling.join(a)
    weight = ((parts[0] - parts[1]) * crossbar.gain.double())[0]
    return x.double() @ weight + model.bias.double()


@pytest.mark.parametrize("adc", [None, {"name": "uniform", "bits": 16}])
def test_a_layer_reads_the_effective_matrix_of_each_tile(adc):
    effect = memcore.nonidealities["ir_drop"](segment=4.0, driver=30.0)
    mem = memristive([effect], adc=adc)
    if adc:
        memcore.calibrate(mem, X)
    expected = expected_output(mem, effect, X)
    error = (mem(X).double() - expected).abs().max() / expected.abs().max()
    assert error < (1e-3 if adc else 1e-5)
    assert mem.crossbar.is_exact if adc is None else isinstance(mem.crossbar.reader, Tiled)


def test_wires_follow_drift():
    mem = memristive(["ir_drop"])
    drifting = memristive([{"name": "drift", "nu": 0.1}, "ir_drop"])
    before = drifting(X)
    torch.testing.assert_close(before, mem(X))
    memcore.age(drifting, seconds=1e4)
    effect = memcore.nonidealities["ir_drop"]()
    expected = expected_output(drifting, effect, X)
    torch.testing.assert_close(drifting(X).double(), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(drifting(X), before, rtol=1e-2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoLines(memcore.NonIdeality):
    """Changes no current, but forces the currents of every bit line into memory."""

    stage = memcore.Stage.CURRENT

    def bind(self, array, ctx):
        return memcore.Affine()


@pytest.mark.parametrize("way", ["product", "electrical"])
def test_noise_of_a_cell_loses_voltage_before_and_current_behind_it(way):
    """g/(1 + g R) at g R = 1 has half of the current and a quarter of its noise."""
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.data = torch.ones(1, 1)
    noise = {"name": "read_noise", "relative": 0.1}
    wires = {"name": "ir_drop", "segment": 0.0, "sense": 1e4}
    config = CrossbarConfig(
        device={"name": "ideal", "r_on": 1e4, "r_off": 1e9},
        nonidealities=[noise, wires, *([NoLines()] if way == "electrical" else [])],
    )
    with torch.no_grad():
        y = memcore.convert(layer, config)(torch.ones(100_000, 1)).double()
    assert float(y.mean()) == pytest.approx(0.5, rel=1e-3)
    assert float(y.std()) == pytest.approx(0.025, rel=0.02)


def test_a_saved_chip_keeps_its_wires(tmp_path):
    effects = [{"name": "ir_drop", "placement": "sorted"}, {"name": "d2d", "std": 0.3}]
    mem, other = (memristive(effects, seed=seed) for seed in (0, 1))
    other.load_state_dict(mem.state_dict())
    assert torch.equal(mem(X), other(X))
    assert torch.equal(mem(X), copy.deepcopy(mem)(X))


def test_lines_stay_where_they_are_when_cells_age_and_are_written_again():
    effects = [
        {"name": "ir_drop", "placement": "sorted"},
        {"name": "drift", "nu": memcore.Normal(0.05, 0.02)},
        "c2c",
    ]
    mem = memristive(effects)
    order = mem.crossbar.cells.effects.product.row_order.clone()
    memcore.age(mem, seconds=1e4)
    other = memristive(effects, seed=5)
    other.load_state_dict(mem.state_dict())
    assert torch.equal(mem(X), other(X))
    memcore.program(mem)
    assert torch.equal(mem.crossbar.cells.effects.product.row_order, order)


def test_gradients_reach_the_weights():
    mem = memristive(["ir_drop"])
    mem(X).square().sum().backward()
    assert mem.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("effects", [["transistor"], ["ir_drop", "nonlinear_iv"]], ids="+".join)
def test_a_layer_whose_circuits_are_solved_by_iteration_compiles_around_them(effects):
    torch._dynamo.reset()
    x = Stream(1).normal((9, 20))
    config = CrossbarConfig(device=DEVICE, nonidealities=effects, tile=(8, 8), adc="uniform")
    mem = memcore.convert(nn.Linear(20, 7), config, calibration=x).eval()
    compiled = torch.compile(mem, backend="eager")
    with torch.no_grad():
        for count in (9, 5):
            assert torch.equal(compiled(x[:count]), mem(x[:count]))


def test_a_wired_layer_compiles_into_one_graph():
    torch._dynamo.reset()
    mem = memristive(["ir_drop"])
    compiled = torch.compile(copy.deepcopy(mem), fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert torch.equal(compiled(X), mem(X))


def test_two_products_are_an_error():
    with pytest.raises(ConfigError, match="all compute the product"):
        CrossbarConfig(device=DEVICE, nonidealities=["ir_drop", "ir_drop_series"])


# -- what the circuit looks like ------------------------------------------------------------------


def test_the_solution_of_a_crossbar_adds_up_to_what_it_reads():
    g, v = conductances(12, 9), 0.1 * Stream(1).normal((5, 12)).double()
    crossbar = Crossbar(g, wires=WIRES)
    solution = crossbar.solve(v)
    torch.testing.assert_close(solution.current, crossbar @ v, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(solution.cell_current, g * solution.cell_voltage)
    driver = v - solution.word_line[..., 0]  # across the driver and the first segment
    torch.testing.assert_close(driver, solution.driver_current * 53.0)


def test_each_tile_has_its_own_solution():
    g, v = conductances(10, 8), 0.1 * Stream(1).normal((3, 10)).double()
    crossbar = Crossbar(g, wires=WIRES, tile=(5, 4))
    solution = crossbar.solve(v)
    assert solution.word_line.shape == (3, 4, 5, 4)
    summed = solution.current.view(3, 2, 2, 4).sum(1).flatten(1)  # over the tiles of the rows
    torch.testing.assert_close(summed, crossbar @ v, rtol=1e-9, atol=1e-15)
    one = solution[1, 2]
    assert one.word_line.shape == (5, 4)
    assert bool(one.converged)


def test_a_write_scheme_drives_the_same_array():
    crossbar = Crossbar(conductances(6, 5), wires=WIRES)
    solution = crossbar.solve(Drive.select(6, 5, 4, 3, 1.5, "V/2"))
    voltage = solution.cell_voltage
    assert int(voltage.argmax()) == 4 * 5 + 3
    assert 0.9 * 1.5 < float(voltage.max()) < 1.5


@pytest.mark.parametrize("wires", [None, WIRES])
def test_cells_that_are_not_ohmic_are_solved_for_each_vector(wires):
    g, v = conductances(6, 5), 0.2 * Stream(1).uniform((3, 6)).double()
    law = Sinh(v0=0.1, read_voltage=0.2)
    crossbar = Crossbar(g, wires=wires, law=law)
    expected = solve(g, wires or Wires(), Drive.read(v), law=law).current
    torch.testing.assert_close(crossbar @ v, expected)
    if wires is None:
        by_hand = (g * 0.2 * torch.sinh(v / 0.1).unsqueeze(-1) / math.sinh(2.0)).sum(1)
        torch.testing.assert_close(crossbar @ v, by_hand)
    torch.testing.assert_close(crossbar.solve(v).current, expected)


def test_a_transistor_in_series_limits_the_current():
    g, v = torch.full((4, 3), 1e-3).double(), torch.full((4,), 0.3).double()
    gate = Transistor(gate_voltage=0.9, threshold=0.5, gain=1e-4)
    limited, plain = Crossbar(g, series=gate) @ v, Crossbar(g) @ v
    assert bool((limited < 0.1 * plain).all())


def test_currents_of_another_making_have_no_circuit():
    crossbar = Crossbar(conductances(4, 3), nonidealities=["ir_drop_profile"])
    with pytest.raises(ConfigError, match=r"no circuit behind it; expected .* 'ir_drop'"):
        crossbar.solve(torch.ones(4))


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        ({"law": Sinh(v0=torch.full((6, 4), 0.2))}, "v0 of Sinh"),
        ({"series": Transistor(gate_voltage=torch.ones(6, 1))}, "gate_voltage of Transistor"),
        ({"law": OfDevice(device=IDEAL, state=torch.ones(1, 6, 4))}, "state of OfDevice"),
    ],
)
def test_parameters_of_cells_are_those_of_each_array(elements, name):
    g = conductances(6, 4)
    Crossbar(g, **elements)
    expected = r"broadcasts to \[arrays, rows, cols\], here \[4, 3, 2\]"
    with pytest.raises(ConfigError, match=f"{name} has shape .*{expected}"):
        Crossbar(g, **elements, tile=(3, 2))


def test_every_array_may_have_cells_of_its_own():
    g, v = conductances(6, 2), torch.full((6,), 0.2).double()
    found = Crossbar(g, law=Sinh(v0=torch.tensor([0.1, 0.3]).view(2, 1, 1)), tile=(3, 2)) @ v
    halves = [Crossbar(g[3 * k :][:3], law=Sinh(v0=v0)) @ v[:3] for k, v0 in enumerate((0.1, 0.3))]
    torch.testing.assert_close(found, halves[0] + halves[1], rtol=1e-6, atol=0)


# -- what has gradients ---------------------------------------------------------------------------

OHM = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"conductance": conductances(4, 3).requires_grad_()}, "conductance"),
        ({"wires": Wires(word_line=OHM)}, r"wires\.word_line"),
        ({"law": Sinh(v0=OHM)}, r"law\.v0"),
        ({"series": Transistor(gate_voltage=OHM)}, r"series\.gate_voltage"),
    ],
)
def test_gradients_that_a_crossbar_does_not_compute_are_named(arguments, name):
    arguments = {"conductance": conductances(4, 3), **arguments}
    with pytest.warns(NoEffectWarning, match=f"respect to {name} are not.*effective_conductance"):
        Crossbar(**arguments)
    with torch.no_grad():
        Crossbar(**arguments)


def test_gradients_of_the_voltages_end_at_cells_that_are_not_ohmic():
    v = torch.full((4,), 0.1, dtype=torch.float64, requires_grad=True)
    (Crossbar(conductances(4, 3), wires=WIRES) @ v).sum().backward()
    assert bool((v.grad > 0).all())
    with pytest.warns(NoEffectWarning, match=r"voltages require gradients.*v\.detach\(\)"):
        Crossbar(conductances(4, 3), law=Sinh(v0=0.2)) @ v


# -- what does not fit ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"conductance": [[1e-4]]}, "conductance is a list; expected a tensor"),
        ({"conductance": conductances(4, 3).numpy()}, "is a ndarray.*use torch.as_tensor"),
        ({"conductance": torch.ones(4, 3).long()}, "is torch.int64; expected S in floating point"),
        ({"law": "sinh"}, r"law='sinh'; expected an object of memcore.circuit such as Sinh\("),
        ({"law": Ohmic}, "law=<class .*expected an object"),
        ({"series": "transistor"}, r"series='transistor'; expected .* such as Transistor\("),
        ({"wires": 2.0}, r"wires=2.0; expected memcore.Wires\("),
    ],
)
def test_what_describes_no_array_is_an_error_at_once(arguments, message):
    with pytest.raises(MemcoreError, match=message):
        Crossbar(**{"conductance": conductances(4, 3), **arguments})


@pytest.mark.parametrize("v", [[0.1] * 4, torch.ones(4).numpy()])
def test_voltages_are_a_tensor(v):
    crossbar = Crossbar(conductances(4, 3))
    with pytest.raises(MemcoreError, match="expected a tensor of V, or a Drive"):
        crossbar.solve(v)
    with pytest.raises(MemcoreError, match=r"expected a tensor \[..., 4\] in V"):
        crossbar @ v


def test_the_wrong_number_of_rows_is_an_error():
    with pytest.raises(ConfigError, match="but g has 4 rows"):
        Crossbar(conductances(4, 3)).solve(torch.ones(5))
