"""Networks that text names: `"package.module:callable"`."""

from importlib import import_module
from typing import Any

from torch import nn

from memcore._text import shown
from memcore.errors import ConfigError, MemcoreError


def network_of(name: str) -> nn.Module:
    """The network that "MODULE:CALLABLE" names: a module as it is, or what the callable returns.

    Raises:
        ConfigError: there is none of that name, or what makes it fails.
    """
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ConfigError(f"network {name!r}; expected MODULE:CALLABLE")
    try:
        made: Any = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"network {name!r} is not found: {error}; expected a module in the working "
            "directory or an installed one, and a name in it"
        ) from error
    except Exception as error:  # whatever a module of the user's does when it is imported
        raise ConfigError(_failure(name, error)) from error
    if not isinstance(made, nn.Module) and callable(made):
        try:
            made = made()
        except MemcoreError:
            raise
        except Exception as error:
            raise ConfigError(_failure(name, error)) from error
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{name!r} gives {shown(made)}; expected a torch.nn.Module")
    return made


def _failure(name: str, error: Exception) -> str:
    return (
        f"network {name!r} fails: {type(error).__name__}: {error}; expected a module, or a "
        "callable that needs no arguments and returns one"
    )
