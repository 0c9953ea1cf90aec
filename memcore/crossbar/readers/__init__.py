"""The ways to read arrays: one product, one fused kernel, or the currents of every tile."""

from memcore.crossbar.readers.electrical import Electrical
from memcore.crossbar.readers.exact import Exact
from memcore.crossbar.readers.tiled import Tiled

Reader = Exact | Tiled | Electrical

__all__ = ["Electrical", "Exact", "Reader", "Tiled"]
