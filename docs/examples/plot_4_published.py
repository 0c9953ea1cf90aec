"""
What was published, beside what memcore computes
================================================

Six chips and simulators that publications report figures of, each as a configuration that comes with memcore. The difference is printed for each figure.
"""

# %%
# Power and area of ISAAC, what its simulator says of PUMA, energy and speed that were measured of NeuRRAM, and more:

import memcore

chips = memcore.gallery()
for chip in chips:
    print(chip, end="\n\n")

# %%
# All differences in one picture; where one is large, the table says what the model leaves out.

ax = memcore.plot.comparison(chips)

# %%
# :doc:`/costs/gallery` says how to hold a cost model of your own against figures of yours.
