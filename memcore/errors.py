"""Every error and warning that memcore raises on purpose."""

import sys
import warnings


class MemcoreError(Exception):
    """Base of all errors that memcore raises on purpose.

    Where Python has a class for the same kind of mistake, the error is one of that class too: a
    `ConfigError` is a `ValueError`, an `ArgumentTypeError` is a `TypeError`.
    """


class RegistryError(MemcoreError):
    """Something is wrong with a plugin or with its name."""


class UnknownPluginError(RegistryError, KeyError):
    """No plugin of that name is installed; also a `KeyError`, so that `.get` and `in` work."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class PluginLoadError(RegistryError):
    """The plugin is installed but cannot be used; not a `KeyError`, so `.get` never hides it."""


class DuplicatePluginError(RegistryError):
    """Two distributions claim one name and neither is memcore itself."""


class ConfigError(MemcoreError, ValueError):
    """An argument, a parameter or a configuration has a value that does not fit."""


class UnknownComponentError(ConfigError, KeyError):
    """No table of components has that name; also a `KeyError`, so that `.get` and `in` work."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class ShapeError(ConfigError):
    """A tensor has a shape that does not fit."""


class ArgumentTypeError(MemcoreError, TypeError):
    """An argument is of a type, or a tensor of a dtype, that the function cannot work with."""


class MissingPackageError(MemcoreError, ImportError):
    """A package that only some parts of memcore need is not installed or not usable."""


class ConvergenceError(MemcoreError, RuntimeError):
    """An iteration did not reach the tolerance that was asked for."""


class RecordingError(MemcoreError):
    """A device's step cannot be recorded for the native simulator; the message says which part."""


class ConversionError(MemcoreError):
    """A model cannot be converted, reverted or used as asked."""


class StudyError(MemcoreError):
    """A study cannot be read, trained, evaluated or resumed as asked."""


class NotFiniteError(StudyError):
    """Outputs of a network in a study, or what a metric says of them, are no finite numbers."""


class SpiceError(MemcoreError, RuntimeError):
    """A circuit simulator is not installed, failed or gave an answer that cannot be read."""


class NativeError(MemcoreError, RuntimeError):
    """The compiled module is required and not usable."""


class MemcoreWarning(UserWarning):
    """Base of all memcore warnings."""


class PluginShadowWarning(MemcoreWarning):
    """A third-party plugin bears the name of a bundled one; the bundled one keeps it."""


class CalibrationWarning(MemcoreWarning):
    """A converter took its range from the first batch, or pulses led to no symmetry points."""


class NoEffectWarning(MemcoreWarning):
    """A configured effect changed nothing."""


class StaleCellsWarning(MemcoreWarning):
    """Cells were written from other weights than the parameters of their layer hold now."""


class PartialConversionWarning(MemcoreWarning):
    """Most of the weights of a converted network stayed digital."""


class SaturationWarning(MemcoreWarning):
    """A converter clips more of its values than a well-chosen range does."""


class MemcoreDeprecationWarning(MemcoreWarning, DeprecationWarning):
    """Works for now and goes away after the next minor release."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's code that called memcore, past memcore's and torch's own."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_inside(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _is_inside(module: str) -> bool:
    return module.partition(".")[0] in ("memcore", "memcore_plugins", "torch", "contextlib")
