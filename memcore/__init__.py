"""memcore turns a trained PyTorch network into a memristive one and says what its devices cost.

Importing this package imports no torch; a name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from memcore._version import __version__
from memcore.errors import (
    CalibrationWarning,
    ConfigError,
    ConversionError,
    DuplicatePluginError,
    MemcoreDeprecationWarning,
    MemcoreError,
    MemcoreWarning,
    NativeError,
    NoEffectWarning,
    PluginLoadError,
    PluginShadowWarning,
    RegistryError,
    UnknownPluginError,
)
from memcore.registry import Provider, Registry

if TYPE_CHECKING:
    from memcore import circuit, fitting, native, plot, spice, stimuli, study, testing
    from memcore.config import CrossbarConfig
    from memcore.conversion import age, calibrate, convert, convert_, program, revert_
    from memcore.crossbar import Crossbar
    from memcore.diagnosis import check_ideal, diagnose
    from memcore.distributions import Distribution, LogNormal, Normal, Uniform
    from memcore.dynamics import Trace, simulate
    from memcore.fitting import fit
    from memcore.forms import (
        Affine,
        Aging,
        Effective,
        Form,
        Gaussian,
        Lookup,
        Steady,
        UniformLevels,
    )
    from memcore.hookspecs import (
        ArrayInfo,
        Contract,
        Converter,
        CostModel,
        Mapper,
        Memristor,
        NonIdeality,
        Programmer,
        hookimpl,
    )
    from memcore.ops.effective_conductance import effective_conductance
    from memcore.parameters import Parameter, Preset, parameter
    from memcore.random import ReadStream, Stream
    from memcore.records import Context, Cost, Events, Mapped, Programmed, Stage
    from memcore.report import provenance, summary
    from memcore.wired import Wired
    from memcore.wires import Wires

_LAZY: dict[str, str] = {
    name: module
    for module, names in {
        "config": "CrossbarConfig",
        "conversion": "age calibrate convert convert_ program revert_",
        "crossbar": "Crossbar",
        "diagnosis": "check_ideal diagnose",
        "distributions": "Distribution LogNormal Normal Uniform",
        "dynamics": "Trace simulate",
        "fitting": "fit",
        "forms": "Affine Aging Effective Form Gaussian Lookup Steady UniformLevels",
        "hookspecs": "ArrayInfo Contract Converter CostModel Mapper Memristor NonIdeality "
        "Programmer hookimpl",
        "parameters": "Parameter Preset parameter",
        "random": "ReadStream Stream",
        "ops.effective_conductance": "effective_conductance",
        "records": "Context Cost Events Mapped Programmed Stage",
        "report": "provenance summary",
        "wired": "Wired",
        "wires": "Wires",
    }.items()
    for name in names.split()
}
_MODULES = frozenset(
    {"circuit", "fitting", "native", "plot", "spice", "stimuli", "study", "testing"}
)


def _registry(kind: str, singular: str) -> Registry[Any]:
    def check(plugin: Any, provider: Provider) -> None:
        from memcore.verification import verify

        verify(plugin, kind, f"{singular} {provider.name!r} from {provider}")

    return Registry(kind, singular, check)


devices = _registry("devices", "device")
nonidealities = _registry("nonidealities", "non-ideality")
mappers = _registry("mappers", "mapper")
programmers = _registry("programmers", "programmer")
converters = _registry("converters", "converter")
costs = _registry("costs", "cost model")


def registries() -> dict[str, Registry[Any]]:
    """All registries by kind."""
    every = (devices, nonidealities, mappers, programmers, converters, costs)
    return {registry.kind: registry for registry in every}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        value = getattr(import_module(f"memcore.{_LAZY[name]}"), name)
    elif name in _MODULES:
        value = import_module(f"memcore.{name}")
    else:
        raise AttributeError(f"module 'memcore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_MODULES})


__all__ = [
    "Affine",
    "Aging",
    "ArrayInfo",
    "CalibrationWarning",
    "ConfigError",
    "Context",
    "Contract",
    "ConversionError",
    "Converter",
    "Cost",
    "CostModel",
    "Crossbar",
    "CrossbarConfig",
    "Distribution",
    "DuplicatePluginError",
    "Effective",
    "Events",
    "Form",
    "Gaussian",
    "LogNormal",
    "Lookup",
    "Mapped",
    "Mapper",
    "MemcoreDeprecationWarning",
    "MemcoreError",
    "MemcoreWarning",
    "Memristor",
    "NativeError",
    "NoEffectWarning",
    "NonIdeality",
    "Normal",
    "Parameter",
    "PluginLoadError",
    "PluginShadowWarning",
    "Preset",
    "Programmed",
    "Programmer",
    "Provider",
    "ReadStream",
    "Registry",
    "RegistryError",
    "Stage",
    "Steady",
    "Stream",
    "Trace",
    "Uniform",
    "UniformLevels",
    "UnknownPluginError",
    "Wired",
    "Wires",
    "__version__",
    "age",
    "calibrate",
    "check_ideal",
    "circuit",
    "convert",
    "convert_",
    "converters",
    "costs",
    "devices",
    "diagnose",
    "effective_conductance",
    "fit",
    "fitting",
    "hookimpl",
    "mappers",
    "native",
    "nonidealities",
    "parameter",
    "plot",
    "program",
    "programmers",
    "provenance",
    "registries",
    "revert_",
    "simulate",
    "spice",
    "stimuli",
    "study",
    "summary",
    "testing",
]
