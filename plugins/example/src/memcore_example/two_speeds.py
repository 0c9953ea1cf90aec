"""Write coarsely, then finely."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from memcore import ArrayInfo, Context, Memristor, Programmed, parameter, writing


@dataclass(frozen=True, kw_only=True)
class ExampleTwoSpeeds(writing.PulseOptions, writing.LineOptions, writing.ReadOptions):
    """Coarse pulses until a cell crosses its target, then fine ones until it is near enough."""

    incremental = True  # a rewrite starts from what the cells hold
    lines = "path"  # one cell conducts at a time: wires are in series with it

    coarse: float = parameter(0.1, "1", "Largest move of a coarse pulse, of the window", above=0)
    tolerance: float = parameter(0.01, "1", "Accepted error, of the window", above=0)
    max_pulses: int = parameter(200, "1", "Most pulses of a cell", at_least=0)

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        cells = writing.SingleCells.of(array, target, ctx, lines=self, reads=self)
        goal, state, kinds = target.reshape(-1), cells.first, self.kinds(array.nominal)
        within = self.tolerance * writing.Probe(array.nominal, up=True).span
        pulses, energy, time = (torch.zeros_like(goal) for _ in range(3))
        up = fine = torch.zeros_like(goal, dtype=torch.bool)
        for n in range(self.max_pulses + 1):
            reading = cells.all.read(state, "verify", n)
            missing = goal - reading.value
            going = missing.abs() > within
            energy, time = energy + reading.energy, time + cells.reads.time
            if n == self.max_pulses or not going.any():
                break
            fine = fine | ((missing > 0) != up) if n else fine
            up, state, pulses = missing > 0, state.clone(), pulses + going
            for (rises, is_fine), pulse in kinds.items():
                some = (going & (up == rises) & (fine == is_fine)).nonzero().squeeze(1)
                sent = cells.chosen(some)
                after = sent.pulse(state[:, some], pulse.voltage, pulse.width, "pulse", n)
                state[:, some] = after.state
                energy[some] += after.energy
                time[some] += pulse.width
        spent = {"pulses": pulses, "energy": energy, "time": time, "verified": ~going}
        return writing.report(array, target, state, conductance=reading.true, **spent)

    def kinds(self, nominal: Memristor) -> dict[tuple[bool, bool], writing.Pulse]:
        """The pulses by direction (True: SET) and speed (True: fine)."""
        pulses = {}
        for probe in (writing.Probe(nominal, up=False), writing.Probe(nominal, up=True)):
            wanted = self.wanted(up=probe.up)
            v = writing.find_voltage(probe, wanted.voltage)
            for is_fine, share in ((False, self.coarse), (True, self.tolerance)):
                step = partial(torch.full_like, fill_value=share * probe.span)
                width = probe.gentle(v, step) if is_fine or not wanted.width else wanted.width
                pulses[probe.up, is_fine] = writing.Pulse(v, width)
        return pulses
