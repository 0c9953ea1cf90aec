"""Modules that moved, under their names of before; each goes away after the next minor release."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # which would take half the time of `import memcore`, and add nothing
    Loader = MetaPathFinder = object

#: From the documented name of a module to where it lives now.
MOVED: Final[dict[str, str]] = {
    "memcore.ops.cell_currents": "memcore.circuit.currents",
    "memcore.stimuli": "memcore.dynamics.stimuli",
    "memcore.yields": "memcore.report.yields",
}


class _Finder(MetaPathFinder):
    """Answers `import memcore.stimuli` and its like with the module itself, not a copy."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        return ModuleSpec(name, _Loader(MOVED[name])) if name in MOVED else None


class _Loader(Loader):
    def __init__(self, target: str) -> None:
        self._target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        del spec
        module = import_module(self._target)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the old name there


def install() -> None:
    """Let Python find the moved modules, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
