"""memcore turns a trained PyTorch network into a memristive one and says what its devices cost.

Importing this package imports no torch; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import Any

from memcore import _moved
from memcore._display import DISPLAYS
from memcore._keywords import hinted
from memcore._version import __version__
from memcore.registry import Provider, Registry
from memcore.registry.instances import (
    compressions,
    converters,
    costs,
    devices,
    executors,
    layers,
    mappers,
    nonidealities,
    programmers,
    registries,
    updates,
)

#: The public names by the module that defines them; `__init__.pyi` says the same to type checkers.
_NAMES: dict[str, str] = {
    "circuit.effective": "effective_conductance",
    "contracts.array": "ArrayInfo",
    "compression.compress": "compress",
    "compression.sizes": "CompressionReport",
    "contracts.compression": "Compressed CompressionPass",
    "contracts.contract": "Contract hookimpl",
    "contracts.converter": "Converter",
    "contracts.cost": "Activity Charge Cost CostModel LayerWork",
    "contracts.device": "Memristor",
    "contracts.distributions": "Distribution Empirical LogNormal Normal Uniform",
    "contracts.effect": "NonIdeality",
    "contracts.executor": "Executor PoolExecutor",
    "contracts.forms": "Affine Aging Form Gaussian Lookup SerialLevels Steady UniformLevels",
    "contracts.layer": "Layer Operand",
    "contracts.lines": "Lines",
    "contracts.mapper": "Mapped Mapper Part Reference TwoParts",
    "contracts.parameters": "Parameter Preset parameter",
    "contracts.product": "Effective Product",
    "contracts.programmer": "Programmer",
    "contracts.sums": "OperationUnit Sums",
    "contracts.settings": "ArraySettings",
    "contracts.schedule": "Span Task Timeline list_schedule",
    "contracts.records": "Context Programmed Stage",
    "contracts.transfer": "Thresholds Transfer",
    "contracts.update": "Pair PulsedWeights UpdateRule",
    "contracts.wires": "Wires",
    "crossbar.config": "CrossbarConfig",
    "crossbar.crossbar": "Crossbar",
    "crossbar.lane": "Lane",
    "crossbar.line_trace": "LineTrace",
    "crossbar.product": "Solved",
    "crossbar.training": "LearnedOutputRange LearnedRange Rehearsal",
    "crossbar.wired": "Wired",
    "dynamics.simulate": "Trace simulate",
    "errors": "ArgumentTypeError CalibrationWarning ConfigError ConvergenceError ConversionError "
    "DuplicatePluginError MemcoreDeprecationWarning MemcoreError MemcoreWarning "
    "MissingPackageError NativeError NoEffectWarning NotFiniteError PartialConversionWarning "
    "PluginLoadError PluginShadowWarning "
    "RecordingError RegistryError SaturationWarning ShapeError SpiceError StaleCellsWarning "
    "StudyError UnknownComponentError UnknownPluginError",
    "fitting": "fit",
    "nn.counting": "Counts counting",
    "nn.conversion": "convert convert_ revert_",
    "nn.calibration": "calibrate",
    "nn.compensation": "compensate",
    "nn.distillation": "distillation_loss",
    "nn.learned_step": "LearnedStep",
    "nn.tuning": "tune",
    "nn.weight_bounds": "clip_weights",
    "nn.verbs": "age program",
    "pages.explore": "explore",
    "random": "ReadStream Stream",
    "report.cells": "export_cells recorded_writes",
    "report.citations": "Citations cite",
    "report.cost": "cost",
    "report.compared": "CostComparison compare_costs",
    "report.cost_report": "CostReport LayerCost",
    "report.diagnosis": "diagnose",
    "report.gallery": "ChipComparison ChipFigure gallery",
    "report.ideal": "check_ideal",
    "report.linearity": "Linearity linearity",
    "report.provenance": "provenance",
    "report.ranges": "ConverterRange RangeReport check_ranges",
    "report.summary": "summary",
    "tables.component": "Component",
    "tables.library": "Components components",
    "tables.scaling": "scaled",
    "sensing.convolution": "sensing_table",
    "sensing.table": "SumTable",
}
#: The public modules; some live in a room of their own.
_MODULES: dict[str, str] = {
    **{
        name: name
        for name in [
            "circuit",
            "compat",
            "compression",
            "fitting",
            "modelling",
            "native",
            "optim",
            "plot",
            "recipes",
            "sensing",
            "spice",
            "study",
            "testing",
            "writing",
        ]
    },
    "stimuli": "dynamics.stimuli",
    "yields": "report.yields",
}
_LAZY = {name: module for module, names in _NAMES.items() for name in names.split()}

for _public in (Provider, Registry):
    hinted(_public)
DISPLAYS["device"] = lambda device: import_module("memcore.plot.notebook").device_html(device)
_moved.install()


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = hinted(getattr(import_module(f"memcore.{_LAZY[name]}"), name), "memcore")
    elif name in _MODULES:
        value = import_module(f"memcore.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'memcore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})


__all__ = [  # noqa: PLE0604, a list of names that the tables above hold
    *_LAZY,
    *_MODULES,
    "Provider",
    "Registry",
    "__version__",
    "compressions",
    "converters",
    "costs",
    "devices",
    "executors",
    "layers",
    "mappers",
    "nonidealities",
    "programmers",
    "registries",
    "updates",
]
