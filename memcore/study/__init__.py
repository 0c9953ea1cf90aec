"""The main job: a study of what a network loses on memristive crossbars.

`run` trains or loads a network, evaluates it on virtual chips at each point of the sweeps, and
writes a table, a CSV and a plot; `load` reads a results folder back, `report` makes a page of it.
"""

from memcore._keywords import hint_all
from memcore.study.axes import Axis, Sweep
from memcore.study.composing import compose
from memcore.study.compressing import Compression
from memcore.study.config import General, Study, read
from memcore.study.data import Dataset, Split
from memcore.study.finishing import collect
from memcore.study.in_place import InPlace
from memcore.study.loading import load
from memcore.study.measured import TrainedDevice, train_device
from memcore.study.page import report
from memcore.study.planning import Unit
from memcore.study.results import Difference, Results, Row
from memcore.study.runner import plan, run
from memcore.study.searching import search
from memcore.study.training import Recipe
from memcore.study.trials import Search, Trial
from memcore.study.watching import Status, status
from memcore.study.work import Plan, Result, evaluate

__all__ = [
    "Axis",
    "Compression",
    "Dataset",
    "Difference",
    "General",
    "InPlace",
    "Plan",
    "Recipe",
    "Result",
    "Results",
    "Row",
    "Search",
    "Split",
    "Status",
    "Study",
    "Sweep",
    "TrainedDevice",
    "Trial",
    "Unit",
    "collect",
    "compose",
    "evaluate",
    "load",
    "plan",
    "read",
    "report",
    "run",
    "search",
    "status",
    "train_device",
]

hint_all(globals(), __all__)
