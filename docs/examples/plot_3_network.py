"""
A network that you study
========================

For research on hardware for machine learning: how much may cells differ before a network that reads digits notices?
"""

# %%
# The network comes with memcore, its weights too. Three virtual chips at each of four points, on a hundred images, take a few seconds:

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from memcore import study

results = study.run(
    {
        "study": {"name": "spread", "checkpoint": "digits_vgg", "chips": 3, "samples": 100},
        "crossbar": {"device": "ideal", "nonidealities": [{"name": "d2d", "std": 0.0}]},
        "sweep": [{"name": "spread", "axes": {"nonidealities.d2d.std": [0.05, 0.2, 0.3, 0.4]}}],
    },
    Path(tempfile.mkdtemp()) / "spread",
    progress=False,
)
print(results)

# %%
# Means over the chips, with their 95 % intervals:

figure, ax = plt.subplots(figsize=(5.2, 3.4), layout="constrained")
x = [row.setting["nonidealities.d2d.std"] for row in results]
y = [100 * row.mean for row in results]
low, high = zip(*((100 * end for end in row.bounds) for row in results), strict=True)
ax.errorbar(
    x,
    y,
    yerr=[[a - b for a, b in zip(y, low)], [b - a for a, b in zip(y, high)]],
    fmt="o-",
    capsize=4,
)
ax.axhline(100 * results.baseline, color="black", linestyle="--", label="digital")
ax.set(xlabel="relative standard deviation of the conductances", ylabel="accuracy (%)")
ax.legend()

# %%
# One offline page has all of it, to look at and to pass on: intervals, histograms of what the cells hold, provenance and citations.

page = study.report(results)
print(page.name, page.stat().st_size // 1000, "kB")

# %%
# :code:`memcore new-study mine.toml --device vteam --effect d2d` writes a study file to go on with; :doc:`/howto/study` has the rest.
