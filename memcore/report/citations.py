"""What to cite: memcore itself, and what was published of the plugins that were used."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from memcore._text import did_you_mean, shown
from memcore._version import __version__
from memcore.contracts.contract import Contract
from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError
from memcore.registry.instances import registries
from memcore.registry.specs import provided_name
from memcore.report.provenance import config_provenance, provenance
from memcore.tables.bibliography import entries

#: The title of memcore, as CITATION.cff has it.
TITLE: Final = "memcore: a memristor crossbar simulator for PyTorch"
#: The field of an entry that names the plugins it is about: `memcore = {devices.vteam}`.
_ABOUT: Final = re.compile(r",?\s*\n\s*memcore\s*=\s*\{([^}]*)\}")

#: A plugin: its kind and its name.
Plugin = tuple[str, str]


@dataclass(frozen=True)
class Citations:
    """What to cite; `str()` is BibTeX.

    Args:
        entries: entries of BibTeX, that of memcore first.
        without: the plugins whose packages name no publication, as "devices.ideal".
    """

    entries: tuple[str, ...]
    without: tuple[str, ...] = ()

    def __str__(self) -> str:
        remarks = [f"% {name}: no publication is named" for name in self.without]
        return "\n\n".join([*self.entries, *(["\n".join(remarks)] if remarks else [])])


def cite(*subjects: nn.Module | CrossbarConfig | Contract | str) -> Citations:
    """What to cite for the plugins that some subjects use, as BibTeX.

    A package tells it in a file `*.bib` beside its modules: each entry has a field that names the
    plugins it is about, as `memcore = {devices.vteam, devices.team}`. Entries hold what the
    documentation of the plugin says of its source, and no more.

    For example::

        print(memcore.cite("vteam"))

    Args:
        subjects: converted networks, configurations, plugins, or names of plugins such as "vteam"
            or "devices.vteam"; with none, only memcore itself.

    Raises:
        ConfigError: a subject is none of these, or no plugin is called so.
    """
    return of_plugins(plugin for subject in subjects for plugin in _plugins(subject))


def of_plugins(plugins: Iterable[Plugin]) -> Citations:
    """What to cite for plugins, each given by its kind and its name."""
    named = sorted({plugin for plugin in plugins if plugin[0] != "layers"})
    found: dict[str, str] = {}
    without = []
    for kind, name in named:
        told = dict(_told(kind, name))
        found |= told
        without += [] if told else [f"{kind}.{name}"]
    return Citations((own_entry(), *found.values()), tuple(without))


def own_entry() -> str:
    """The entry of memcore itself."""
    return (
        "@software{memcore,\n  author = {{The memcore developers}},\n"
        f"  title = {{{TITLE}}},\n  version = {{{__version__}}}\n}}"
    )


def _plugins(subject: Any) -> Iterator[Plugin]:
    if isinstance(subject, nn.Module):
        yield from ((entry["kind"], entry["name"]) for entry in provenance(subject))
    elif isinstance(subject, CrossbarConfig):
        yield from ((entry["kind"], entry["name"]) for entry in config_provenance(subject))
    elif isinstance(subject, Contract):
        yield subject.kind, provided_name(subject)
    elif isinstance(subject, str):
        yield from named(subject)
    else:
        raise ConfigError(
            f"{shown(subject)} cites nothing; expected a converted network, a CrossbarConfig, a "
            "plugin or the name of one"
        )


def named(text: str) -> list[Plugin]:
    """The plugins of a name: of one kind as "devices.vteam", of all kinds as "vteam"."""
    every = {kind: registry for kind, registry in registries().items() if kind != "layers"}
    kind, dot, name = text.partition(".")
    found = [(kind, name)] if dot and name in every.get(kind, ()) else []
    found += [(each, text) for each, registry in every.items() if text in registry]
    if not found:
        names = [name for registry in every.values() for name in registry]
        raise ConfigError(
            f"there is no plugin {shown(text)}; expected a name that 'memcore plugins' lists"
            f"{did_you_mean(text, names)}"
        )
    return found


def _told(kind: str, name: str) -> Iterator[tuple[str, str]]:
    """The entries about a plugin in the bibliographies of its package, by their keys."""
    registry = registries().get(kind)
    if registry is None or name not in registry:
        return
    own = f"{kind}.{registry.provider(name).name}"  # also where the name says whose it is
    for folder in _folders(registry[name]):
        for key, entry in entries(folder).items():
            about = _ABOUT.search(entry)
            if about and own in re.split(r"[,\s]+", about[1].strip()):
                yield key, _ABOUT.sub("", entry)


def _folders(plugin: type) -> Iterator[Path]:
    """The folder of the module of a plugin, and those above it as far as its package goes."""
    file = getattr(sys.modules.get(plugin.__module__), "__file__", None)
    if file is None:
        return
    folder = Path(file).parent
    for _ in range(plugin.__module__.count(".") or 1):
        yield folder
        folder = folder.parent
