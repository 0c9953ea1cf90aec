"""What the documentation says is true: examples run, and what it names exists."""

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

import memcore

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "plugins/README.md")),
    *sorted(p for p in DOCS.rglob("*.md") if "_build" not in p.parts),
]
#: Shows signatures only; the pages under docs/howto hold the same as examples that run.
SKETCHES = {ROOT / "plugins" / "README.md"}
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
EXAMPLE_SECONDS = 120  # on a slow and busy machine; none takes 20 on a quiet one
FENCE = re.compile(r"^```(?P<language>[a-z]+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)(?P<target>[^)\s#]+)(?:#[^)\s]*)?\)")


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a page in one language, each with its first line's number."""
    text = page.read_text() if page.exists() else ""
    return [
        (text.count("\n", 0, found.start("code")) + 1, found["code"])
        for found in FENCE.finditer(text)
        if found["language"] == language
    ]


def cases(language: str) -> list[Any]:
    return [
        pytest.param(page, id=str(page.relative_to(ROOT)))
        for page in PAGES
        if blocks(page, language)
    ]


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    return importlib.import_module


def commands() -> Iterator[str]:
    for page in PAGES:
        for _, code in blocks(page, "console"):
            yield from (line[2:].strip() for line in code.splitlines() if line.startswith("$ "))


