"""The text of a user's own code, by which results know whether it has changed.

A function counts with its module and with every module of the user's that this one reaches by
imports, wherever in the text they stand. What is installed is the user's only if the function
itself comes from there: other packages are known by the environment they live in.
"""

import ast
import hashlib
import importlib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_MARK: Final = "_memcore_text"
_INSTALLED: Final = {"site-packages", "dist-packages"}
_OURS: Final = {"memcore", "memcore_plugins"}


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let modules beside the study file and in the working directory be imported.

    No bytecode is written: a file that is edited within a second would be taken for its old text.
    """
    path, quiet = list(sys.path), sys.dont_write_bytecode
    sys.path[:0] = [str(folder), str(Path.cwd())]
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = quiet


def code(names: Iterable[str], folder: Path) -> dict[str, str]:
    """A short hash of the text of each module that functions of the user's reach.

    Args:
        names: names of components; short ones, which memcore brings, have no code of the user's.
        folder: folder of the study file.
    """
    found: dict[str, str] = {}
    with importable(folder):
        for name in names:
            module, colon, _ = name.partition(":")
            if colon:
                found |= _digests(module, [folder, Path.cwd()])
    return dict(sorted(found.items()))


def reached(module: str) -> dict[str, str]:
    """As `code`, for one module that is installed."""
    return dict(sorted(_digests(module, []).items()))


def forget_changed(module: str, folder: Path) -> None:
    """Let modules be imported anew whose text has changed, or that another folder's stand for."""
    files = _files(module, [folder, Path.cwd()])
    digests = {name: _digest(file) for name, file in files.items()}
    if any(_is_stale(name, files[name], digest) for name, digest in digests.items()):
        for name in files:
            if _may_be_renewed(name):
                sys.modules.pop(name, None)
    importlib.invalidate_caches()


def remember(module: str, folder: Path) -> None:
    """Note the text with which modules were imported."""
    for name, file in _files(module, [folder, Path.cwd()]).items():
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None and not hasattr(spec, _MARK):
            setattr(spec, _MARK, _digest(file))


def _is_stale(name: str, file: Path, digest: str) -> bool:
    if not _may_be_renewed(name):
        return False
    loaded = sys.modules[name]
    if Path(str(loaded.__file__)).resolve() != file.resolve():
        return True
    return bool(getattr(loaded.__spec__, _MARK, digest) != digest)


def _may_be_renewed(name: str) -> bool:
    """Whether a module was imported from a file of the user's, not from what is installed."""
    origin = getattr(sys.modules.get(name), "__file__", None)
    top = name.partition(".")[0]
    known = name == "__main__" or top in sys.stdlib_module_names or top in _OURS
    return origin is not None and not known and not _INSTALLED & set(Path(origin).parts)


def _digests(module: str, roots: Iterable[Path]) -> dict[str, str]:
    return {name: _digest(file) for name, file in _files(module, roots).items()}


def _digest(file: Path) -> str:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def _files(module: str, roots: Iterable[Path]) -> dict[str, Path]:
    """The files of the modules of the user's that a module reaches by its imports, itself first."""
    named = module.partition(".")[0]
    roots = [root.resolve() for root in roots]
    spec = _top(named)
    if spec is not None:
        roots += [place.parent.resolve() for place in _places(spec)]
    waiting, files, seen = [module], dict[str, Path](), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        file = _file(name)
        top = name.partition(".")[0]
        if file is not None and (top == named or _is_own(top, file, roots)):
            files[name] = file
            waiting += _imports(file, name)
    return files


def _is_own(top: str, file: Path, roots: Iterable[Path]) -> bool:
    if top in sys.stdlib_module_names or top in _OURS or _INSTALLED & set(file.parts):
        return False
    return any(file.resolve().is_relative_to(root) for root in roots)


def _top(name: str) -> ModuleSpec | None:
    """Where a top-level module is found now, whatever was imported under its name before."""
    try:
        return PathFinder.find_spec(name, sys.path) or find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None


def _places(spec: ModuleSpec) -> list[Path]:
    """The folders of a package, or the file of a module."""
    if spec.submodule_search_locations is not None:
        return [Path(place) for place in spec.submodule_search_locations]
    return [Path(spec.origin)] if spec.origin and spec.has_location else []


def _file(name: str) -> Path | None:
    """The file of a module, found without importing anything."""
    if name == "__main__":
        script = getattr(sys.modules[name], "__file__", None)
        return Path(script) if script else None
    top, *rest = name.split(".")
    spec = _top(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.has_location else None
    for place in spec.submodule_search_locations or ():
        base = Path(place).joinpath(*rest)
        for file in (base / "__init__.py", base.with_suffix(".py")):
            if file.is_file():
                return file
    return None


def _imports(file: Path, name: str) -> list[str]:
    """The modules that a text may import; what is no module is found nowhere and does no harm."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = [*parents] if node.level else []
            base += [node.module] if node.module else []
            names += [".".join(base), *(".".join([*base, alias.name]) for alias in node.names)]
    return [each for each in names if each]
