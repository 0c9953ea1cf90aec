"""Renders the plugins of a registry, live: `memcore-registry`, and `memcore-overview` as a table.

The pages therefore show what is installed, third-party packages included.
"""

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import memcore
from memcore.contracts.contract import contract_of
from memcore.contracts.ranges import allowed
from memcore.nn import Layer

_PHYSICS = Path(__file__).parent.parent / "physics"
_COSTS = _PHYSICS.parent / "costs"
#: What a plugin of this kind adds to its heading.
_FACTS = {"stage": "stage", "polarity": "polarity"}


def render(kind: str) -> str:
    """Every plugin of one registry as MyST."""
    registry = memcore.registries()[kind]
    return "\n".join(line for name in registry for line in _plugin(kind, name, registry[name]))


def overview(kind: str, pages: Path) -> str:
    """Name, summary and physics page of every plugin of one registry as a MyST table."""
    registry = memcore.registries()[kind]
    rows = ["| Name | What it is | Page |", "|---|---|---|"]
    for name in registry:
        summary = (_documentation(registry[name]) or [""])[0].replace("|", "\\|")
        page = _page(name, pages)
        link = f"[physics]({page})" if page else ""
        rows.append(f"| [`{name}`](../reference/plugins.md#{name}) | {summary} | {link} |")
    return "\n".join(rows)


def _page(name: str, pages: Path) -> str:
    """The page of a model: its own, else the one with a heading for it, else one that names it."""
    if (pages / f"{name}.md").exists():
        return f"{name}.md"
    texts = {page.name: page.read_text() for page in sorted(pages.glob("*.md"))}
    texts.pop("index.md", None)
    for pattern in (rf"^#+ .*`{name}`", rf"`{name}`"):
        for page, text in texts.items():
            if re.search(pattern, text, re.MULTILINE):
                return page
    return ""


def _plugin(kind: str, name: str, cls: type) -> Iterator[str]:
    provider = memcore.registries()[kind].provider(name)
    facts = [_fact(cls, key, label) for key, label in _FACTS.items() if hasattr(cls, key)]
    source = f"`{provider.target}`, from {provider.distribution} {provider.version}"
    if issubclass(cls, Layer):
        asked = " on request" if cls.on_request else ""
        facts.append(f"replaces {', '.join(f'`{_named(each)}`' for each in cls.replaces)}{asked}")
    if (_PHYSICS / f"{name}.md").exists():
        facts.append(f"[physics](../physics/{name}.md)")
    if kind == "costs" and (_COSTS / f"{name}.md").exists():
        facts.append(f"[explanation](../costs/{name}.md)")
    yield from (f"(plugin-{kind}-{name})=", f"### `{name}`", "", "; ".join([source, *facts]), "")
    yield from (*_documentation(cls), "")
    fields = [field for field in _fields(cls) if field.init]
    if fields:
        yield from ("| Parameter | Default | Unit | Range | Meaning |", "|---|---|---|---|---|")
        yield from (_row(cls, field) for field in fields)
        yield ""
    for preset, found in sorted(getattr(cls, "presets", {}).items()):
        yield f"- preset `{preset}`: {_preset(found)}"
    yield ""


def _fields(cls: type) -> Iterable[dataclasses.Field[Any]]:
    """The parameters; a layer is a module and has none."""
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _named(module: type | str) -> str:
    if isinstance(module, str):
        return module
    public = getattr(sys.modules.get("torch.nn"), module.__name__, None) is module
    return f"torch.nn.{module.__name__}" if public else f"{module.__module__}.{module.__name__}"


def _fact(cls: type, key: str, label: str) -> str:
    if not isinstance(getattr(cls, key), property):
        return f"{label} `{_shown(getattr(cls, key))}`"
    if any(_is_required(field) for field in dataclasses.fields(cls)):
        return f"{label} set by its parameters"
    return f"{label} `{_shown(getattr(cls(), key))}` with the default parameters"


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.init and field.default is missing and field.default_factory is missing


def _documentation(cls: type) -> list[str]:
    """The docstring up to its list of arguments, which the table repeats."""
    contract = contract_of(cls)
    text = inspect.getdoc(cls) or ""
    if contract is not None and text == inspect.getdoc(contract):
        text = ""
    kept = []
    for line in text.splitlines():
        if line.strip() in {"Args:", "Attributes:", "Raises:"}:
            break
        kept.append(line)
    return kept


def _row(cls: type, field: dataclasses.Field[Any]) -> str:
    default = "required" if field.default is dataclasses.MISSING else f"`{_shown(field.default)}`"
    if field.default_factory is not dataclasses.MISSING:
        default = f"`{_shown(field.default_factory())}`"
    unit = field.metadata.get("unit", "")
    cells = (
        f"`{field.name}`",
        default,
        "" if unit == "1" else unit,
        allowed(cls).get(field.name, ""),
        field.metadata.get("doc", ""),
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _preset(preset: Any) -> str:
    values = ", ".join(f"`{key}={_shown(value)}`" for key, value in preset.parameters.items())
    return ". ".join(filter(None, (values or "the defaults", preset.source, preset.validity)))


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(item)}" for key, item in value.items())
    return getattr(value, "name", str(value)) if hasattr(type(value), "__members__") else str(value)


def setup(app: Any) -> dict[str, Any]:
    """Add the directive."""
    from sphinx.util.docutils import SphinxDirective

    class RegistryDirective(SphinxDirective):
        """`memcore-registry` with the kind as its argument."""

        required_arguments = 1

        def run(self) -> list[Any]:
            self.env.note_reread()  # its content is not in the page
            return self.parse_text_to_nodes(render(self.arguments[0]), allow_section_headings=True)

    class OverviewDirective(RegistryDirective):
        """`memcore-overview` with the kind as its argument; pages are looked for beside it."""

        def run(self) -> list[Any]:
            self.env.note_reread()
            pages = Path(self.env.doc2path(self.env.docname)).parent
            return self.parse_text_to_nodes(overview(self.arguments[0], pages))

    app.add_directive("memcore-registry", RegistryDirective)
    app.add_directive("memcore-overview", OverviewDirective)
    return {"version": "1", "parallel_read_safe": True}
