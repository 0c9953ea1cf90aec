"""What other simulators describe, as configurations and devices of memcore; one module for each.

Each importer returns an `Imported` or `ImportedWeights`, which also says what has no counterpart
here.
"""

from memcore._keywords import hint_all
from memcore.compat import aihwkit, crosssim, memtorch, neurosim, xbtorch
from memcore.compat.imported import Imported, ImportedWeights

__all__ = ["Imported", "ImportedWeights", "aihwkit", "crosssim", "memtorch", "neurosim", "xbtorch"]

hint_all(globals(), __all__)
