"""Files that a command writes: whether it can is checked before the work, not after."""

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from memcore.errors import ConfigError


class OutputFile(click.Path):
    """A file to write in a folder that exists.

    Args:
        picture: whether the file is a picture, in a format that matplotlib writes.
    """

    def __init__(self, *, picture: bool = False) -> None:
        super().__init__(dir_okay=False, path_type=Path)
        self.picture = picture

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            raise ConfigError(
                f"there is no folder '{path.parent}' to write '{path.name}' into; make it first"
            )
        if self.picture:
            _require_format(path)
        _require_writable(path)
        return path


class OutputFolder(click.Path):
    """A folder to write into, made where there is none."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        there = next(each for each in (path, *path.absolute().parents) if each.exists())
        if not there.is_dir():
            raise ConfigError(
                f"folder '{path}' cannot be made: '{there}' is no folder; expected another place"
            )
        if not os.access(there, os.W_OK):
            raise ConfigError(
                f"'{there}' cannot be written into: permission denied; expected another place"
            )
        return path


def _require_writable(path: Path) -> None:
    """Refuse a path that nothing can be written to, and leave no file there."""
    try:
        if path.exists():
            path.open("ab").close()
        else:
            TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be written: {error.strerror}; expected another place"
        ) from None


def _require_format(path: Path) -> None:
    from memcore.plot.axes import axes

    figure = axes(None).get_figure(root=True)
    assert figure is not None
    known = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ConfigError(
            f"picture '{path}'; expected a name that ends in one of "
            f"{', '.join(f'.{name}' for name in sorted(known))}"
        )
