"""What every device promises of its physics and of the numerics of its `step`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck

from memcore.contracts.device import Memristor
from memcore.dynamics.probe import VOLTAGES
from memcore.testing.cases import compiled, context, fail
from memcore.testing.pulses import (
    EXACT,
    ROUNDED,
    TriedPulse,
    active,
    has_pulses,
    is_random,
    levels,
    reached,
    set_and_reset,
    share,
    travel,
    window,
)

# -- physics ---------------------------------------------------------------------------------------


def check_holds_its_state_at_0_volt(device: Memristor) -> None:
    """A memristor remembers."""
    if not has_pulses(device):
        return
    nominal = device.nominal()
    state = nominal.state_of(levels(device))
    before = nominal.conductance(state)
    for duration in (1e-9, 1e-3, 1.0, 1e3):
        after = nominal.conductance(
            nominal.step(state, torch.zeros_like(before), duration, context())
        )
        drift = share(device, after, before)
        if not drift <= EXACT:
            fail(
                device,
                f"state drifts at 0 V, by {100 * drift:.2g} % of the window in {duration:g} s",
                "return the state unchanged where the voltage is 0; a device that is volatile by "
                "nature is declared so in expected_failures",
            )


def check_no_current_at_0_volt(device: Memristor) -> None:
    """The hysteresis loop is pinched: I(V = 0) is exactly 0 in every state."""
    nominal = device.nominal()
    state = reached(device)
    current = nominal.current(state, torch.zeros(state.shape[1:], dtype=state.dtype))
    if bool((current != 0).any()):
        fail(
            device,
            f"{float(current.abs().max()):.3g} A flow at 0 V",
            "current(state, 0) is 0; an offset belongs into a non-ideality",
        )


def check_is_passive(device: Memristor) -> None:
    """The current never flows against the voltage."""
    nominal = device.nominal()
    state = reached(device)
    for magnitude in (1e-3, *VOLTAGES):
        for voltage in (magnitude, -magnitude):
            v = torch.full(state.shape[1:], voltage, dtype=state.dtype)
            power = v * nominal.current(state, v)
            if not bool((power >= 0).all()):
                fail(
                    device,
                    f"it delivers {float(-power.min()):.3g} W at {voltage:g} V",
                    "a memristor is passive: voltage * current >= 0",
                )


def check_set_and_reset_have_opposite_signs(device: Memristor) -> None:
    """A voltage of the polarity raises the conductance, one of the other sign lowers it."""
    if not has_pulses(device):
        return
    for sign, pulse in zip((1, -1), set_and_reset(device), strict=True):
        if pulse is None:
            fail(
                device,
                f"no voltage up to {sign * max(VOLTAGES):g} V moves the conductance within 1e5 s",
                "let step move the state; a device that is only ever programmed directly is "
                "declared so in expected_failures",
            )
        if pulse.moved * sign * device.polarity < 0:
            word = "raises" if pulse.moved > 0 else "lowers"
            fail(
                device,
                f"{pulse.voltage:g} V {word} the conductance, but polarity is {device.polarity:+d}",
                "polarity is the sign of the voltage that raises the conductance, and the other "
                "sign lowers it",
            )


# -- numerics --------------------------------------------------------------------------------------


def check_survives_absurd_pulses(device: Memristor) -> None:
    """No time and no voltage takes the state out of its range or makes it NaN."""
    if not has_pulses(device):
        return
    nominal = device.nominal()
    low, high = window(device)
    for dtype in (torch.float64, torch.float32):
        state = nominal.state_of(levels(device, dtype=dtype))
        for duration in (0.0, 1e-15, 1.0, 1e9):
            for magnitude in (1e-6, 1.0, 1e3):
                for voltage in (magnitude, -magnitude):
                    v = torch.full(state.shape[1:], voltage, dtype=dtype)
                    after = nominal.step(state, v, duration, context())
                    g = nominal.conductance(after).double()
                    slack = ROUNDED * (high - low)
                    inside = (g >= low - slack) & (g <= high + slack)
                    if not bool(after.isfinite().all()) or not bool(inside.all()):
                        fail(
                            device,
                            f"{duration:g} s at {voltage:g} V give conductances from "
                            f"{float(g.min()):.3g} to {float(g.max()):.3g} S in {dtype}",
                            f"stay in [{low:.3g}, {high:.3g}] S: clamp the state after a step and "
                            "the argument of exp and sinh before it",
                        )


def check_splitting_a_pulse_changes_nothing(device: Memristor) -> None:
    """A constant pulse acts like its two halves one after the other, up to 1 % of the window.

    A device with noise of its own is left out, here and below.
    """
    if is_random(device):
        return
    nominal = device.nominal()
    start = nominal.state_of(levels(device))
    for pulse in active(device):
        v = torch.full(start.shape[1:], pulse.voltage, dtype=torch.float64)
        for factor in (0.1, 1.0, 4.0):
            duration = factor * pulse.width
            whole = nominal.step(start, v, duration, context(0, 0))
            half = nominal.step(start, v, duration / 2, context(0, 0))
            both = nominal.step(half, v, duration / 2, context(0, 1))
            gap = travel(device, nominal.conductance(whole), nominal.conductance(both))
            error = float(gap.abs().max())
            if not error <= 0.01:
                fail(
                    device,
                    f"{duration:.3g} s at {pulse.voltage:g} V and two halves of that differ by "
                    f"{100 * error:.2g} % of the window",
                    "integrate a constant voltage exactly, or with steps that adapt to dt",
                )


def check_halving_dt_converges(device: Memristor) -> None:
    """A smooth pulse of either sign, cut into finer steps, has a limit."""
    if is_random(device):
        return
    nominal = device.nominal()
    start = nominal.state_of(levels(device))

    def end(pulse_voltage: float, duration: float, steps: int) -> Tensor:
        state = start
        for n in range(steps):
            angle = torch.tensor(torch.pi * (n + 0.5) / steps, dtype=torch.float64)
            v = pulse_voltage * angle.sin() * torch.ones(start.shape[1:], dtype=torch.float64)
            state = nominal.step(state, v, duration / steps, context(0, n))
        return nominal.conductance(state)

    for pulse in active(device):
        coarse, fine, limit = (end(pulse.voltage, 2 * pulse.width, n) for n in (2, 8, 32))
        far, near = (float(travel(device, limit, g).abs().max()) for g in (coarse, fine))
        if not near <= 0.5 * far + 1e-4:
            fail(
                device,
                f"a half sine of {pulse.voltage:g} V in 2, 8 and 32 steps has errors of "
                f"{100 * far:.2g} and {100 * near:.2g} % of the window against the last",
                "let step depend on dt so that finer steps agree better",
            )


def check_gradients(device: Memristor) -> None:
    """Where conductance and step are differentiable, autograd agrees with finite differences."""
    nominal = device.nominal()
    low, high = window(device)
    g = torch.linspace(low + 0.3 * (high - low), low + 0.7 * (high - low), 3, dtype=torch.float64)
    state = nominal.state_of(g)
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        # Relative changes: states may be metres, ohm or pure numbers.
        "conductance": lambda u: nominal.conductance(state * (1 + u)) / high
    }
    for pulse in () if is_random(device) else active(device):
        functions[f"step at {pulse.voltage:g} V"] = partial(_stepped, nominal, state, pulse)
    for name, function in functions.items():
        u = torch.zeros_like(state, requires_grad=True)
        if not function(u).requires_grad:
            continue
        try:
            gradcheck(function, (u,), eps=1e-6, atol=1e-5, rtol=1e-3)
        except GradcheckError as error:
            fail(
                device,
                f"the gradient of {name} is wrong: {str(error).splitlines()[0]}",
                "compute with differentiable torch functions, without .detach(), .item() or numpy",
            )


def _stepped(device: Memristor, state: Tensor, pulse: TriedPulse, change: Tensor) -> Tensor:
    """The conductance after a pulse whose voltage is changed by a share, over the highest one."""
    voltage = pulse.voltage * (1 + change)
    after = device.step(state, voltage, pulse.width, context())
    return device.conductance(after) / window(device)[1]


def check_compiles(device: Memristor) -> None:
    """`torch.compile` takes conductance, current and step in one graph each."""
    nominal = device.nominal()
    state = nominal.state_of(levels(device, dtype=torch.float32))
    pulse = next(active(device), None)
    v = torch.full(state.shape[1:], pulse.voltage if pulse else 0.1)
    duration, ctx = pulse.width if pulse else 1e-9, context()
    functions: dict[str, Callable[..., Tensor]] = {
        "conductance": lambda state, v: nominal.conductance(state),  # noqa: ARG005
        "current": nominal.current,
        "step": lambda state, v: nominal.step(state, v, duration, ctx),
    }
    if not has_pulses(device):
        del functions["step"]
    for name, function in functions.items():
        expected = function(state, v)
        try:
            result = compiled(function)(state, v)
        except Exception as error:
            fail(
                device,
                f"torch.compile cannot take {name} in one graph: {str(error).strip()[:300]}",
                "use torch functions of tensors only; no numpy, no .item(), no if on a value",
            )
        if not torch.allclose(result, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max())):
            fail(
                device,
                f"{name} compiled differs by {float((result - expected).abs().max()):.3g}",
                "let it depend on its arguments only",
            )


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_holds_its_state_at_0_volt,
    check_no_current_at_0_volt,
    check_is_passive,
    check_set_and_reset_have_opposite_signs,
    check_survives_absurd_pulses,
    check_splitting_a_pulse_changes_nothing,
    check_halving_dt_converges,
    check_gradients,
    check_compiles,
)
