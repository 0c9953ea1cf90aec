"""From names to plugin classes: lazy mappings over entry-point groups.

Nothing is scanned at import and nothing is imported before it is asked for. A bundled name keeps
its meaning whatever is installed beside it; `registry["distribution:name"]` reaches the others.
"""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from memcore._keywords import hinted
from memcore._text import nearest, printable, shown
from memcore.errors import (
    DuplicatePluginError,
    PluginLoadError,
    PluginShadowWarning,
    UnknownPluginError,
)
from memcore.registry.known import KNOWN
from memcore.registry.scan import THIS_PROCESS, Provider, Scan, normal

T = TypeVar("T")

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")


class Registry(Mapping[str, T], Generic[T]):
    """The plugins of one kind, by name; a class is imported on its first `[]`.

    Args:
        kind: kind of the plugins as a plural noun, `"devices"`; the entry-point group is
            `"memcore.devices"`.
        singular: name of one plugin in messages, `"device"`.
        verify: function that is called with `(object, provider)` after loading and raises
            `PluginLoadError`.
    """

    def __init__(
        self, kind: str, singular: str, verify: Callable[[Any, Provider], None], scan: Scan
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
        if not isinstance(name, str):
            raise UnknownPluginError(
                f"{shown(name)} names no {self._singular}; expected a string, one of: "
                f"{', '.join(self)}"
            )
        loaded = self._loaded.get(name)
        if loaded is None:
            loaded = self._load(self.provider(name))
            self._loaded[name] = loaded
        return loaded

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
        """The provider of `name`, a plain or a `"distribution:name"` one; imports nothing.

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
        return [p for p in self._found() if normal(p.qualified) == normal(name)]

    def providers(self) -> list[Provider]:
        """Every entry, shadowed ones too, sorted by name and distribution; imports nothing."""
        everything = [*self._registered.values(), *self._found()]
        return sorted(everything, key=lambda p: (p.name, not p.is_bundled, p.distribution))

    def installs(self, cls: type) -> bool:
        """Whether an entry point provides a class: it cannot change while the process runs."""
        target = f"{cls.__module__}:{cls.__qualname__}"
        return any(p.target == target for p in self._found() if p.entry_point is not None)

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
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module that calls sys.exit ends nothing but itself
            raise PluginLoadError(
                f"{self._described(provider)} failed to import: "
                f"{printable(f'{type(error).__name__}: {error}')}"
            ) from error
        self._check(plugin, provider)
        return plugin  # type: ignore[no-any-return]

    def _check(self, plugin: Any, provider: Provider) -> None:
        if not isinstance(provider.name, str) or not _NAME.match(provider.name):
            raise PluginLoadError(
                f"{self._described(provider)} has a name that nobody can use; "
                "names are lower-case words, digits and underscores, starting with a letter"
            )
        self._verify(plugin, provider)
        hinted(plugin)

    def _described(self, provider: Provider) -> str:
        version = f" {provider.version}" if provider.version else ""
        return (
            f"{self._singular} {provider.name!r} from "
            f"{provider.distribution}{version} ({provider.target})"
        )

    def _resolve(self, name: str, candidates: list[Provider]) -> Provider:
        candidates = sorted(candidates, key=lambda p: (not p.is_bundled, p.qualified))
        lines = [f"{self._singular} {name!r} is provided by {len(candidates)} distributions:"]
        lines += [f"  {candidate}" for candidate in candidates]
        third = next(p for p in candidates if not p.is_bundled)
        lines.append(f'say which one: {self.kind}["{third.qualified}"]')
        if not candidates[0].is_bundled:
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
        close = nearest(name, self, most=3)
        if close:
            source = {p.name: p.distribution for p in reversed(self.providers())}
            hints = [f"{match!r} ({source[match]})" for match in close]
            lines.append(f"  did you mean: {', '.join(hints)}")
        lines.append(f"  installed: {', '.join(self) or 'none'}")
        lines.append(f"  plugins declare names in the entry-point group {self.group!r}")
        return "\n".join(lines)
