"""Write-verify: read, pulse, read again, until the cell is near enough to its target."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from memcore import ArrayInfo, ConfigError, Context, Memristor, Programmed, parameter
from memcore.writing import (
    LineOptions,
    NoiseOptions,
    Probe,
    Pulse,
    PulseOptions,
    Ramps,
    SingleCells,
    VerifyLoop,
    find_voltage,
    growing_widths,
    remembered,
    warn_of_reach,
)

#: The longest pulse of a ramp, in times that the nominal device takes to cross its window.
_LONG = 10.0


@dataclass(frozen=True, kw_only=True)
class WriteVerify(PulseOptions, LineOptions, NoiseOptions):
    """Read each cell; stop inside a window about the target, else SET or RESET by one pulse.

    Pulses of one direction grow, in width or in amplitude (incremental-step pulse programming).
    When a cell has crossed its target the direction is reversed and the ramp begins anew, so that
    an overshoot shrinks with every reversal. A cell is given up when pulses at the end of the ramp,
    `patience` of them and enough for the nominal device to cross its window, do not move it: it is
    stuck, or its window ends before the target. A cell is also given up when it has used up its
    pulses or reversals. `verified` tells what the last verify read said, which may be good luck
    where reads are noisy; `error` is the true error.

    The device knows the sign of its voltages. Voltages and widths that are not given are searched
    on the nominal device: the first of 1, 1.5, 2, 3, 0.5, 5, 0.2, 8, 0.1 V that takes it across its
    window, and the longest first pulse that moves no state of it further than the tolerance. A
    rewrite starts from what the cells hold. Cells are written independently, and a verify read
    moves nothing; its noise is that of the cells and of the configuration, unless it is given.

    Cells can be written independently because each has an access transistor. The wires of the
    configuration, those of `ir_drop` for instance, and the `transistor` are then in series with the
    one cell that conducts. It moves by the voltage that is left, found anew for each of `parts` of
    a pulse, and takes more pulses the farther it is. Verify reads see the cell alone; energy is
    that of cell, transistor and wires. In a passive array neighbours are disturbed and sneak
    currents flow: `sequential_half_select` with several passes verifies and writes there.
    """

    incremental = True
    lines = "path"

    tolerance: float = parameter(
        0.01, "1", "Half width of the stop window: a share, or S where it is absolute", above=0
    )
    tolerance_of: Literal["window", "target", "absolute"] = parameter(
        "window",
        "1",
        "What the tolerance is a share of: the nominal window or the target; `absolute` is in S",
    )
    centred: bool = parameter(
        True,
        "1",
        "Whether a cell inside the stop window goes on while its next pulse should end nearer to "
        "the target",
    )
    ramp: Literal["width", "amplitude", "none"] = parameter(
        "width", "1", "What grows from pulse to pulse of one direction"
    )
    growth: float = parameter(
        1.5, "1", "Ratio of the widths of subsequent pulses, ramp `width`", above=1
    )
    max_width: float | None = parameter(
        None,
        "s",
        "Longest pulse, ramp `width`; None takes 10 times what the nominal device needs to cross "
        "its window",
        above=0,
    )
    increment: float = parameter(
        0.1, "V", "Difference of subsequent voltages, ramp `amplitude`", above=0
    )
    max_voltage: float | None = parameter(
        None, "V", "Highest magnitude, ramp `amplitude`; None takes twice the first one", above=0
    )
    max_pulses: int = parameter(200, "1", "Most pulses for each cell", at_least=0)
    max_reversals: int = parameter(
        30, "1", "Most reversals for each cell; 30 in NeuRRAM, Wan et al. 2022", at_least=0
    )
    parts: int = parameter(
        4,
        "1",
        "Number of parts of a pulse, where lines take part of its voltage: it is found anew for "
        "each",
        above=0,
    )
    patience: int = parameter(
        5,
        "1",
        "Least number of pulses without effect at the end of the ramp, after which a cell is given "
        "up",
        at_least=0,
    )

    def __post_init__(self) -> None:
        for end, ramp in (("max_width", "width"), ("max_voltage", "amplitude")):
            if getattr(self, end) is not None and self.ramp != ramp:
                raise ConfigError(
                    f"{end}={getattr(self, end)!r} with ramp={self.ramp!r}, where it has no "
                    f"effect; expected ramp={ramp!r}: set it, or leave {end} out"
                )

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx, nominal = dataclasses.replace(ctx, torch_device=target.device), array.nominal
        ramps = Ramps(*(self.ramp_of(nominal, up=up) for up in (False, True)))
        ends = {False: ramps.reset[-1], True: ramps.set[-1]}
        for up, end in ends.items():
            warn_of_reach(Probe(nominal, up), end.voltage)
        cells = SingleCells.of(array, target, ctx, lines=self, reads=self)
        cells.path.warn_without_headroom(list(ends.values()))
        return VerifyLoop(
            cells=cells,
            ramps=ramps,
            target=target.reshape(-1),
            within=self.allowed(target.reshape(-1), nominal),
            growth=self.growth if self.ramp == "width" else 1.0,
            patience=self._patience(nominal, ends),
            max_pulses=self.max_pulses,
            max_reversals=self.max_reversals,
            centred=self.centred,
            parts=self.parts,
        ).run()

    def _patience(self, nominal: Memristor, ends: dict[bool, Pulse]) -> int:
        """Pulses at the end of a ramp that would take the nominal device across its window."""
        times: list[float] = [
            remembered(Probe.crossing, Probe(nominal, up), end.voltage) / end.width
            for up, end in ends.items()
        ]
        return max(self.patience, math.ceil(max(times)))

    def allowed(self, g: Tensor, nominal: Memristor) -> Tensor:
        """Half the width of the stop window about conductances `g` in S, in S."""
        if self.tolerance_of == "target":
            return self.tolerance * g
        low, high = nominal.nominal_range()
        absolute = self.tolerance_of == "absolute"
        return torch.full_like(g, self.tolerance * (1.0 if absolute else high - low))

    def ramp_of(self, nominal: Memristor, *, up: bool) -> tuple[Pulse, ...]:
        """The SET or the RESET pulses for a nominal device, the first one first.

        Raises:
            ConfigError: the device does not move, or the ramp ends below its first pulse.
        """
        ramp: tuple[Pulse, ...] = remembered(WriteVerify._ramp, self, nominal, up)
        return ramp

    def _ramp(self, nominal: Memristor, up: bool) -> tuple[Pulse, ...]:
        probe, wanted = Probe(nominal, up), self.wanted(up=up)
        v = find_voltage(probe, wanted.voltage)
        width = wanted.width or probe.gentle(v, lambda g: self.allowed(g, nominal))
        self._require_rising("max_width", width, "s")
        self._require_rising("max_voltage", abs(v), "V")
        if self.ramp == "width":
            longest = self.max_width or max(_LONG * probe.crossing(v), width)
            return tuple(Pulse(v, w) for w in growing_widths(width, longest, self.growth))
        top = abs(v) if self.ramp == "none" else self.max_voltage or 2 * abs(v)
        steps = round((top - abs(v)) / self.increment) + 1
        return tuple(Pulse(v + probe.sign * k * self.increment, width) for k in range(steps))

    def _require_rising(self, end: str, first: float, unit: str) -> None:
        last = getattr(self, end)
        if last is not None and last < first:
            raise ConfigError(
                f"{end}={last!r} {unit} is below the first pulse; expected at least {first:g} "
                f"{unit}: raise it, or give a smaller first pulse"
            )
