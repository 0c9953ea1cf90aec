"""The ways to read arrays: one product, one kernel, told sums, or the currents of every tile."""

from memcore.crossbar.readers.bounded import Bounded
from memcore.crossbar.readers.electrical import Electrical
from memcore.crossbar.readers.exact import Exact
from memcore.crossbar.readers.in_order import InOrder
from memcore.crossbar.readers.ranging import Ranging
from memcore.crossbar.readers.sensed import Sensed
from memcore.crossbar.readers.serial import Serial
from memcore.crossbar.readers.tiled import Tiled
from memcore.crossbar.readers.tiled_lanes import TiledLanes
from memcore.crossbar.readers.unwritten import Unwritten

#: What reads arrays; cells of one step of a training may be read by what is no module.
Reader = Exact | Tiled | TiledLanes | Serial | Sensed | Electrical | InOrder
AnyReader = Reader | Unwritten

__all__ = [
    "AnyReader",
    "Bounded",
    "Electrical",
    "Exact",
    "InOrder",
    "Ranging",
    "Reader",
    "Sensed",
    "Serial",
    "Tiled",
    "TiledLanes",
    "Unwritten",
]
