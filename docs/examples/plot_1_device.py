"""
A device that you measured
==========================

For a student with a file of volts and amperes: fit a model to it, see how well it fits, and keep the device for everything that follows.
"""

# %%
# You have a file with a column of seconds, one of volts and one of amperes. Here it is made up, with the noise that an instrument leaves:

import tempfile
from pathlib import Path

import torch

import memcore

folder = Path(tempfile.mkdtemp())
voltage = memcore.stimuli.sine(1.0, 1.0, dt=0.02, dtype=torch.float64)
cell = memcore.devices["linear_ion_drift"](r_on=180.0, r_off=9e3, x0=0.25)
trace = memcore.simulate(cell, voltage, 0.02)
noise = 2e-6 * torch.randn(len(voltage), generator=torch.Generator().manual_seed(1))
lines = [
    f"{t:.6g},{v:.6g},{i:.6g}"
    for t, v, i in zip(trace.time, voltage, trace.current + noise, strict=True)
]
(folder / "loop.csv").write_text("\n".join(["time,voltage,current", *lines]))

# %%
# Fit a model to it. The report says what the data determine, and how well:

fit = memcore.fit(
    "linear_ion_drift",
    folder / "loop.csv",
    columns={"time": "time", "voltage": "voltage", "current": "current"},
    units={"time": "s", "voltage": "V", "current": "A"},
    free=["r_on", "r_off", "x0"],
)
print(fit)

# %%
# The picture has the data, the model and what is left over:

figure = fit.plot()
figure.savefig(folder / "fit.png")

# %%
# The file that comes out can stand wherever a device is named: in a configuration, in a study, in :code:`memcore explore`.

fit.to_toml(folder / "mine.toml")
config = memcore.CrossbarConfig(device=str(folder / "mine.toml"))
chip = memcore.convert(torch.nn.Linear(64, 10), config, seed=0)
print(memcore.summary(chip))

# %%
# The values lie within their uncertainties of those that the file was made of. :doc:`/howto/fit` has more: other units, pulses, limits of the instrument.
