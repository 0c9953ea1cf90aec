"""TOML files that users write: all are read in one way, and refused in the same words."""

import tomllib
from pathlib import Path
from typing import Any

from memcore._text import printable, shown
from memcore.errors import ConfigError


def read(path: str | Path, what: str, *, otherwise: str = "") -> dict[str, Any]:
    """The content of a TOML file in UTF-8.

    Args:
        path: path of the file.
        what: what the file is to its readers, for messages: "device file".
        otherwise: what to say where there is no such file; by default the current folder.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if not isinstance(path, str | Path):
        raise ConfigError(f"the {what} is {shown(path)}; expected the path of a TOML file")
    named = f"{what} '{printable(path)}'"
    try:
        if Path(path).exists() and not Path(path).is_file():  # a pipe would never end
            reason = "it is no regular file"
        else:
            return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        place = otherwise or f"the current folder is '{Path.cwd()}'"
        raise ConfigError(f"there is no {named}; {place}") from None
    except RecursionError:
        reason = "it is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        reason = f"it is no valid TOML: {error}"
    except UnicodeDecodeError as error:
        reason = f"it is no text in UTF-8: {error}"
    except (OSError, ValueError) as error:  # such as a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
    raise ConfigError(f"{named} cannot be read: {printable(reason)}; expected a TOML file")
