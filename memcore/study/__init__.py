"""The main job: a study of what a network loses on memristive crossbars.

`run` trains or loads a network, evaluates it on virtual chips at each point of the sweeps, and
writes a table, a CSV and a plot; `load` reads a results folder back, `report` makes a page of it.
"""

from memcore._keywords import hint_all
from memcore.study.config import Axis, General, Study, Sweep, read
from memcore.study.data import Dataset, Split
from memcore.study.page import report
from memcore.study.results import Results, Row
from memcore.study.runner import run
from memcore.study.store import load
from memcore.study.training import Recipe

__all__ = [
    "Axis",
    "Dataset",
    "General",
    "Recipe",
    "Results",
    "Row",
    "Split",
    "Study",
    "Sweep",
    "load",
    "read",
    "report",
    "run",
]

hint_all(globals(), __all__)
