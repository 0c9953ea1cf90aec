"""
An array that you design
========================

For a designer of circuits: how much of the read voltage reaches each cell of a tile?
"""

# %%
# A tile of 32 × 32 cells between 10 kΩ and 1 MΩ, with 2 Ω in each segment of its wires and 100 Ω in each driver, read with 0.2 V. All voltages
# and currents are solved exactly:

import torch

import memcore
from memcore.circuit import Drive

g = 1e-6 * 100 ** torch.rand(32, 32, generator=torch.Generator().manual_seed(2)).double()
wires = memcore.Wires(word_line=2.0, bit_line=2.0, driver=100.0)
tile = memcore.Crossbar(g, wires=wires)
volts = torch.full((32,), 0.2, dtype=torch.float64)
solution = tile.solve(volts)
lost = 1 - solution.cell_voltage / 0.2
print(f"lost: {100 * lost.mean():.1f} % on average, {100 * lost.max():.1f} % at worst")

# %%
# Where it is lost:

ax = memcore.plot.crossbar(solution, "loss", drive=Drive.read(volts), wires=wires)

# %%
# How far does a better process reach? The same tile with other wires:

for segment in (0.5, 1.0, 2.0, 5.0):
    wires = memcore.Wires(word_line=segment, bit_line=segment, driver=100.0)
    solution = memcore.Crossbar(g, wires=wires).solve(volts)
    worst = 1 - solution.cell_voltage.min() / 0.2
    print(f"{segment} ohm in a segment: {100 * worst:.1f} % lost at worst")

# %%
# :doc:`/physics/circuit` has selectors, transistors and half-selected cells; :doc:`/howto/spice` writes a netlist for ngspice, which checks all of this.
