"""Fitting device models to measurements: the arguments and the result of `memcore.fit`."""

from memcore._keywords import hint_all
from memcore.fitting import curves
from memcore.fitting.ageing import Retaining
from memcore.fitting.device_records import IVCurve, Records, load_records
from memcore.fitting.dialect import Dialect
from memcore.fitting.measurements import IVData, PulseData
from memcore.fitting.on_off_data import OnOffData
from memcore.fitting.options import FitOptions
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.retention import fit_retention
from memcore.fitting.retention_data import RetentionData
from memcore.fitting.retention_result import RetentionFit
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
    "OnOffData",
    "PulseData",
    "Quantity",
    "Records",
    "Retaining",
    "RetentionData",
    "RetentionFit",
    "Table",
    "Tabulating",
    "Tabulation",
    "curves",
    "fit",
    "fit_retention",
    "load_records",
    "read_table",
]

hint_all(globals(), __all__)
