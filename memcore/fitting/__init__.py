"""Fitting device models to measurements: the arguments and the result of `memcore.fit`."""

from memcore.fitting import curves
from memcore.fitting.device_records import IVCurve, Records, load_records
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import IVData, PulseData
from memcore.fitting.options import FitOptions
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.run import fit
from memcore.fitting.table import Table, read_table
from memcore.fitting.tabulated import Tabulating, Tabulation
from memcore.fitting.units import Quantity

__all__ = [
    "Dialect",
    "Fit",
    "FitOptions",
    "FittedParameter",
    "IVCurve",
    "IVData",
    "PulseData",
    "Quantity",
    "Records",
    "Table",
    "Tabulating",
    "Tabulation",
    "curves",
    "fit",
    "load_records",
    "read_table",
]
