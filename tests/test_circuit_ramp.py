"""Threshold selectors with a memory, against load lines and circuits worked out by hand."""

import pytest
import torch

from memcore import MemcoreError, Stream, Wires, circuit
from memcore.circuit import Drive, ThresholdSelector, ramp, solve

V_TH, V_HOLD, R_ON, R_OFF, R = 0.8, 0.3, 2e3, 1e7, 1e4
SELECTOR = ThresholdSelector(v_th=V_TH, v_hold=V_HOLD, r_on=R_ON, r_off=R_OFF)
WIRES = Wires(word_line=8.0, bit_line=5.0, driver=50.0, sense=30.0)


def volts(*values):
    return torch.tensor(values, dtype=torch.float64)


def cells(rows, cols, seed=0):
    return 10 ** -(4 + 2 * Stream(seed).uniform((rows, cols)).double())


def one(voltage, before=None, at=None, **settings):
    """A single cell under `voltage`, as `before` has left it at the voltage `at`."""
    memory = {} if before is None else {"start": Drive.read(volts(at)), "on": before.on}
    drive = Drive.read(volts(voltage))
    return ramp(volts([1 / R]), Wires(), drive, series=SELECTOR, **memory, **settings)


# -- the load line of one cell ---------------------------------------------------------------------

UP = V_TH * (1 + R / R_OFF)  # what the cell sees as its selector reaches V_th
DOWN = V_HOLD * (1 + R / R_OFF)


def conducting(voltage):
    """The crossing of the load line of R and the line of the selector that is on."""
    u = (voltage / R + V_HOLD / R_ON) / (1 / R + 1 / R_ON + 1 / R_OFF)
    return (voltage - u) / R


@pytest.mark.parametrize("sign", [1, -1])
def test_a_cell_follows_its_load_line_up_and_down(sign):
    path = [0.2, 0.99 * UP, 1.01 * UP, 1.5, 0.5, 1.01 * DOWN, 0.99 * DOWN, 0.5, 0.0]
    on = [False, False, True, True, True, True, False, False, False]
    before, at, found = None, None, []
    for voltage, conducts in zip(path, on, strict=True):
        before, at = one(sign * voltage, before, at), sign * voltage
        found.append(bool(before.on))
        expected = conducting(voltage) if conducts else voltage / (R + R_OFF)
        assert float(before.current) == pytest.approx(sign * expected, rel=1e-8, abs=1e-18)
    assert found == on


def test_one_step_passes_where_many_pass():
    high = one(1.5)
    for steps in (1, 50):
        reversed_ = one(-1.5, high, 1.5, steps=steps)
        assert float(reversed_.current) == pytest.approx(-conducting(1.5), rel=1e-9)
        assert int(reversed_.events) == 2  # off on the way through 0 V, and on again
        assert int(one(1.5, steps=steps).events) == 1


def test_a_selector_that_cannot_hold_at_the_start_is_off():
    found = one(0.5, one(1.5), 0.2)
    assert not bool(found.on)


# -- by hand ---------------------------------------------------------------------------------------

DRIVER, LOADS = 1e4, (1e4, 2e4)


def word_line(voltage, on):
    """V of a word line behind its driver, from which two cells lead to ground."""
    current, siemens = voltage / DRIVER, 1 / DRIVER
    for load, conducts in zip(LOADS, on, strict=True):
        inner = 1 / (1 / R_OFF + conducts / R_ON)  # the selector as a source behind a resistor
        source = inner * conducts * V_HOLD / R_ON
        current += source / (load + inner)
        siemens += 1 / (load + inner)
    return current / siemens


@pytest.mark.parametrize(
    ("v_th", "voltage", "on"),
    [
        ((0.5, 0.6), 0.7, (1, 0)),  # the first one takes the voltage from the second
        ((0.6, 0.5), 0.7, (0, 1)),
        ((0.5, 0.6), 1.2, (1, 1)),
        ((0.5, 0.6), 0.45, (0, 0)),
    ],
)
@pytest.mark.parametrize("steps", [1, 30])
def test_the_first_of_two_that_share_a_driver_relieves_the_other(v_th, voltage, on, steps):
    g = (1 / volts(*LOADS)).expand(2, 2)
    series = ThresholdSelector(v_th=volts(*v_th), v_hold=V_HOLD, r_on=R_ON, r_off=R_OFF)
    drive = Drive.read(volts(voltage, 0.0))
    found = ramp(g, Wires(driver=DRIVER), drive, series=series, steps=steps)
    assert found.on.tolist() == [[bool(on[0]), bool(on[1])], [False, False]]
    assert float(found.word_line[0, 0]) == pytest.approx(word_line(voltage, on), rel=1e-9)
    assert float(found.current.sum()) == pytest.approx(
        (voltage - word_line(voltage, on)) / DRIVER, rel=1e-7
    )


def test_half_selected_selectors_that_stay_off_are_resistors():
    g, drive = cells(8, 6), Drive.select(8, 6, 3, 2, 1.4, "V/2")
    chosen = torch.zeros(8, 6, dtype=torch.bool)
    chosen[3, 2] = True
    # Without a voltage of hold the branch of the selected one is a resistor as well.
    hold = torch.where(chosen, volts(0.0), V_HOLD)
    series = ThresholdSelector(v_th=V_TH, v_hold=hold, r_on=R_ON, r_off=R_OFF)
    found = ramp(g, WIRES, drive, series=series)
    assert torch.equal(found.on, chosen)
    inner = 1 / (1 / R_OFF + chosen / R_ON)
    expected = solve(1 / (1 / g + inner), WIRES, drive)
    scale = float(expected.cell_current.abs().max())
    torch.testing.assert_close(found.cell_current, expected.cell_current, rtol=0, atol=1e-9 * scale)
    torch.testing.assert_close(found.word_line, expected.word_line, rtol=0, atol=1e-10)


