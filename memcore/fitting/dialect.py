"""How a file writes its numbers: encoding, separators, and which of several records is meant."""

import codecs
import csv
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Final, Literal

from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.errors import ConfigError

#: First bytes of files that hold no text, and what they are.
_BINARY: Final = {
    b"PK\x03\x04": "a workbook (.xlsx, .ods) or another zip archive",
    b"\xd0\xcf\x11\xe0": "a workbook of old Excel (.xls)",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip archive",
    b"TDSm": "a TDMS file of LabVIEW",
    b"MATLAB 5": "a MAT file",
}
_BY_EAR: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORDS: Final = {
    "tab": "\t",
    "\\t": "\t",
    "blank": " ",
    "space": " ",
    "comma": ",",
    "semicolon": ";",
}
_LINE_ENDS: Final = re.compile(r"\r\n|\r|\n")
MARKS: Final = ("refuse", "drop")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a file of measured numbers is written.

    Args:
        delimiter: separator of the columns; " " stands for any number of blanks, and "tab" for a
            tabulator.
        decimal: character before the decimals of a number, "." or ",".
        encoding: name of the encoding; by default that of the byte-order mark, else UTF-8 or
            Latin-1.
        record: number of the record to read, from 1, where a file holds several.
        marks: what becomes of cells that an instrument marks as no measurement, such as 9.91e37 or
            OVERFLOW: "refuse" them, or "drop" their samples.
        missing: further cells that stand for no measurement, such as "-999"; their samples are
            dropped.
        transposed: whether each quantity stands in a row, its name first.

    Raises:
        ConfigError: a value does not fit.
    """

    delimiter: str = ","
    decimal: str = "."
    encoding: str | None = None
    record: int | None = None
    marks: Literal["refuse", "drop"] = "refuse"
    missing: Sequence[str] = ()
    transposed: bool = False

    def __post_init__(self) -> None:
        sign = self.delimiter
        if isinstance(sign, str):
            sign = _WORDS.get(sign, sign)
            object.__setattr__(self, "delimiter", sign)
        if not isinstance(sign, str) or len(sign) != 1 or sign in '"\r\n':
            raise ConfigError(
                f"delimiter={shown(sign)}; expected one character, such as ',' or ';' or '\\t': "
                "blanks beside it do not count"
            )
        if not isinstance(self.decimal, str) or self.decimal not in (".", ","):
            raise ConfigError(f"decimal={shown(self.decimal)}; expected '.' or ','")
        if self.decimal == self.delimiter:
            raise ConfigError(
                f"decimal={self.decimal!r} and delimiter={sign!r} are the same character; expected "
                "two: files with decimal commas separate columns by ';' or a tabulator"
            )
        number = self.record
        if number is not None and (not _check.is_integer(number) or number < 1):
            raise ConfigError(f"record={shown(number)}; expected the number of a record, from 1")
        if not isinstance(self.marks, str) or self.marks not in MARKS:
            raise ConfigError(f"marks={shown(self.marks)}; expected one of {', '.join(MARKS)}")
        if not is_list_of_texts(self.missing):
            raise ConfigError(
                f"missing={shown(self.missing)}; expected a list of cells, as texts: "
                "missing=['-999']"
            )
        if not isinstance(self.transposed, bool):
            raise ConfigError(f"transposed={shown(self.transposed)}; expected True or False")
        self._known_encoding()

    def _known_encoding(self) -> None:
        try:
            if self.encoding is not None:
                b"0".decode(self.encoding, "replace")
        except (LookupError, TypeError, ValueError):
            raise ConfigError(
                f"encoding={shown(self.encoding)} is unknown; expected one such as utf-8, utf-16, "
                "cp1252, gb18030 or shift_jis"
            ) from None

    def rows(self, content: bytes, path: str | Path) -> list[list[str]]:
        """The cells of a file.

        Args:
            content: bytes of the file.
            path: path of the file, for messages.

        Raises:
            ConfigError: the file holds no text, or text of another encoding.
        """
        # Other characters at which Python splits are letters of old encodings.
        lines = _LINE_ENDS.split(self._text(content, path))
        rows: list[list[str]] = []
        if self.delimiter == " ":
            rows = [line.split() for line in lines]
        else:
            try:
                reader = csv.reader(lines, delimiter=self.delimiter)
                for row in reader:  # a quoted cell may take several lines
                    rows += [[] for _ in range(len(rows) + 1, reader.line_num)]
                    rows.append(row)
            except csv.Error as error:
                raise ConfigError(
                    f"'{path}' is no table of columns separated by {self.delimiter!r} ({error}); "
                    "expected text: is the delimiter another?"
                ) from None
        if self.transposed:
            return [list(row) for row in zip_longest(*rows, fillvalue="")]
        return rows

    def _text(self, content: bytes, path: str | Path) -> str:
        for begin, kind in _BINARY.items():
            if content.startswith(begin):
                raise ConfigError(
                    f"'{path}' is {kind}; expected a text file: save its table as CSV first"
                )
        if self.encoding is not None:
            try:
                return content.decode(self.encoding).removeprefix("\ufeff")
            except (UnicodeDecodeError, UnicodeError) as error:
                raise ConfigError(
                    f"'{path}' is not in the encoding {self.encoding!r} ({error}); expected that "
                    "of the file"
                ) from None
        for mark, name in _BY_EAR:
            if content.startswith(mark):
                try:
                    return content.decode(name)
                except UnicodeDecodeError as error:
                    raise ConfigError(
                        f"'{path}' begins as {name.upper()} but is broken ({error}); expected a "
                        "whole file"
                    ) from None
        if b"\x00" in content[:4096]:
            raise ConfigError(
                f"'{path}' has zero bytes: it is no text, or UTF-16 without a byte-order mark; "
                "expected text: give encoding='utf-16-le' or 'utf-16-be', or save it as UTF-8"
            )
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:  # instruments write the micro sign in Latin-1
            return content.decode("latin-1")


def plain(text: str) -> str:
    """A heading as it is compared: look-alike characters are one, blanks about it do not count."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def is_list_of_texts(value: object) -> bool:
    """Whether a value is a list, or the like, of texts; a text itself is none."""
    several = isinstance(value, Collection) and not isinstance(value, str | Mapping | Tensor)
    return several and all(isinstance(each, str) for each in value)  # type: ignore[attr-defined]
