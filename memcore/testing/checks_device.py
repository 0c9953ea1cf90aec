"""What every device promises of its conductance, its tensors and its randomness."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.testing.cases import (
    Untouched,
    context,
    fail,
    has_distributions,
    leaves_global_randomness_alone,
)
from memcore.testing.pulses import (
    EXACT,
    ROUNDED,
    WANTED,
    TriedPulse,
    active,
    has_pulses,
    is_random,
    levels,
    reached,
    share,
    window,
)

# -- conductance -----------------------------------------------------------------------------------


def check_range_is_ordered(device: Memristor) -> None:
    """0 < lowest conductance < highest conductance, both finite."""
    low, high = window(device)
    if not 0 < low < high < float("inf"):
        fail(
            device,
            f"conductance range is [{low:.3g}, {high:.3g}] S",
            "conductance_range() returns (lowest, highest), both positive and finite",
        )


def check_conductance_is_finite_and_positive(device: Memristor) -> None:
    """The conductance is finite and positive in every state that the device can reach."""
    g = device.nominal().conductance(reached(device))
    if not bool(g.isfinite().all()) or not bool((g > 0).all()):
        fail(
            device,
            f"conductance range is [{float(g.min()):.3g}, {float(g.max()):.3g}] S",
            "a passive cell conducts at least a little in every state that step, initial_state and "
            "state_of return",
        )


def check_conductance_stays_in_its_range(device: Memristor) -> None:
    """The conductance stays in its range in every state that the device can reach."""
    g = device.nominal().conductance(reached(device))
    low, high = window(device)
    slack = EXACT * high
    if float(g.min()) < low - slack or float(g.max()) > high + slack:
        fail(
            device,
            f"conductances from {float(g.min()):.4g} to {float(g.max()):.4g} S leave the range "
            f"[{low:.4g}, {high:.4g}] S",
            "clamp the state in step, or correct conductance_range()",
        )


def check_state_of_inverts_conductance(device: Memristor) -> None:
    """Programming a conductance and reading it gives it back."""
    nominal = device.nominal()
    for dtype, tolerance in ((torch.float64, EXACT), (torch.float32, ROUNDED)):
        wanted = levels(device, dtype=dtype)
        conductance = nominal.conductance(nominal.state_of(wanted))
        error = share(device, conductance, wanted)
        if not error <= tolerance:
            worst = int((conductance - wanted).abs().argmax())
            fail(
                device,
                f"state_of({wanted[worst]:.4g} S) has {conductance[worst]:.4g} S in {dtype}",
                "state_of is the inverse of conductance",
            )


def check_state_of_stops_at_the_ends(device: Memristor) -> None:
    """A conductance outside the window gives the nearest end of it."""
    nominal = device.nominal()
    low, high = window(device)
    outside = torch.tensor([0.0, 0.5 * low, 2 * high, 1e3 * high], dtype=torch.float64)
    conductance = nominal.conductance(nominal.state_of(outside))
    error = share(device, conductance, outside.clamp(low, high))
    if not error <= EXACT:
        fail(
            device,
            f"state_of({[f'{g:.3g}' for g in outside.tolist()]} S) has "
            f"{[f'{g:.3g}' for g in conductance.tolist()]} S, outside or short of the ends",
            f"clamp to [{low:.4g}, {high:.4g}] S in state_of",
        )


# -- tensors ---------------------------------------------------------------------------------------


def check_shapes(device: Memristor) -> None:
    """State [k, *cells], everything else [*cells], for any number of dimensions."""
    nominal = device.nominal()
    low, high = window(device)
    for cells in ((), (5,), (2, 3, 4)):
        fresh = nominal.initial_state(cells, context())
        if fresh.dim() != len(cells) + 1:
            fail(
                device,
                f"initial_state returns {tuple(fresh.shape)} for cells {cells}",
                "expected [k, *cells] with k state variables, k = 1 for a single one",
            )
        g = torch.full(cells, 0.5 * (low + high))
        state, v = nominal.state_of(g), torch.full(cells, 0.1)
        made: dict[str, tuple[Tensor, tuple[int, ...]]] = {
            "initial_state": (fresh, (len(fresh), *cells)),
            "state_of": (state, (len(fresh), *cells)),
            "conductance": (nominal.conductance(state), cells),
            "current": (nominal.current(state, v), cells),
        }
        if has_pulses(device):
            stepped = nominal.step(state, v, 1e-9, context())
            made["step"] = (stepped, (len(fresh), *cells))
        for method, (result, expected) in made.items():
            if tuple(result.shape) != expected:
                fail(
                    device,
                    f"{method} returns {tuple(result.shape)} for cells {cells}",
                    f"expected {expected}; states are [k, *cells], all else is [*cells]",
                )


def check_cells_do_not_see_each_other(device: Memristor) -> None:
    """Many cells at once give what each gives alone."""
    nominal = device.nominal()
    state = nominal.state_of(levels(device))
    if is_random(device) or not has_pulses(device):
        return
    # A step that mixes cells may move none of those that were tried together.
    clear = [pulse for pulse in active(device) if abs(pulse.moved) >= WANTED[0]]
    for pulse in clear or [TriedPulse(1.0, 1e-6, 0.0)]:
        v = pulse.voltage * torch.linspace(0.5, 1, state.shape[1], dtype=torch.float64)
        together = nominal.step(state, v, pulse.width, context())
        alone = [
            nominal.step(state[:, i : i + 1], v[i : i + 1], pulse.width, context())
            for i in range(state.shape[1])
        ]
        g, each = (nominal.conductance(s) for s in (together, torch.cat(alone, dim=1)))
        if not share(device, g, each) <= EXACT:
            fail(
                device,
                f"a cell moves differently among others at {pulse.voltage:g} V",
                "step works cell by cell; avoid sums, means and any() over cells",
            )


def check_inputs_stay_as_they_are(device: Memristor) -> None:
    """No method writes into its arguments."""
    nominal = device.nominal()
    g = levels(device)
    untouched = Untouched(conductance=g)
    state = nominal.state_of(g)
    untouched.require(device, "state_of")
    for pulse in (*active(device), None):
        v = torch.full(g.shape, pulse.voltage if pulse else 0.1, dtype=g.dtype)
        duration = pulse.width if pulse else 1e-9
        calls: dict[str, Callable[[], object]] = {
            "conductance": partial(nominal.conductance, state),
            "current": partial(nominal.current, state, v),
            "step": partial(nominal.step, state, v, duration, context()),
        }
        if not has_pulses(device):
            del calls["step"]
        for method, call in calls.items():
            untouched = Untouched(state=state, voltage=v)
            call()
            untouched.require(device, method)


def check_follows_the_dtype(device: Memristor) -> None:
    """float64 in, float64 out; float32 agrees with it up to rounding."""
    nominal = device.nominal()
    results: dict[torch.dtype, list[Tensor]] = {}
    for dtype in (torch.float64, torch.float32):
        state = nominal.state_of(levels(device, dtype=dtype))
        v = torch.full(state.shape[1:], 0.1, dtype=dtype)
        made = {"state_of": state, "conductance": nominal.conductance(state)}
        made["current"] = nominal.current(state, v)
        for pulse in active(device):
            made["step"] = nominal.step(
                state, torch.full_like(v, pulse.voltage), pulse.width, context()
            )
            results.setdefault(dtype, []).append(nominal.conductance(made["step"]))
        for method, result in made.items():
            if result.dtype != dtype:
                fail(
                    device,
                    f"{method} returns {result.dtype} for {dtype}",
                    "take dtypes from the arguments: torch.zeros_like(x), x.new_tensor(...)",
                )
    for single, double in zip(*results.values(), strict=True) if results else ():
        if not share(device, single, double) <= 10 * ROUNDED:
            fail(
                device,
                f"float32 and float64 differ by {share(device, single, double):.2g} of the window",
                "normalise the state (0 to 1, not metres) and avoid differences of large numbers",
            )


def check_follows_the_device(device: Memristor) -> None:
    """Tensors made inside live where the arguments do, and no value decides what is computed."""
    nominal = device.nominal()
    g = levels(device).to("meta")
    try:
        state = nominal.state_of(g)
        v = torch.zeros_like(g)
        made = {
            "state_of": state,
            "conductance": nominal.conductance(state),
            "current": nominal.current(state, v),
        }
        if has_pulses(device):
            made["step"] = nominal.step(state, v, 1e-9, context())
    except (RuntimeError, NotImplementedError) as error:
        fail(
            device,
            f"it cannot be run on another device: {error}",
            "create tensors with torch.zeros_like(x) or device=x.device, and use torch.where "
            "instead of if",
        )
    for method, result in made.items():
        if not result.is_meta:
            fail(
                device,
                f"{method} returns a tensor on {result.device} for arguments on meta",
                "create tensors with torch.zeros_like(x) or device=x.device",
            )


# -- randomness ------------------------------------------------------------------------------------


def check_same_seed_same_cells(device: Memristor) -> None:
    """The same chip again has the same cells, and another chip has others where they are drawn."""
    first, again, other = (device.sample((4, 5), context(seed)) for seed in (0, 0, 1))
    state = first.initial_state((4, 5), context(0))
    if not torch.equal(state, again.initial_state((4, 5), context(0))):
        fail(device, "initial_state differs for one seed", "draw from ctx.random only")
    results = []
    for cells, seed in ((first, 0), (again, 0), (other, 1)):
        v = torch.full((4, 5), 1.0, dtype=state.dtype)
        stepped = cells.step(state, v, 1e-6, context(seed)) if has_pulses(device) else state
        low, high = (torch.as_tensor(end).expand(4, 5) for end in cells.conductance_range())
        results.append(torch.stack([cells.conductance(stepped), low, high]))
    if not torch.equal(results[0], results[1]):
        fail(device, "the same seed gives other cells", "draw from ctx.random only")
    if has_distributions(device) and torch.equal(results[0], results[2]):
        fail(
            device,
            "two chips have equal cells although a parameter is a distribution",
            "let sample() draw each distribution, from ctx.random.child(<its name>)",
        )


def check_randomness_is_keyed(device: Memristor) -> None:
    """Nothing draws from the global generators."""

    def run() -> None:
        cells = device.sample((4, 5), context())
        state = cells.initial_state((4, 5), context())
        for voltage in (1.0, -1.0) if has_pulses(device) else ():
            cells.step(state, torch.full((4, 5), voltage, dtype=state.dtype), 1e-6, context())

    leaves_global_randomness_alone(device, run)


CHECKS: tuple[Callable[[Any], None], ...] = (
    check_range_is_ordered,
    check_conductance_is_finite_and_positive,
    check_conductance_stays_in_its_range,
    check_state_of_inverts_conductance,
    check_state_of_stops_at_the_ends,
    check_shapes,
    check_cells_do_not_see_each_other,
    check_inputs_stay_as_they_are,
    check_follows_the_dtype,
    check_follows_the_device,
    check_same_seed_same_cells,
    check_randomness_is_keyed,
)
