"""The ways to read arrays: one product, one kernel, told sums, or the currents of every tile."""

from memcore.crossbar.readers.electrical import Electrical
from memcore.crossbar.readers.exact import Exact
from memcore.crossbar.readers.in_order import InOrder
from memcore.crossbar.readers.sensed import Sensed
from memcore.crossbar.readers.tiled import Tiled
from memcore.crossbar.readers.unwritten import Unwritten

Reader = Exact | Tiled | Sensed | Electrical | InOrder | Unwritten

__all__ = ["Electrical", "Exact", "InOrder", "Reader", "Sensed", "Tiled", "Unwritten"]
