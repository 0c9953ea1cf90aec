"""What sense amplifiers make of summed currents: tables of sensed sums, products through them.

Examples:
    >>> table = memcore.sensing_table("ideal", rows=4, spread=memcore.LogNormal(1.0, 0.1))
    >>> table.correct()[0] > 0.99
    tensor(True)
"""

from memcore._keywords import hint_all
from memcore.sensing.amplifier import midpoints
from memcore.sensing.convolution import sensing_table
from memcore.sensing.product import sensed_product
from memcore.sensing.sampled import sampled_sums
from memcore.sensing.table import SumTable

__all__ = ["SumTable", "midpoints", "sampled_sums", "sensed_product", "sensing_table"]

hint_all(globals(), __all__)
