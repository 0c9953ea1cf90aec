"""Training in place: pulses on the cells of a converted network, by an update rule."""

from memcore._keywords import hint_all
from memcore.ops.counted_products import counted_products
from memcore.optim.cells import PulsedCells
from memcore.optim.granularity import granularity
from memcore.optim.in_situ import InSitu
from memcore.optim.pulser import Pulser
from memcore.optim.report import MatrixTraining, TrainingReport
from memcore.optim.trains import Trains, trains

__all__ = [
    "InSitu",
    "MatrixTraining",
    "PulsedCells",
    "Pulser",
    "TrainingReport",
    "Trains",
    "counted_products",
    "granularity",
    "trains",
]

hint_all(globals(), __all__)
