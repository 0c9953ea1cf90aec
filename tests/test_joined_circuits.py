"""Wires, curved cells and elements in series as one circuit, in networks and in crossbars."""

import dataclasses

import pytest
import torch

import memcore
from memcore import ConfigError, Crossbar, CrossbarConfig, NoEffectWarning, Normal, Stream, Wires
from memcore.circuit import Drive, Selector, Sinh, Transistor, solve

DEVICE = {"name": "ideal", "r_on": 1e4, "r_off": 1e6}
DROP = {"name": "ir_drop", "segment": 20.0, "driver": 50.0}
CURVE = {"name": "nonlinear_iv", "v0": 0.1, "read_voltage": 0.2}
WIRES = Wires(word_line=20.0, bit_line=20.0, driver=50.0)
LAW = Sinh(v0=0.1, read_voltage=0.2)
ELEMENTS = {
    "nothing": ([], None),
    "transistor": (
        [{"name": "transistor", "gain": 3e-4}],
        Transistor(gate_line=1.6, gain=3e-4),
    ),
    "transistor with its gate at the source": (
        [{"name": "transistor", "gate": 1.0, "follows_source": True}],
        Transistor(gate_voltage=1.0),
    ),
    "selector": ([{"name": "selector"}], Selector(i0=1e-6, v0=0.03)),
}


def conductances(*shape, seed=0):
    return 1e-6 + 1e-4 * Stream(seed).uniform(shape).double()


def converted(effects, *, rows=20, cols=10, tile=(8, 6)):
    torch.manual_seed(0)
    layer = torch.nn.Linear(rows, cols).double()
    return memcore.convert(layer, CrossbarConfig(device=DEVICE, nonidealities=effects, tile=tile))


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_crossbar_solves_what_its_effects_bring(element):
    effects, series = ELEMENTS[element]
    g, v = conductances(9, 7), 0.2 * Stream(1).uniform((4, 9)).double()
    expected = solve(g, WIRES, Drive.read(v), law=LAW, series=series).current
    found = Crossbar(g, nonidealities=[DROP, CURVE, *effects]) @ v
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=0)


