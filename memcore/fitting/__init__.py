"""Fitting device models to measurements: what `memcore.fit` takes and returns."""

from memcore.fitting.data import IVData, PulseData
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.run import fit
from memcore.fitting.table import Table, read_table
from memcore.fitting.units import Quantity

__all__ = [
    "Fit",
    "FittedParameter",
    "IVData",
    "PulseData",
    "Quantity",
    "Table",
    "fit",
    "read_table",
]
