"""Networks that text names: `"package.module:callable"`."""

from importlib import import_module
from typing import Any

from torch import nn

from memcore._text import shown
from memcore.errors import ConfigError


def network_of(name: str) -> nn.Module:
    """The network that "MODULE:CALLABLE" names: a module as it is, or what the callable returns.

    Raises:
        ConfigError: there is none of that name.
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
    if not isinstance(made, nn.Module) and callable(made):
        made = made()
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{name!r} gives {shown(made)}; expected a torch.nn.Module")
    return made
