"""Columns of text files on the command line, and values by name."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

import click

from memcore.errors import ConfigError

#: Columns whose unit may be left out.
UNITLESS: Final = ("direction", "device", "curve", "level", "state", "pulse")
DELIMITER: Final = click.option(
    "--delimiter",
    default=",",
    show_default=True,
    help='Separator of the columns: a character, "tab", or "blank" for any number of blanks.',
)
DECIMAL: Final = click.option(
    "--decimal",
    default=".",
    show_default=True,
    help="Character before the decimals of a number, . or ,",
)
ENCODING: Final = click.option(
    "--encoding",
    help="Encoding of the file, such as utf-16 or gb18030.  [default: from its mark, else utf-8 or "
    "latin-1]",
)
RECORD: Final = click.option(
    "--record", type=int, help="Number of the record to read, from 1, where a file has several."
)
MARKS: Final = click.option(
    "--marks",
    type=click.Choice(("refuse", "drop")),
    default="refuse",
    show_default=True,
    help="What becomes of samples that the instrument marks, such as 9.91e37 or OVERFLOW.",
)
MISSING: Final = click.option(
    "--missing",
    multiple=True,
    help="Text of a cell that stands for no measurement, such as -999; once for each.",
)
TRANSPOSED: Final = click.option(
    "--transposed",
    is_flag=True,
    help="Read each quantity from a row, its name first, instead of from a column.",
)
#: How a file of measurements is written, by the names in `memcore.fitting.Dialect`.
DIALECT: Final = (DELIMITER, DECIMAL, ENCODING, RECORD, MARKS, MISSING, TRANSPOSED)

_Value = TypeVar("_Value")
_Command = TypeVar("_Command", bound=Callable[..., Any])


def dialect(command: _Command) -> _Command:
    """Give a command the options that say how a file of measurements is written."""
    for option in reversed(DIALECT):
        command = option(command)
    return command


def by_name(
    texts: Iterable[str], option: str, form: str, read: Callable[[str], _Value | None]
) -> dict[str, _Value]:
    """What stands behind the sign of equality in each text, by what stands before it.

    Args:
        texts: values of an option that may be given several times.
        option: name of the option, for messages.
        form: form of a value with an example, for messages.
        read: turns what stands behind into a value; None or a ValueError if it does not fit.

    Raises:
        ConfigError: a text has another form, or a name is given twice.
    """
    given: dict[str, _Value] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if name in given:
            raise ConfigError(f"{option} {name} is given twice; expected once")
        value = None
        if name and equals:
            with suppress(ValueError):
                value = read(rest)
        if value is None:
            raise ConfigError(f"{option} {text!r}; expected {form}")
        given[name] = value
    return given


def named_columns(texts: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The heading and the unit of each `WHAT=HEADING:UNIT`, by WHAT."""
    form = "WHAT=HEADING:UNIT, such as 'voltage=V (mV):mV'"
    named = {}
    for what, text in by_name(texts, "--column", form, str).items():
        heading, _, unit = text.rpartition(":")
        if what in UNITLESS and not (heading and unit):
            heading, unit = text, "1"
        if not (heading and unit):
            raise ConfigError(f"--column {f'{what}={text}'!r}; expected {form}")
        named[what] = heading, unit
    return named
