"""Fitting device models to measurements: what `memcore.fit` takes and returns."""

from memcore.fitting.data import IVData, PulseData
from memcore.fitting.records import IVCurve, Records, load_records
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.run import fit
from memcore.fitting.table import Table, read_table
from memcore.fitting.tabulated import Tabulating, Tabulation
from memcore.fitting.units import Quantity

__all__ = [
    "Fit",
    "FittedParameter",
    "IVCurve",
    "IVData",
    "PulseData",
    "Quantity",
    "Records",
    "Table",
    "Tabulating",
    "Tabulation",
    "fit",
    "load_records",
    "read_table",
]
