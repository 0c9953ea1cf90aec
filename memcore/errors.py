"""Every error and warning that memcore raises on purpose."""


class MemcoreError(Exception):
    """Base of all memcore errors."""


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
    """A configuration names something that does not exist or does not fit."""


class ConversionError(MemcoreError):
    """A model cannot be converted, reverted or used as asked."""


class StudyError(MemcoreError):
    """A study cannot be read, trained, evaluated or resumed as asked."""


class ShapeError(MemcoreError, ValueError):
    """A tensor has a shape, a type or values that do not fit."""


class NativeError(MemcoreError, RuntimeError):
    """The compiled module is required and not usable."""


class MemcoreWarning(UserWarning):
    """Base of all memcore warnings."""


class PluginShadowWarning(MemcoreWarning):
    """A third-party plugin bears the name of a bundled one; the bundled one keeps it."""


class CalibrationWarning(MemcoreWarning):
    """A converter took its range from the first batch it saw."""


class NoEffectWarning(MemcoreWarning):
    """A configured effect changed nothing."""


class MemcoreDeprecationWarning(MemcoreWarning, DeprecationWarning):
    """Works for now and goes away after the next minor release."""
