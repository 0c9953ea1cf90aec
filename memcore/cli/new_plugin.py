"""Starting a plugin package: a working copy of the example distribution, renamed throughout."""

import keyword
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from memcore.errors import ConfigError

_DISTRIBUTION: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
#: Packages that nobody should hide, wherever this runs.
_TAKEN: Final = frozenset({"numpy", "pip", "pytest", "scipy", "setuptools", "torch", "torchvision"})
_TEMPLATE: Final = "memcore-example"
#: What builds and test runs leave in a checkout.
_LEFTOVERS: Final = ("__pycache__", "*.egg-info", ".pytest_cache", "build", "dist", "results")


def create(name: str, destination: str | Path) -> Path:
    """Make a plugin package that builds, installs and passes its own tests.

    Args:
        name: name of the distribution, `memcore-mylab` by custom: the package to import is then
            `memcore_mylab`, the device `mylab_rram` and its class `MylabRram`.
        destination: folder to make.

    Returns:
        The folder.

    Raises:
        ConfigError: the name cannot be that of a package, or the folder exists already.
    """
    words = _renamed(name)
    folder = Path(destination)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"'{folder}' exists already; name a folder that does not")
    source = template()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".new-plugin-", dir=folder.parent) as beside:
            made = Path(beside) / "made"
            shutil.copytree(source, made, ignore=shutil.ignore_patterns(*_LEFTOVERS))
            _rename(made, words)
            _move(made, folder)
    except OSError as error:
        raise ConfigError(
            f"'{folder}' cannot be made: {error.strerror or error}; name a folder that can be "
            "written to"
        ) from error
    return folder


def _rename(folder: Path, words: dict[str, str]) -> None:
    for path in _deepest_first(folder):
        if path.is_file():
            path.write_text(_replace(path.read_text(encoding="utf-8"), words), encoding="utf-8")
        path.rename(path.with_name(_replace(path.name, words)))


def _move(made: Path, folder: Path) -> None:
    """All of a finished folder at once; piece by piece into one that exists already."""
    if not folder.exists():
        made.rename(folder)
        return
    for path in made.iterdir():
        path.rename(folder / path.name)


def template() -> Path:
    """The folder of the example: beside the package in a wheel, under `plugins` in a checkout.

    Raises:
        ConfigError: this installation has neither.
    """
    package = Path(__file__).parents[1]
    places = (package / "_template", package.parent / "plugins" / "example")
    for place in places:
        if (place / "pyproject.toml").is_file():
            return place
    raise ConfigError(
        f"the example plugin is neither in '{places[0]}' nor in '{places[1]}'; reinstall memcore"
    )


def _renamed(name: str) -> dict[str, str]:
    """The replacements of the words of the example; the first that fits counts."""
    short = name.removeprefix("memcore-").replace("-", "_")
    package = name.replace("-", "_")
    if not _DISTRIBUTION.match(name) or not short[0].isalpha() or keyword.iskeyword(package):
        raise ConfigError(
            f"{name!r} cannot name a plugin package; expected lower-case words and digits joined "
            "by hyphens, such as 'memcore-mylab'"
        )
    if package == "memcore" or short == "plugins":
        raise ConfigError(f"{name!r} would hide memcore itself; name it 'memcore-mylab', say")
    if _is_taken(package):
        raise ConfigError(
            f"{name!r} would hide the package {package} that is installed here; name it "
            f"'memcore-{name}', say"
        )
    return {
        _TEMPLATE: name,
        _TEMPLATE.replace("-", "_"): package,
        "Example": "".join(word.capitalize() for word in short.split("_")),
        "example": short,
    }


def _is_taken(package: str) -> bool:
    """Whether a package of that name would stand in the way of another one."""
    if package.startswith("memcore_"):  # a plugin, perhaps this one, made anew
        return False
    return package in _TAKEN or package in sys.stdlib_module_names or find_spec(package) is not None


def _replace(text: str, words: dict[str, str]) -> str:
    pattern = "|".join(map(re.escape, words))
    return re.sub(pattern, lambda match: words[match[0]], text)


def _deepest_first(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True)
