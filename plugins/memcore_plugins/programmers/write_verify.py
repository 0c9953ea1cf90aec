"""Write-verify: read, pulse, read again, until the cell is near enough to its target."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from memcore import ArrayInfo, ConfigError, Context, Memristor, Programmed, Programmer, parameter
from memcore_plugins.programmers._cells import (
    CellParameters,
    Reads,
    beginning,
    of_cells,
    read_energy,
)
from memcore_plugins.programmers._checks import require_choice, require_numbers
from memcore_plugins.programmers._lines import Path
from memcore_plugins.programmers._pulses import Probe, Pulse, remembered

#: Cells that no longer move go less than this share of the tolerance.
_RESTING = 0.1
#: What read noise may pretend, in standard deviations of the difference of two reads.
_PRETENDED = 4.0 * 2**0.5
#: The longest pulse of a ramp, in times that the nominal device takes to cross its window.
_LONG = 10.0
#: Finished cells are dropped from the working set when they make up this share of it.
_DROP = 0.2


@dataclass(frozen=True, kw_only=True)
class WriteVerify(Programmer):
    """Read each cell; stop inside a window about the target, else SET or RESET by one pulse.

    Pulses of one direction grow, in width or in amplitude (incremental-step pulse programming).
    When a cell has crossed its target the direction is reversed and the ramp begins anew, so that
    an overshoot shrinks with every reversal. A cell is given up when pulses at the end of the ramp,
    `patience` of them and enough for the nominal device to cross its window, do not move it: it is
    stuck, or its window ends before the target; so is one that uses up its pulses or reversals.
    `verified` tells what the last verify read said, which noise may make lucky; `error` is the
    true one.

    The polarity is the device's. Voltages and widths that are not given are found on the nominal
    device: the first of 1, 1.5, 2, 3, 0.5, 5, 0.2, 8, 0.1 V that takes it across its window, and
    the longest first pulse that moves no state of it further than the tolerance. A rewrite starts
    from what the cells hold. All are written independently, and a verify read moves nothing; its
    noise is that of the cells and of the config, unless it is given.

    That cells can be written independently takes an access transistor in each. The wires of the
    config, those of `ir_drop` for instance, are then in series with the one cell that conducts,
    `transistor` too: it moves by what is left of the voltage, found anew for each of `parts` of a
    pulse, and takes more of them the farther it is. Verify reads see the cell alone; energy is that
    of cell, transistor and wires. In a passive array neighbours are disturbed and sneak currents
    flow: `sequential_half_select` with several passes verifies and writes there.
    """

    incremental = True
    through_wires = True

    tolerance: float = parameter(0.01, "1 or S", "half width of the stop window")
    tolerance_of: Literal["window", "target", "absolute"] = parameter(
        "window", "1", "share of the nominal window or of the target, or absolute, in S"
    )
    centred: bool = parameter(
        True, "1", "inside the window go on while the next pulse should end nearer to the target"
    )
    ramp: Literal["width", "amplitude", "none"] = parameter("width", "1", "what grows")
    set_voltage: float | None = parameter(
        None, "V", "magnitude of the first SET pulse; None: found"
    )
    reset_voltage: float | None = parameter(None, "V", "magnitude of the first RESET; None: found")
    set_width: float | None = parameter(None, "s", "of the first SET pulse; None: found")
    reset_width: float | None = parameter(None, "s", "of the first RESET pulse; None: found")
    growth: float = parameter(1.5, "1", "ratio of widths of subsequent pulses, ramp `width`")
    max_width: float | None = parameter(
        None, "s", "longest pulse; None: 10 crossings of the window"
    )
    increment: float = parameter(0.1, "V", "between subsequent pulses, ramp `amplitude`")
    max_voltage: float | None = parameter(None, "V", "highest magnitude; None: twice the first one")
    max_pulses: int = parameter(200, "1", "for each cell")
    max_reversals: int = parameter(30, "1", "for each cell; NeuRRAM, Wan et al. 2022: 30")
    wires: Literal["array", "none"] = parameter(
        "array", "1", "the wires of the array, as configured for reading, or ideal ones"
    )
    transistor: float = parameter(0.0, "ohm", "of the access transistor")
    parts: int = parameter(4, "1", "of a pulse, where its voltage depends on the cell")
    patience: int = parameter(5, "1", "pulses at the end of the ramp without effect, at least")
    read_noise: float | None = parameter(
        None, "1", "standard deviation of a verify read, share of G; None: the noise of a read"
    )
    read_noise_std: float | None = parameter(None, "S", "the same, not depending on G")
    read_voltage: float | None = parameter(
        None, "V", "of a verify read, for its energy; None: that of the config"
    )
    read_time: float = parameter(1e-7, "s", "of a verify read, for time and energy")

    def __post_init__(self) -> None:
        require_numbers(self, above=("tolerance", "growth", "increment", "parts"))
        require_choice(self, "tolerance_of", ("window", "target", "absolute"))
        require_choice(self, "ramp", ("width", "amplitude", "none"))
        require_choice(self, "wires", ("array", "none"))
        if not self.growth > 1:
            raise ConfigError(f"growth={self.growth!r}; expected a ratio > 1")
        for end, ramp in (("max_width", "width"), ("max_voltage", "amplitude")):
            if getattr(self, end) is not None and self.ramp != ramp:
                raise ConfigError(
                    f"{end}={getattr(self, end)!r} with ramp={self.ramp!r}, where it has no "
                    f"effect; expected ramp={ramp!r}"
                )

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx = dataclasses.replace(ctx, torch_device=target.device)
        if self.wires == "none":
            array = array.with_ideal_lines()
        ramps = tuple(self.ramp_of(array.nominal, up=up) for up in (False, True))
        for up, ramp in zip((False, True), ramps, strict=True):
            Probe(array.nominal, up).warn_of_reach(ramp[-1].voltage)
        plan = _Plan(
            ramps=ramps,
            patience=self._patience(array.nominal, ramps),
            growth=self.growth if self.ramp == "width" else 1.0,
        )
        run = _Run(self, plan, array, target, ctx)
        for pulse in range(self.max_pulses + 1):
            run.look(pulse)
            if not run.cell.numel():
                break
            run.pulse(pulse)
        return run.result()

    def _patience(self, nominal: Memristor, ramps: Sequence[Sequence[Pulse]]) -> int:
        """Pulses at the end of a ramp that would take the nominal device across its window."""
        ends = [(up, ramp[-1]) for up, ramp in zip((False, True), ramps, strict=True)]
        times: list[float] = [
            remembered(Probe.crossing, Probe(nominal, up), end.voltage) / end.width
            for up, end in ends
        ]
        return max(self.patience, math.ceil(max(times)))

    def allowed(self, g: Tensor, nominal: Memristor) -> Tensor:
        """Half the width of the stop window about a conductance, S."""
        if self.tolerance_of == "target":
            return self.tolerance * g
        low, high = nominal.nominal_range()
        absolute = self.tolerance_of == "absolute"
        return torch.full_like(g, self.tolerance * (1.0 if absolute else high - low))

    def ramp_of(self, nominal: Memristor, *, up: bool) -> tuple[Pulse, ...]:
        """The SET or the RESET pulses for a nominal device, the first one first."""
        ramp: tuple[Pulse, ...] = remembered(WriteVerify._ramp, self, nominal, up)
        return ramp

    def _ramp(self, nominal: Memristor, up: bool) -> tuple[Pulse, ...]:
        probe = Probe(nominal, up)
        given, width = (
            (self.set_voltage, self.set_width) if up else (self.reset_voltage, self.reset_width)
        )
        v = probe.voltage(given, "set_voltage" if up else "reset_voltage")
        width = width or probe.gentle(v, lambda g: self.allowed(g, nominal))
        self._require_rising("max_width", width, "s")
        self._require_rising("max_voltage", abs(v), "V")
        if self.ramp == "width":
            longest = self.max_width or max(_LONG * probe.crossing(v), width)
            return tuple(Pulse(v, w) for w in _geometric(width, longest, self.growth))
        top = abs(v) if self.ramp == "none" else self.max_voltage or 2 * abs(v)
        steps = round((top - abs(v)) / self.increment) + 1
        return tuple(Pulse(v + probe.sign * k * self.increment, width) for k in range(steps))

    def _require_rising(self, end: str, first: float, unit: str) -> None:
        last = getattr(self, end)
        if last is not None and last < first:
            raise ConfigError(
                f"{end}={last!r} {unit} is below the first pulse of {first:g} {unit}; expected at "
                "least that, or a smaller first pulse"
            )


def _geometric(first: float, last: float, growth: float) -> list[float]:
    found = [first]
    while found[-1] * growth < last:
        found.append(found[-1] * growth)
    return [*found, last]


@dataclass(frozen=True)
class _Plan:
    """The ramps, RESET first, as tables that cells look their pulse up in."""

    ramps: tuple[tuple[Pulse, ...], ...]
    patience: int
    growth: float
    top: tuple[int, int] = field(init=False)
    voltages: list[float] = field(init=False)
    widths: list[float] = field(init=False)

    def __post_init__(self) -> None:
        pulses = [pulse for ramp in self.ramps for pulse in ramp]
        last = len(self.ramps[0]) - 1, len(pulses) - 1
        object.__setattr__(self, "top", last)
        object.__setattr__(self, "voltages", [pulse.voltage for pulse in pulses])
        object.__setattr__(self, "widths", [pulse.width for pulse in pulses])


#: What the working set holds for each cell, besides its state.
_OWN = (
    *("cell", "target", "within", "up", "level", "reversals", "energy"),
    *("seconds", "read", "anchor", "waited", "done"),
)


class _Run:
    """The cells that are still being written, and the results of the others.

    `level` numbers the pulse that comes next in the table of both ramps.
    """

    def __init__(
        self, how: WriteVerify, plan: _Plan, array: ArrayInfo, target: Tensor, ctx: Context
    ) -> None:
        self.how, self.plan, self.ctx = how, plan, ctx
        self.writing = ctx.child("write", ctx.writes)
        self.array, g, where = array, target.reshape(-1), target.device
        state = beginning(array, target, ctx)
        self.state = state.reshape(len(state), g.numel())
        self.reads = Reads(array, how.read_noise, how.read_noise_std)
        self.parameters = CellParameters(array, g.shape)
        self.path = Path(array, how.transistor, target)
        self.path.warn_without_headroom([ramp[-1] for ramp in plan.ramps])
        self.device = self.parameters.pick(slice(None))
        self.target, self.within = g, how.allowed(g, array.nominal)
        self.cell = torch.arange(g.numel(), device=where)
        self.up = torch.zeros(g.shape, dtype=torch.bool, device=where)
        self.done = self.up
        self.level = self.reversals = self.waited = torch.zeros_like(self.cell)
        self.energy = self.seconds = self.read = self.anchor = torch.zeros_like(g)
        self.final = torch.zeros_like(self.state)
        self.out = {
            **{name: torch.zeros_like(g) for name in ("g", "error", "energy", "seconds")},
            **{name: torch.zeros_like(self.cell) for name in ("pulses", "reversals")},
            "verified": torch.zeros_like(self.up),
        }
        self.voltages = torch.tensor(plan.voltages, dtype=g.dtype, device=where)
        self.widths = sorted(set(plan.widths))
        kinds = [self.widths.index(width) for width in plan.widths]
        self.width_of = torch.tensor(kinds, device=where)

    def look(self, pulse: int) -> None:
        """Verify all cells, decide what each one gets next, and let go of those that are done."""
        how = self.how
        g = self.device.conductance(self.state)
        sigma = self.reads.sigma(g, self.cell)
        read = self.reads.taken(g, sigma, self.writing.child("verify", pulse), self.cell)
        self.seconds = self.seconds + how.read_time
        self.energy = self.energy + read_energy(how, self.array, g)
        missing = self.target - read
        up, inside = missing > 0, missing.abs() <= self.within
        if pulse == 0:
            self._turn(up, torch.ones_like(up))
            self.read = self.anchor = read
            self._finish(inside, inside, g, pulse)
            return
        crossed = up != self.up
        nearer = self._nears(read, missing, crossed) if how.centred else torch.zeros_like(inside)
        stuck = self._stuck(read, sigma, crossed)
        self.reversals = self.reversals + (crossed & ~inside)
        spent = self.reversals > how.max_reversals
        if pulse == how.max_pulses:
            spent = torch.ones_like(spent)
        self._turn(up, crossed)
        self.read = read
        self._finish((inside & ~nearer) | stuck | spent, inside, g, pulse)

    def _turn(self, up: Tensor, anew: Tensor) -> None:
        """The next pulse of the ramp, or the first one of the other."""
        reset, both = self.plan.top
        first = torch.where(up, reset + 1, 0)
        last = torch.where(up, both, reset)
        self.level = torch.where(anew, first, torch.minimum(self.level + 1, last))
        self.up = up

    def _nears(self, read: Tensor, missing: Tensor, crossed: Tensor) -> Tensor:
        """Whether the next pulse, like the last one but grown, should end nearer to the target."""
        step = torch.where(self.up, 1.0, -1.0).to(read) * (read - self.read) * self.plan.growth
        nearer: Tensor = ~crossed & (step > 0) & (step < 2 * missing.abs())
        return nearer

    def _stuck(self, read: Tensor, sigma: Tensor | float, crossed: Tensor) -> Tensor:
        """Whether the pulses at the end of the ramp have no effect."""
        reset, both = self.plan.top
        at_end = ((self.level == reset) | (self.level == both)) & ~crossed
        self.waited = torch.where(at_end, self.waited + 1, 0)
        self.anchor = torch.where(self.waited > 1, self.anchor, self.read)
        rests = (read - self.anchor).abs() <= _RESTING * self.within + _PRETENDED * sigma
        judged = self.waited >= self.plan.patience
        self.waited = torch.where(judged, 0, self.waited)
        return judged & rests

    def _finish(self, done: Tensor, inside: Tensor, g: Tensor, pulse: int) -> None:
        """Write down the cells that are done; now and then go on without them."""
        new = (done & ~self.done).nonzero().squeeze(1)
        self.done = self.done | done
        if new.numel():
            cell = self.cell[new]
            found = {"g": g, "error": g - self.target, "verified": inside}
            found |= {name: getattr(self, name) for name in ("energy", "seconds", "reversals")}
            for name, value in found.items():
                self.out[name][cell] = value[new]
            self.out["pulses"][cell] = pulse
            self.final[:, cell] = self.state[:, new]
        finished = int(self.done.sum())
        if finished == self.done.numel() or finished > _DROP * self.done.numel():
            self._drop()

    def _drop(self) -> None:
        left = (~self.done).nonzero().squeeze(1)
        for name in _OWN:
            setattr(self, name, getattr(self, name)[left])
        self.state = self.state[:, left]
        self.device = self.parameters.pick(self.cell)

    def pulse(self, pulse: int) -> None:
        """Give every cell its pulse; those of one width go together."""
        kinds = self.width_of[self.level]
        kinds = torch.where(self.done, len(self.widths), kinds)
        counts = torch.bincount(kinds, minlength=len(self.widths) + 1).tolist()
        if max(counts[:-1]) == len(kinds):
            self._apply(slice(None), self.widths[counts.index(len(kinds))], pulse)
            return
        order = kinds.argsort(stable=True)
        groups = zip(torch.split(order, counts)[:-1], self.widths, strict=True)
        for cells, width in groups:
            if cells.numel():
                self._apply(cells, width, pulse)

    def _apply(self, cells: Tensor | slice, width: float, pulse: int) -> None:
        state, v = self.state[:, cells], self.voltages[self.level[cells]]
        number = self.cell[cells]
        whole = isinstance(cells, slice)
        device = self.device if whole else self.parameters.pick(number)
        parts = self.how.parts if self.path.resists else 1
        energy = torch.zeros_like(v)
        for part in range(parts):
            seen = self.path.seen(v, device, state, number)
            names = ("pulse", pulse) if part == 0 else ("pulse", pulse, part)
            ctx = of_cells(self.writing, number, *names)
            after = device.step(state, seen, width / parts, ctx)
            current = device.current(state, seen) + device.current(after, seen)
            energy, state = energy + (0.5 * width / parts) * v * current, after
        if whole:
            self.state, self.energy = state, self.energy + energy
            self.seconds = self.seconds + width
            return
        self.state[:, cells] = state
        self.energy[cells] += energy
        self.seconds[cells] += width

    def result(self) -> Programmed:
        """Everything in the shape of the arrays."""
        shape = self.array.shape
        out = {name: value.view(shape) for name, value in self.out.items()}
        return Programmed(
            conductance=out["g"],
            pulses=out["pulses"],
            energy=out["energy"],
            verified=out["verified"],
            time=out["seconds"],
            reversals=out["reversals"],
            error=out["error"],
            state=self.final.view(-1, *shape),
        )
