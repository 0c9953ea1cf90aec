"""The entry points of the environment: read once, when they are first asked for."""

import os
import re
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memcore._text import printable
from memcore.errors import MemcoreWarning

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

BUNDLED: Final = "memcore"
_PLUGINS: Final = "memcore_plugins"  #: where all bundled plugins live
THIS_PROCESS: Final = "(this process)"


class Provider(NamedTuple):
    """The provider of a name, known without importing the plugin."""

    name: str
    target: str  #: "module:attribute"
    distribution: str
    version: str
    entry_point: "EntryPoint | None" = None
    object: Any = None  #: what `register` was given

    def load(self) -> Any:
        """Import the plugin (at most once; Python caches modules)."""
        return self.object if self.entry_point is None else self.entry_point.load()

    @property
    def is_bundled(self) -> bool:
        """Whether it comes with memcore: its distribution's name alone says little."""
        module = self.target.partition(":")[0].partition(".")[0].strip()
        return normal(self.distribution) == BUNDLED and module == _PLUGINS

    @property
    def origin(self) -> dict[str, Any]:
        """The origin of an installation that is not from an index (PEP 610), otherwise empty."""
        if self.entry_point is None or self.entry_point.dist is None:
            return {}
        import json  # not asked for by `import memcore`

        text = self.entry_point.dist.read_text("direct_url.json")
        return dict(json.loads(text)) if text else {}

    @property
    def qualified(self) -> str:
        """The name that no other distribution can claim."""
        return f"{self.distribution}:{self.name}"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.target})".replace("  ", " ")


class Scan:
    """All memcore entry points of the environment, read once and shared by the registries.

    Args:
        announce: function that loads the plugins of the group `memcore.hooks`, which may register
            names.
        forget: function that makes it load them again.
    """

    def __init__(self, announce: Callable[[], object], forget: Callable[[], object]) -> None:
        self._load_hooks = announce
        self._forget_hooks = forget
        self._lock = threading.RLock()
        self._groups: dict[str, list[Provider]] | None = None
        self._announced = False
        self._announcing = False  #: a hook may look names up itself

    def group(self, name: str) -> list[Provider]:
        with self._lock:
            if self._groups is None:
                self._groups = self._read()
            return self._groups.get(name, [])

    def forget(self) -> None:
        with self._lock:
            self._groups = None
            self._announced = False
            self._forget_hooks()

    def announce(self) -> None:
        """Let the plugins of `memcore.hooks` register their computed names, once."""
        if self._announced:
            return
        with self._lock:  # other threads wait until the names are there
            if self._announcing:
                return
            self._announcing = True
            try:
                if self.group(f"{BUNDLED}.hooks"):
                    self._load_hooks()
                self._announced = True
            finally:
                self._announcing = False

    @staticmethod
    def _read() -> dict[str, list[Provider]]:
        groups: dict[str, list[Provider]] = {}
        known: dict[int, tuple[Any, str | None, str | None]] = {}
        for entry in _entries():
            provider = _provider(entry, known)
            if provider is not None and _allowed(provider):
                groups.setdefault(entry.group, []).append(provider)
        return groups


def _entries() -> "list[EntryPoint]":
    """The entry points of all groups `memcore.*`."""
    from importlib.metadata import entry_points

    try:
        # It already keeps only the first of two copies of one distribution, as they occur with
        # an editable install beside a build folder.
        everything = entry_points()
    except Exception:
        return _entries_one_by_one()
    groups = [group for group in everything.groups if group.startswith(f"{BUNDLED}.")]
    return [entry for group in groups for entry in everything.select(group=group)]


def _entries_one_by_one() -> "list[EntryPoint]":
    """The same without the distributions whose metadata cannot be read."""
    from importlib.metadata import distributions

    entries_of: dict[str, list[EntryPoint]] = {}
    for distribution in distributions():
        try:
            entries = [e for e in distribution.entry_points if e.group.startswith(f"{BUNDLED}.")]
            entries_of.setdefault(
                normal(_told(distribution, "Name") or str(id(distribution))), entries
            )
        except Exception as error:
            warnings.warn(
                f"the entry points of {getattr(distribution, '_path', distribution)} cannot be "
                f"read: {printable(f'{type(error).__name__}: {error}')}; reinstall or remove that "
                "package",
                MemcoreWarning,
                stacklevel=5,
            )
    return [entry for entries in entries_of.values() for entry in entries]


def _provider(
    entry: "EntryPoint", known: dict[int, tuple[Any, str | None, str | None]]
) -> Provider | None:
    """What an entry point provides; None, with a warning, where its package cannot be read.

    Args:
        entry: the entry point.
        known: distributions whose name and version were read, by identity, with themselves: one
            has a hundred entry points, and reads its metadata anew each time it is asked.
    """
    dist = entry.dist
    if id(dist) not in known:
        name = version = None
        with suppress(Exception):
            name, version = _told(dist, "Name"), _told(dist, "Version")
        known[id(dist)] = dist, name, version
    _, name, version = known[id(dist)]
    if name and version:
        # Whoever wrote the metadata: shown on terminals, they control none.
        words = [printable(word) for word in (entry.name, entry.value, name, version)]
        return Provider(words[0], words[1], words[2], words[3], entry)
    warnings.warn(
        f"{entry.name!r} ({printable(entry.value)}) of the entry-point group {entry.group!r} is "
        "not used: the metadata of its package cannot be read; reinstall or remove that package",
        MemcoreWarning,
        stacklevel=5,
    )
    return None


def _told(dist: "Distribution | None", key: str) -> str | None:
    """What the metadata of a package say; None where they do not.

    `dist.name` and `dist.version` warn from Python 3.12 on where they are missing.
    """
    metadata = dist.metadata if dist is not None else None
    return metadata[key] if metadata is not None and key in metadata else None


def _allowed(provider: Provider) -> bool:
    """Apply `MEMCORE_DISABLE` (deny) and `MEMCORE_PLUGINS` (the only third parties allowed)."""
    distribution = normal(provider.distribution)
    denied = _names("MEMCORE_DISABLE") or set()
    if distribution in denied or f"{distribution}:{provider.name}" in denied:
        return False
    allowed = _names("MEMCORE_PLUGINS")
    return provider.is_bundled or allowed is None or distribution in allowed


def _names(variable: str) -> set[str] | None:
    text = os.environ.get(variable)
    return None if text is None else {normal(p) for part in text.split(",") if (p := part.strip())}


def normal(name: str) -> str:
    """A name in which `Memcore_Acme` and `memcore-acme` are one distribution (PEP 503)."""
    distribution, colon, plugin = name.partition(":")
    return re.sub(r"[-_.]+", "-", distribution).lower() + colon + plugin