# -- any array -------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [circuit.Ohmic(), circuit.Sinh(v0=0.2, read_voltage=0.2)])
@pytest.mark.parametrize("scheme", ["V/2", "floating", "grounded"])
def test_every_selector_is_at_rest_on_its_branch(scheme, law):
    found = ramp(
        cells(7, 6), WIRES, Drive.select(7, 6, 3, 2, 1.9, scheme), series=SELECTOR, law=law
    )
    u = found.cell_voltage - found.device_voltage
    assert bool((u.abs()[~found.on] <= V_TH).all())
    assert bool((u.abs()[found.on] > V_HOLD).all())
    over = found.on * (u.abs() - V_HOLD) / R_ON * u.sign()
    scale = float(found.cell_current.abs().max())
    torch.testing.assert_close(found.cell_current, u / R_OFF + over, rtol=0, atol=1e-7 * scale)
    assert 0 < int(found.on.sum()) <= int(found.events)


def test_what_has_switched_is_the_law_without_memory_for_selectors_of_that_state():
    found = ramp(cells(7, 6), WIRES, Drive.select(7, 6, 3, 2, 1.9, "V/2"), series=SELECTOR)
    v_th = torch.where(found.on, volts(V_HOLD), 100.0)
    state = ThresholdSelector(v_th=v_th, v_hold=V_HOLD, r_on=R_ON, r_off=R_OFF, smoothing=1e-4)
    same = solve(cells(7, 6), WIRES, Drive.select(7, 6, 3, 2, 1.9, "V/2"), series=state)
    torch.testing.assert_close(found.current, same.current, rtol=1e-8, atol=0)


def test_each_drive_of_a_batch_is_ramped_by_itself():
    v = 1.6 * Stream(1).uniform((3, 6)).double()
    together = ramp(cells(6, 5), WIRES, Drive.read(v), series=SELECTOR, steps=5)
    assert together.on.shape == (3, 6, 5)
    assert len(set(together.events.tolist())) > 1
    for k in range(3):
        alone = ramp(cells(6, 5), WIRES, Drive.read(v[k]), series=SELECTOR, steps=5)
        assert torch.equal(together[k].on, alone.on)
        assert int(together[k].events) == int(alone.events)
        torch.testing.assert_close(together[k].current, alone.current, rtol=1e-8, atol=0)
    back = ramp(
        cells(6, 5),
        WIRES,
        Drive.read(0.6 * v),
        series=SELECTOR,
        start=Drive.read(v),
        on=together.on,
    )
    fresh = ramp(cells(6, 5), WIRES, Drive.read(0.6 * v), series=SELECTOR)
    assert int(back.on.sum()) > int(fresh.on.sum())


@pytest.mark.parametrize("scheme", ["V/2", "floating"])
def test_each_memory_of_a_batch_is_ramped_by_itself(scheme):
    g, drive = cells(6, 4), Drive.select(6, 4, 3, 2, 0.9, scheme)
    on = Stream(2).uniform((3, 6, 4)) < 0.5
    memory = {"series": SELECTOR, "start": Drive.select(6, 4, 3, 2, 1.4, scheme), "steps": 3}
    together = ramp(g, WIRES, drive, on=on, **memory)
    assert together.on.shape == (3, 6, 4)
    for k in range(3):
        alone = ramp(g, WIRES, drive, on=on[k], **memory)
        assert torch.equal(together[k].on, alone.on)
        torch.testing.assert_close(together[k].current, alone.current, rtol=1e-7, atol=1e-15)


def test_selectors_of_a_line_can_be_on_together():
    on = torch.tensor([[True, False, False, True]])
    memory = {"series": SELECTOR, "start": Drive.read(volts(*[1.2] * 6)), "steps": 2}
    lines = ramp(cells(6, 4), WIRES, Drive.read(volts(*[0.6] * 6)), on=on, **memory)
    each = ramp(cells(6, 4), WIRES, Drive.read(volts(*[0.6] * 6)), on=on.expand(6, 4), **memory)
    assert torch.equal(lines.on, each.on)
    assert torch.equal(lines.current, each.current)


def test_selectors_that_find_no_rest_are_an_error():
    arguments = (cells(4, 4), WIRES, Drive.read(volts(1.5, 1.5, 1.5, 1.5)))
    with pytest.raises(circuit.ConvergenceError, match=r"still switch after 3 times.*events="):
        ramp(*arguments, series=SELECTOR, events=3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"steps": 0}, "steps=0; expected an integer >= 1"),
        ({"on": torch.ones(2, 2, dtype=torch.bool)}, "on= without start="),
        ({"on": torch.ones(2, 2), "start": Drive.read(volts(1, 1))}, "expected a bool for each"),
        ({"on": True, "start": Drive.read(volts(1, 1))}, "on is True; expected a bool for each"),
        (
            {"on": torch.ones(3, 2, dtype=torch.bool), "start": Drive.read(volts(1, 1))},
            r"on has shape \[3, 2\], but g has \[2, 2\]",
        ),
        ({"start": Drive.read(volts(1, 1, 1))}, r"start.word_line has shape \[3\]"),
        ({"start": volts(1, 1)}, "start is a Tensor; expected a Drive"),
        ({"series": circuit.Selector(i0=1e-9, v0=0.1)}, "expected a ThresholdSelector"),
    ],
)
def test_what_does_not_fit_is_an_error(given, message):
    with pytest.raises(MemcoreError, match=message):
        ramp(cells(2, 2), Wires(), Drive.read(volts(1, 1)), **{"series": SELECTOR, **given})