def test_what_is_given_and_what_effects_bring_are_one_circuit():
    g, v = conductances(9, 7), 0.2 * Stream(1).uniform((4, 9)).double()
    expected = solve(g, WIRES, Drive.read(v), law=LAW).current
    for crossbar in (
        Crossbar(g, wires=WIRES, nonidealities=[CURVE]),
        Crossbar(g, law=LAW, nonidealities=[DROP]),
    ):
        torch.testing.assert_close(crossbar @ v, expected, rtol=1e-7, atol=0)
        torch.testing.assert_close(crossbar.solve(v).current, expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("order", [[DROP, CURVE], [CURVE, DROP]])
def test_a_layer_is_the_sum_of_the_circuits_of_its_tiles(order):
    model = converted(order)
    crossbar, x = model.crossbar, Stream(1).uniform((3, 20)).double()
    volts = 0.2 * x
    solved = crossbar.solve(volts)
    total = torch.zeros(3, 2, 10).double()
    for array in range(len(crossbar.conductance)):
        part, _, row, col = crossbar.tiling.place(array)
        rows = slice(8 * row, min(8 * row + 8, 20))
        cols = slice(6 * col, min(6 * col + 6, 10))
        lines = torch.zeros(3, 8).double()
        lines[:, : rows.stop - rows.start] = volts[:, rows]
        alone = solve(crossbar.conductance[array], WIRES, Drive.read(lines), law=LAW).current
        torch.testing.assert_close(solved.current[:, array], alone, rtol=1e-6, atol=1e-18)
        total[:, part, cols] += alone[:, : cols.stop - cols.start]
    weight = crossbar.gain[0] / 0.2 * (total[:, 0] - total[:, 1])
    torch.testing.assert_close(model(x), weight + model.bias, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("placement", ["as_mapped", "sorted"])
def test_lines_that_parts_share_are_solved_where_they_lie(placement):
    drop = DROP | {"columns": "shared", "placement": placement}
    curve = CURVE | {"v0": Normal(0.1, 0.01)}
    model = converted([drop, curve, {"name": "transistor", "threshold": Normal(0.5, 0.02)}])
    crossbar, x = model.crossbar, Stream(1).uniform((3, 20)).double()
    circuit = crossbar.circuit()
    assert circuit.g.shape[-1] == 12
    current = crossbar.solve(0.2 * x).current  # [n, arrays, cols of both parts]
    split = circuit.layout.separate(current.unsqueeze(-2)).squeeze(-2)
    lanes = crossbar.tiling.gather(split)
    y = crossbar.gain[0] / 0.2 * (lanes[0] - lanes[1]).sum(-2).reshape(3, 10)
    torch.testing.assert_close(model(x), y + model.bias, rtol=1e-6, atol=1e-9)


def test_shared_lines_lose_more_than_separate_ones():
    x = Stream(1).uniform((5, 20)).double()
    drop = [converted([DROP | {"columns": each}, CURVE])(x) for each in ("separate", "shared")]
    ideal = converted([CURVE])(x)
    lost = [(each - ideal).norm() for each in drop]
    assert lost[1] > 1.1 * lost[0]


def test_wires_without_resistance_leave_the_curve_alone():
    x = Stream(1).uniform((3, 20)).double()
    wires = {"name": "ir_drop", "segment": 1e-9}
    torch.testing.assert_close(
        converted([wires, CURVE])(x), converted([CURVE])(x), rtol=1e-5, atol=1e-7
    )


def test_noise_of_each_read_goes_through_the_circuit():
    noise = {"name": "read_noise", "relative": 0.02}
    model = converted([DROP, CURVE, noise])
    x = Stream(1).uniform((1, 20)).double().expand(60, 20)
    y = model(x)
    quiet = converted([DROP, CURVE])(x[:1])
    assert (y[0] != y[1]).any()
    spread = y.std(0)
    assert bool(((y.mean(0) - quiet).abs() < 6 * spread / 60**0.5 + 1e-6).all())


def test_programmers_feel_the_wires_of_a_joined_circuit():
    config = CrossbarConfig(
        device={"name": "linear_ion_drift"},
        programmer={"name": "write_verify"},
        nonidealities=[DROP, CURVE],
    )
    model, told = memcore.convert(torch.nn.Linear(4, 3), config), []
    model.crossbar.cells.listeners.append(lambda written: told.append(written.array.wires))
    memcore.program(model)
    assert told[0].word_line == 20.0


def test_gradients_that_nothing_computes_are_said():
    crossbar = Crossbar(conductances(3, 2), nonidealities=[DROP, CURVE])
    with pytest.warns(NoEffectWarning, match="voltages require gradients"):
        crossbar @ torch.ones(3).double().requires_grad_()


def test_a_chip_is_the_same_after_a_state_is_loaded():
    effects = [DROP | {"placement": "sorted"}, CURVE]
    first, other = converted(effects), converted(effects)
    with torch.no_grad():
        other.weight.copy_(other.weight.flip(0))
    memcore.program(other)
    other.load_state_dict(first.state_dict())
    x = Stream(1).uniform((3, 20)).double()
    torch.testing.assert_close(first(x), other(x), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("effects", "text"),
    [
        ([DROP, "ir_drop"], "both bring wires"),
        (["nonlinear_iv", CURVE], "both bring a law"),
        (["transistor", "selector"], "both bring an element in series"),
        (["ir_drop_series", CURVE], "ir_drop_series in a way of its own"),
        (["ir_drop_profile", DROP], "ir_drop_profile in a way of its own"),
    ],
)
def test_effects_that_cannot_be_joined_are_refused(effects, text):
    with pytest.raises(ConfigError, match=text):
        CrossbarConfig(device="ideal", nonidealities=effects)


def test_wires_that_are_given_twice_are_refused():
    with pytest.raises(ConfigError, match="both bring wires"):
        Crossbar(conductances(3, 2), wires=WIRES, nonidealities=[DROP])


def test_an_effect_without_the_circuit_that_it_promises_is_named():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Promises(memcore.NonIdeality):
        stage = memcore.Stage.MVM

        @property
        def brings(self):
            return frozenset({"law"})

        def bind(self, array, ctx):
            return memcore.Product()

    with pytest.raises(ConfigError, match="without a circuit, though"):
        Crossbar(conductances(3, 2), nonidealities=[DROP, Promises()])


@pytest.mark.parametrize("name", ["transistor", "selector"])
def test_transforms_past_a_circuit_that_is_solved_are_refused(name):
    config = CrossbarConfig(device=DEVICE, nonidealities=[name])
    mem = memcore.convert(torch.nn.Linear(4, 3), config).eval()
    x = Stream(0).normal((2, 4))
    for call in (
        lambda: torch.func.vmap(mem)(x),
        lambda: torch.func.jacrev(mem)(x),
        lambda: torch.func.grad(lambda x: mem(x).sum())(x),
    ):
        with pytest.raises(
            memcore.ConversionError, match=r"expected a plain call, as of model\(x\)"
        ):
            call()
    assert mem(x).shape == (2, 3)
