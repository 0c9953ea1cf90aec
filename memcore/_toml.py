"""TOML files: all are read in one way, refused in the same words, and written in one form."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcore._text import printable, shown
from memcore.errors import ConfigError

_WIDE: Final = 96  #: characters of a table that is written in one line


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


def text(tables: Mapping[str, Any]) -> str:
    """Plain values as TOML; entries that are None are left out.

    A table that is too long for a line, or a list of tables, gets a heading of its own.
    """
    return "\n\n".join(_blocks(tables, "", "")) + "\n"


def line(key: str, value: Any) -> str:
    """A setting in one line, whatever its length."""
    return f"{_key(key)} = {_value(value)}"


def _blocks(table: Mapping[str, Any], path: str, heading: str) -> Iterator[str]:
    """A table with the entries that fit in lines, then each of the others."""
    short, long = [], []
    for key, value in _kept(table):
        entry = line(key, value)
        if (_is_tables(value) or isinstance(value, Mapping)) and (not path or len(entry) > _WIDE):
            long.append((key, value))
        else:
            short.append(entry)
    if short or (heading and (not long or heading.startswith("[["))):
        yield "\n".join([heading, *short] if heading else short)
    for key, value in long:
        place = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, Mapping):
            yield from _blocks(value, place, f"[{place}]")
        else:
            for each in value:
                yield from _blocks(each, place, f"[[{place}]]")


def _is_tables(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, Mapping) for each in value)
    )


def _kept(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        entries = ", ".join(f"{_key(k)} = {_value(v)}" for k, v in _kept(value))
        return f"{{ {entries} }}" if entries else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else _string(str(value))


def _string(text: str) -> str:
    """A string of JSON, which is one of TOML but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
