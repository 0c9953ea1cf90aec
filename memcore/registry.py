"""Names to plugin classes: lazy mappings over entry-point groups.

Nothing is scanned at import and nothing is imported before it is asked for. A bundled name keeps
its meaning whatever is installed beside it; `registry["distribution:name"]` reaches the others.
"""

import difflib
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from memcore._known import KNOWN
from memcore.errors import (
    DuplicatePluginError,
    MemcoreWarning,
    PluginLoadError,
    PluginShadowWarning,
    UnknownPluginError,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

BUNDLED: Final = "memcore"
THIS_PROCESS: Final = "(this process)"
_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")


@dataclass(frozen=True)
class Provider:
    """Who provides a name: known without importing the plugin."""

    name: str
    target: str  #: "module:attribute"
    distribution: str
    version: str
    entry_point: "EntryPoint | None" = None
    object: Any = None  #: what `register` was given

    def load(self) -> Any:
        """Import the plugin (at most once; Python caches modules)."""
        return self.object if self.entry_point is None else self.entry_point.load()

    @cached_property
    def origin(self) -> dict[str, Any]:
        """Where the distribution was installed from (PEP 610), empty for an index."""
        if self.entry_point is None:
            return {}
        return _direct_url(self.distribution)

    @property
    def qualified(self) -> str:
        """The name that no other distribution can claim."""
        return f"{self.distribution}:{self.name}"

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.target})".replace("  ", " ")


def _direct_url(distribution: str) -> dict[str, Any]:
    import json

    try:
        # `Distribution.origin` is in the standard library from 3.13 on.
        from importlib_metadata import distribution as find
    except ImportError:
        from importlib.metadata import distribution as find  # type: ignore[assignment]
    text = find(distribution).read_text("direct_url.json")
    return dict(json.loads(text)) if text else {}