@pytest.mark.parametrize("page", [c for c in cases("python") if c.values[0] not in SKETCHES])
def test_examples_of_a_page_run_in_order(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # A name of its own: torch.compile remembers modules by their names.
    module = type(sys)(f"example_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for line, code in blocks(page, "python"):
            source = "\n" * (line - 1) + code
            exec(compile(source, str(page), "exec"), vars(module))


def test_examples_of_pages_are_found() -> None:
    assert len(cases("python")) >= 9
    assert len(EXAMPLES) >= 4


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_within_its_time(example: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=EXAMPLE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("page", cases("toml"))
def test_toml_of_a_page_is_valid_and_studies_can_be_read(page: Path) -> None:
    from memcore.study.config import read
    from memcore.study.sweeps import configuration, points

    for _, code in blocks(page, "toml"):
        table = tomllib.loads(code)
        if "sweep" in table:
            assert [configuration(point) for point in points(read(table))]


def test_documented_memcore_commands_exist() -> None:
    from memcore.cli.main import main

    named = [line.split() for line in commands() if line.startswith("memcore ")]
    assert named
    for words in named:
        command, rest = main, iter(words[1:])
        while isinstance(command, click.Group):
            command = command.commands[next(rest)]
        options = {name for p in command.params for name in p.opts}
        for argument in rest:
            assert not argument.startswith("-") or argument in options, (command, argument)


def test_documented_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [line.split() for line in commands() if line.startswith("make ")]
    assert {words[1] for words in named} >= {"demo", "test"}
    assert {words[1] for words in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    if not page.exists():
        pytest.skip("not in this checkout")
    for found in LINK.finditer(FENCE.sub("", page.read_text())):
        assert (page.parent / found["target"]).exists(), found["target"]


@pytest.mark.parametrize("kind", list(memcore.registries()))
def test_reference_shows_every_plugin_with_all_of_its_parameters(kind: str, extension: Any) -> None:
    import dataclasses

    text = extension("memcore_registry").render(kind)
    for name, plugin in memcore.registries()[kind].items():
        section = text.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0]
        assert memcore.registries()[kind].provider(name).distribution in section
        for field in dataclasses.fields(plugin) if kind != "layers" else ():
            assert not field.init or f"| `{field.name}` |" in section, field.name


@pytest.mark.parametrize("name", ["vteam", "yakopcic", "constant_step", "tabular"])
def test_reference_gives_the_polarity_as_a_number_or_says_what_sets_it(
    name: str, extension: Any
) -> None:
    section = extension("memcore_registry").render("devices").split(f"### `{name}`\n", 1)[1]
    assert re.match(r"[^\n]*\n?[^\n]*; polarity (`-?1`|set by its parameters)", section.strip())


def test_reference_says_what_a_layer_replaces(extension: Any) -> None:
    text = extension("memcore_registry").render("layers")
    assert "replaces `torch.nn.Linear`" in text
    assert "replaces `torch.nn.Conv1d`, `torch.nn.Conv2d`, `torch.nn.Conv3d`" in text
    assert "replaces `torch.nn.Embedding` on request" in text


@pytest.mark.parametrize("kind", [kind for kind in memcore.registries() if kind != "layers"])
def test_every_bundled_parameter_says_its_unit_and_meaning(kind: str) -> None:
    import dataclasses

    registry = memcore.registries()[kind]
    for name, plugin in registry.items():
        if registry.provider(name).distribution == "memcore":
            for field in dataclasses.fields(plugin):
                assert field.metadata.get("unit"), f"{name}.{field.name}"
                assert field.metadata.get("doc"), f"{name}.{field.name}"


@pytest.mark.parametrize("kind", ["devices", "nonidealities", "programmers"])
def test_every_model_is_listed_with_a_summary_and_its_page(kind: str, extension: Any) -> None:
    assert f"{{memcore-overview}} {kind}" in (DOCS / "physics" / "index.md").read_text()
    text = extension("memcore_registry").overview(kind, DOCS / "physics")
    for name in memcore.registries()[kind]:
        assert re.search(rf"^\| \[`{name}`\]\(\S+\) \| \S.* \|", text, re.MULTILINE), name


BUNDLED = [
    name for name in memcore.devices if memcore.devices.provider(name).distribution == "memcore"
]


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_device_has_a_page_with_equation_figure_and_validity(
    name: str, extension: Any
) -> None:
    text = (DOCS / "physics" / f"{name}.md").read_text()
    assert f"physics/{name}\n" in (DOCS / "index.md").read_text()
    assert f"`{name}`]({name}.md)" in (DOCS / "physics" / "index.md").read_text()
    assert re.search(r"^\$\$.+?\$\$$", text, re.MULTILINE | re.DOTALL)
    assert f"](../reference/plugins.md#{name})" in text
    assert "**Validity.**" in text
    figures = re.findall(r"^```\{image\} \.\./reference/_generated/(\w+)\.svg$", text, re.MULTILINE)
    assert name in figures
    assert set(figures) <= set(extension("memcore_figures").FIGURES)


@pytest.mark.parametrize(
    "name",
    [name for name in memcore.costs if memcore.costs.provider(name).distribution == "memcore"],
)
def test_every_bundled_cost_model_has_a_page_with_equations_and_limits(name: str) -> None:
    overview = (DOCS / "costs" / "index.md").read_text()
    if name == "array":  # two products, which its docstring has
        assert "| `array` |" in overview
        return
    text = (DOCS / "costs" / f"{name}.md").read_text()
    assert f"costs/{name}\n" in (DOCS / "index.md").read_text()
    assert f"`{name}`]({name}.md)" in overview
    assert re.search(r"^\$\$.+?\$\$$", text, re.MULTILINE | re.DOTALL)
    assert f"](../reference/plugins.md#{name})" in text
    assert "## Limits" in text


@pytest.mark.parametrize("name", sorted(memcore.nonidealities))
def test_the_overview_leads_to_the_page_that_describes_a_nonideality(
    name: str, extension: Any
) -> None:
    rows = extension("memcore_registry").overview("nonidealities", DOCS / "physics").splitlines()
    (row,) = (row for row in rows if row.startswith(f"| [`{name}`]"))
    assert "nonidealities.md" in row


@pytest.mark.parametrize("name", BUNDLED)
def test_the_catalogue_links_a_device_to_its_page(name: str, extension: Any) -> None:
    text = extension("memcore_registry").render("devices")
    section = text.split(f"### `{name}`\n", 1)[1].split("\n### ", 1)[0]
    assert f"(../physics/{name}.md)" in section


def test_physics_pages_describe_models_that_exist() -> None:
    names = {name for registry in memcore.registries().values() for name in registry}
    for page in (DOCS / "physics").glob("*.md"):
        assert any(f"`{name}`" in page.read_text() for name in names), page.name


def test_reference_names_everything_public() -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    documented = set(re.findall(r"auto(?:class|function|data):: (?:memcore\.)?(\w+)", page))
    registries = {f"`memcore.{kind}`" for kind in memcore.registries()}
    assert all(name in page for name in registries)
    modules = set(re.findall(r"`memcore\.(\w+)`|automodule:: memcore\.(\w+)", page))
    elsewhere = {"__version__", *(name for pair in modules for name in pair)}
    errors = {name for name in memcore.__all__ if name.endswith(("Error", "Warning"))}
    assert ":: memcore.errors" in page
    assert set(memcore.__all__) - documented - elsewhere - errors == set()


def test_reference_has_nothing_twice_and_no_members_that_there_are_not() -> None:
    page = (DOCS / "reference" / "api.md").read_text()
    module, places = "memcore", []
    entry = r"\.\. (currentmodule|autoclass|autofunction):: (\S+)(?:\n +:members: (.+))?"
    for directive, name, members in re.findall(entry, page):
        if directive == "currentmodule":
            module = name
            continue
        places.append(name if name.startswith("memcore.") else f"{module}.{name}")
        place, _, called = places[-1].rpartition(".")
        shown = getattr(importlib.import_module(place), called)
        known = {*dir(shown), *getattr(shown, "__annotations__", {}), ""}
        assert {each.strip() for each in members.split(",")} <= known, name
    assert len(places) == len(set(places))


def test_command_line_reference_shows_every_command(extension: Any) -> None:
    module = extension("memcore_cli")
    text = module.render()
    from memcore.cli.main import main

    for command in module.commands(main):
        assert f"`{command}`" in text


@pytest.mark.parametrize("section", ["General", "Recipe", "Sweep", "Axis"])
def test_reference_explains_every_key_of_a_study(section: str, extension: Any) -> None:
    from memcore import study

    text = extension("memcore_study").render(section)
    for key in getattr(study, section).model_fields:
        assert re.search(rf"^\| `{key}` \|.*\| \S.* \|$", text, re.MULTILINE), key


@pytest.mark.parametrize("name", [n for n in memcore.__all__ if n not in ("study", "testing")])
def test_examples_in_docstrings_run(name: str) -> None:
    import doctest

    import torch

    public = {name: getattr(memcore, name) for name in memcore.__all__}
    names = {**public, "memcore": memcore, "torch": torch, "nn": torch.nn}
    if isinstance(public[name], ModuleType):  # its functions speak of each other
        names |= {key: value for key, value in vars(public[name]).items() if key[0] != "_"}
    for test in doctest.DocTestFinder(exclude_empty=True).find(public[name], name, globs=names):
        if test.examples:
            assert doctest.DocTestRunner().run(test).failed == 0


@pytest.mark.parametrize("module", ["memcore_figures", "memcore_circuit_figures"])
def test_figures_are_drawn_from_the_models(extension: Any, tmp_path: Path, module: str) -> None:
    """In the site that `MEMCORE_DOCS` names, which drew them as it was built, or here."""
    pytest.importorskip("matplotlib")
    figures = extension(module)
    site = os.environ.get("MEMCORE_DOCS")
    drawn = Path(site, "_images") if site else tmp_path
    if site is None:
        figures.draw_all(drawn, figures.FIGURES)
    for name in figures.FIGURES:
        assert (drawn / f"{name}.svg").stat().st_size > 1000


def test_tested_versions_satisfy_the_declared_bounds() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    groups = project["dependency-groups"].values()
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["study"],
        *project["build-system"]["requires"],
        *(line for group in groups for line in group if isinstance(line, str)),
    ]
    for requirement in map(Requirement, wanted):
        pin = pins[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin), requirement


#: Public ones; a name that begins with an underscore is nobody's to use.
NAME = re.compile(r"(?<![\w./-])memcore(?:\.[A-Za-z]\w*)+(?![\w/-])")
#: Ends of file names and of hosts.
NOT_ATTRIBUTES = re.compile(r"\.(toml|csv|json|py|md|so|org|io)$")
#: Groups of entry points that are no attributes too.
GROUPS = {"memcore.hooks"}
RESOLVE = """
import json, sys
import memcore

def resolves(name):
    value = memcore
    for part in name.split(".")[1:]:
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True

print(json.dumps([name for name in json.load(sys.stdin) if not resolves(name)]))
"""


def named_in_the_docs() -> set[str]:
    """Dotted names in the prose and the examples of all pages and docstrings."""
    texts = [page.read_text(encoding="utf-8") for page in (*PAGES, *EXAMPLES)]
    for folder in ("memcore", "plugins/memcore_plugins", "plugins/example/src"):
        for path in (ROOT / folder).rglob("*.py"):
            texts += [
                ast.get_docstring(node) or ""
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            ]
    names = {found[0] for text in texts for found in NAME.finditer(text)}
    return {name for name in names - GROUPS if not NOT_ATTRIBUTES.search(name)}


def test_every_name_in_the_docs_resolves_after_a_bare_import() -> None:
    names = sorted(named_in_the_docs())
    assert "memcore.simulate" in names
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE],
        input=json.dumps(names),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
