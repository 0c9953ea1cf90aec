"""The ways to read arrays: one product, one kernel, told sums, or the currents of every tile."""

from memcore.crossbar.readers.electrical import Electrical
from memcore.crossbar.readers.exact import Exact
from memcore.crossbar.readers.sensed import Sensed
from memcore.crossbar.readers.tiled import Tiled

Reader = Exact | Tiled | Sensed | Electrical

__all__ = ["Electrical", "Exact", "Reader", "Sensed", "Tiled"]