class _Scan:
    """All memcore entry points of the environment, read once and shared by the registries."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: dict[str, list[Provider]] | None = None
        self._announced = False

    def group(self, name: str) -> list[Provider]:
        with self._lock:
            if self._groups is None:
                self._groups = self._read()
            return self._groups.get(name, [])

    def forget(self) -> None:
        with self._lock:
            self._groups = None
            self._announced = False
            if "memcore.hooks" in sys.modules:
                sys.modules["memcore.hooks"].manager.cache_clear()

    def announce(self) -> None:
        """Let the plugins of `memcore.hooks` register their computed names, once."""
        if not self._announced:
            self._announced = True
            if self.group(f"{BUNDLED}.hooks"):
                from memcore.hooks import manager

                manager()

    @staticmethod
    def _read() -> dict[str, list[Provider]]:
        groups: dict[str, list[Provider]] = {}
        for entry in _entries():
            provider = _provider(entry)
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

    found: dict[str, list[EntryPoint]] = {}
    for distribution in distributions():
        try:
            entries = [e for e in distribution.entry_points if e.group.startswith(f"{BUNDLED}.")]
            found.setdefault(_normal(distribution.name), entries)
        except Exception as error:
            warnings.warn(
                f"the entry points of {getattr(distribution, '_path', distribution)} cannot be "
                f"read: {type(error).__name__}: {error}; reinstall or remove that package",
                MemcoreWarning,
                stacklevel=5,
            )
    return [entry for entries in found.values() for entry in entries]


def _provider(entry: "EntryPoint") -> Provider | None:
    name = version = None
    with suppress(Exception):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
    if name and version:
        return Provider(entry.name, entry.value, name, version, entry)
    warnings.warn(
        f"{entry.name!r} ({entry.value}) of the entry-point group {entry.group!r} is not used: the "
        "metadata of its package cannot be read; reinstall or remove that package",
        MemcoreWarning,
        stacklevel=5,
    )
    return None


def _allowed(provider: Provider) -> bool:
    """Apply `MEMCORE_DISABLE` (deny) and `MEMCORE_PLUGINS` (the only third parties allowed)."""
    distribution = _normal(provider.distribution)
    denied = _names("MEMCORE_DISABLE") or set()
    if distribution in denied or f"{distribution}:{provider.name}" in denied:
        return False
    allowed = _names("MEMCORE_PLUGINS")
    return distribution == BUNDLED or allowed is None or distribution in allowed


def _names(variable: str) -> set[str] | None:
    text = os.environ.get(variable)
    return None if text is None else {_normal(p) for part in text.split(",") if (p := part.strip())}


def _normal(name: str) -> str:
    """A name in which `Memcore_Acme` and `memcore-acme` are one distribution (PEP 503)."""
    distribution, colon, plugin = name.partition(":")
    return re.sub(r"[-_.]+", "-", distribution).lower() + colon + plugin


SCAN: Final = _Scan()


class Registry(Mapping[str, T], Generic[T]):
    """The plugins of one kind, by name; a class is imported on its first `[]`.

    Args:
        kind: plural noun, `"devices"`; the entry-point group is `"memcore.devices"`.
        singular: for messages, `"device"`.
        verify: called with `(object, provider)` after loading; raises `PluginLoadError`.
    """

    def __init__(
        self, kind: str, singular: str, verify: Callable[[Any, Provider], None], scan: _Scan = SCAN
    ) -> None:
        self.kind = kind
        self.group = f"memcore.{kind}"
        self._singular = singular
        self._verify = verify
        self._scan = scan
        self._registered: dict[str, Provider] = {}
        self._loaded: dict[str, T] = {}
        self._warned: set[str] = set()

    def __getitem__(self, name: str) -> T:
        found = self._loaded.get(name)
        if found is None:
            found = self._load(self.provider(name))
            self._loaded[name] = found
        return found

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        return bool(self._candidates(name))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({p.name for p in self._found()} | set(self._registered)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"<memcore.{self.kind}: {', '.join(self) or 'none installed'}>"

    def provider(self, name: str) -> Provider:
        """Who answers to `name`, a plain or a `"distribution:name"` one; imports nothing.

        Only before it gives a name up does it load the plugins of the group `memcore.hooks`,
        which may register computed names.

        Raises:
            UnknownPluginError: nobody does.
            DuplicatePluginError: several third parties do.
        """
        candidates = self._candidates(name)
        if not candidates:
            self._scan.announce()
            candidates = self._candidates(name)
        if not candidates:
            raise UnknownPluginError(self._unknown(name))
        return candidates[0] if len(candidates) == 1 else self._resolve(name, candidates)

    def _candidates(self, name: str) -> list[Provider]:
        if name in self._registered:
            return [self._registered[name]]
        if ":" not in name:
            return [p for p in self._found() if p.name == name]
        return [p for p in self._found() if _normal(p.qualified) == _normal(name)]

    def providers(self) -> list[Provider]:
        """Every entry, shadowed ones too, sorted by name and distribution; imports nothing."""
        everything = [*self._registered.values(), *self._found()]
        return sorted(everything, key=lambda p: (p.name, p.distribution != BUNDLED, p.distribution))

    def register(self, name: str, plugin: T, *, replace: bool = False) -> T:
        """Make `plugin` known under `name` in this process only (notebooks, tests).

        Raises:
            DuplicatePluginError: the name is taken and `replace` is false.
            PluginLoadError: the name or the class does not fit.
        """
        target = f"{getattr(plugin, '__module__', '?')}:{getattr(plugin, '__qualname__', plugin)}"
        provider = Provider(name, target, THIS_PROCESS, "", object=plugin)
        if not replace and name in self:
            raise DuplicatePluginError(
                f"{self._singular} {name!r} is already provided by {self.provider(name)}; "
                "pass replace=True to shadow it in this process"
            )
        self._check(plugin, provider)
        self._registered[name] = provider
        self._loaded.pop(name, None)
        return plugin

    def unregister(self, name: str) -> None:
        """Undo `register`; an installed plugin of that name is visible again."""
        if name not in self._registered:
            raise UnknownPluginError(f"{name!r} was not registered in this process")
        del self._registered[name]
        self._loaded.pop(name, None)

    def refresh(self) -> None:
        """Look again at what is installed, after a `pip install` in a running session."""
        self._scan.forget()
        self._loaded.clear()
        self._warned.clear()

    def _found(self) -> list[Provider]:
        return self._scan.group(self.group)

    def _load(self, provider: Provider) -> T:
        try:
            plugin = provider.load()
        except Exception as error:
            raise PluginLoadError(
                f"{self._described(provider)} failed to import: {type(error).__name__}: {error}"
            ) from error
        self._check(plugin, provider)
        return plugin  # type: ignore[no-any-return]

    def _check(self, plugin: Any, provider: Provider) -> None:
        if not _NAME.match(provider.name):
            raise PluginLoadError(
                f"{self._described(provider)}: names are lower-case words, digits and "
                "underscores, starting with a letter"
            )
        self._verify(plugin, provider)

    def _described(self, provider: Provider) -> str:
        version = f" {provider.version}" if provider.version else ""
        return (
            f"{self._singular} {provider.name!r} from "
            f"{provider.distribution}{version} ({provider.target})"
        )

    def _resolve(self, name: str, candidates: list[Provider]) -> Provider:
        candidates = sorted(candidates, key=lambda p: (p.distribution != BUNDLED, p.qualified))
        lines = [f"{self._singular} {name!r} is provided by {len(candidates)} distributions:"]
        lines += [f"  {candidate}" for candidate in candidates]
        third = next(p for p in candidates if p.distribution != BUNDLED)
        lines.append(f'say which one: {self.kind}["{third.qualified}"]')
        if candidates[0].distribution != BUNDLED:
            raise DuplicatePluginError("\n".join(lines))
        if name not in self._warned:
            self._warned.add(name)
            warnings.warn("\n".join(lines), PluginShadowWarning, stacklevel=4)
        return candidates[0]

    def _unknown(self, name: str) -> str:
        lines = [f"no {self._singular} named {name!r}"]
        known = KNOWN.get(self.kind, {}).get(name)
        if known is not None:
            lines.append(f"  it is in {known}: pip install {known}")
        close = difflib.get_close_matches(name, list(self), n=3, cutoff=0.6)
        if close:
            source = {p.name: p.distribution for p in reversed(self.providers())}
            hints = [f"{match!r} ({source[match]})" for match in close]
            lines.append(f"  did you mean: {', '.join(hints)}")
        lines.append(f"  installed: {', '.join(self) or 'none'}")
        lines.append(f"  plugins declare names in the entry-point group {self.group!r}")
        return "\n".join(lines)
