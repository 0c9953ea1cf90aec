"""Who may import whom, read from the sources; and lists that must be true."""

import ast
import functools
import re
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

import memcore
from memcore._moved import MOVED

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLUGINS = ROOT / "plugins"

#: The rooms from the ground up: a module imports from its own room and from those before it.
ROOMS = (
    "memcore._version",
    "memcore.errors",
    "memcore._text",
    "memcore._check",
    "memcore._mistyped",
    "memcore._keywords",
    "memcore._display",
    "memcore._toml",
    "memcore._csv",
    "memcore._tensor",
    "memcore._followed",
    "memcore._moved",
    "memcore.native",
    "memcore.ops",
    "memcore.random",
    "memcore.tables",
    "memcore.contracts",
    "memcore.registry",
    "memcore.modelling",
    "memcore.circuit",
    "memcore.dynamics",
    "memcore.writing",
    "memcore.crossbar",
    "memcore.sensing",
    "memcore.recipes",
    "memcore.nn",
    "memcore.compression",
    "memcore.optim",
    "memcore.report",
    "memcore.plot",
    "memcore.pages",
    "memcore.spice",
    "memcore.fitting",
    "memcore.compat",
    "memcore.study",
    "memcore.testing",
    "memcore",
    "memcore.cli",
    "memcore.__main__",
)
#: Importing one of these imports no torch.
LIGHT = (
    "memcore",
    "memcore.errors",
    "memcore.registry",
    "memcore.cli.main",
    "memcore.cli.new_plugin",
    "memcore.testing",
    "memcore.testing.pytest_plugin",
)


@functools.cache
def sources(folder: Path, package: str) -> dict[str, ast.Module]:
    """The parsed modules of a package by name, read when a test asks."""
    found = {}
    for path in sorted((folder / package).rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


CORE = (ROOT, "memcore")
BUNDLED = (PLUGINS, "memcore_plugins")
EXAMPLE = (PLUGINS / "example" / "src", "memcore_example")


def core() -> dict[str, ast.Module]:
    return sources(*CORE)


def statements(
    tree: ast.AST, *, in_functions: bool = True, for_types: bool = True
) -> Iterator[ast.AST]:
    """All statements, less those of functions, or those for type checkers alone, where asked."""
    fields = ("body", "handlers", "cases", "orelse", "finalbody")
    for node in (each for field in fields for each in getattr(tree, field, ())):
        if not in_functions and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not for_types and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from statements(node, in_functions=in_functions, for_types=for_types)


def on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The statements that an import runs."""
    return statements(tree, in_functions=False, for_types=False)


def imported(nodes: Iterator[ast.AST], known: dict[str, ast.Module]) -> Iterator[str]:
    """What import statements name: modules as deep as they are `known`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in known else str(node.module)


@functools.cache
def graph() -> dict[str, set[str]]:
    """What an import of each module imports."""
    return {name: set(imported(on_import(tree), core())) for name, tree in core().items()}


def reached(start: str) -> set[str]:
    """All that is imported with a module of the core, its packages included."""
    found: set[str] = set()
    todo = [start]
    while todo:
        name = todo.pop()
        parts = name.split(".")
        for ancestor in (".".join(parts[: n + 1]) for n in range(len(parts))):
            if ancestor not in found:
                found.add(ancestor)
                todo += graph().get(ancestor, ())
    return found


@functools.cache
def everywhere() -> dict[str, set[str]]:
    """All imports, those inside functions too, less what is for type checkers alone."""
    return {
        name: {
            dep
            for dep in imported(statements(tree, for_types=False), core())
            if dep.startswith("memcore")
        }
        for name, tree in core().items()
    }


#: Imports for type checkers alone that no rule below allows, and why each has to be.
TYPES_ONLY = {
    # A device names effects of its own, and an effect is bound to arrays of a device.
    ("memcore.contracts.device", "memcore.contracts.effect"),
    # A context tells a converter of the cells that it senses, which are a device with effects; both
    # are drawn, bound and aged with a context.
    ("memcore.contracts.sums", "memcore.contracts.device"),
    ("memcore.contracts.sums", "memcore.contracts.effect"),
    # A product may say which circuit stands behind it; solving it is nothing for contracts.
    ("memcore.contracts.product", "memcore.circuit.array"),
}


@functools.cache
def types_too() -> dict[str, set[str]]:
    """All imports, those for type checkers too, but for these."""
    return {
        name: {
            dep
            for dep in imported(statements(tree), core())
            if dep.startswith("memcore") and (name, dep) not in TYPES_ONLY
        }
        for name, tree in core().items()
    }


def room(name: str) -> int:
    """The index of the room of a module, the longest that fits."""
    return max(
        (n for n, each in enumerate(ROOMS) if name == each or name.startswith(f"{each}.")),
        key=lambda n: len(ROOMS[n]),
    )


def test_every_module_has_a_room():
    flat = {name for name in core() if name.count(".") == 1} | {"memcore"}
    assert set(ROOMS) == flat


def test_imports_have_no_cycle():
    inside = {name: deps & types_too().keys() for name, deps in types_too().items()}
    # A package's face lists its modules; they never look at it (the next test).
    try:
        TopologicalSorter(inside).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_import_runs_upward():
    wrong = [
        f"{name} imports {dep}"
        for name, deps in types_too().items()
        for dep in deps
        if room(dep) > room(name)
    ]
    assert wrong == []


def test_what_is_imported_for_types_alone_is_imported_nowhere_else():
    for name, dep in TYPES_ONLY:
        assert dep not in everywhere()[name]
        assert dep in set(imported(statements(core()[name]), core()))


def test_no_module_is_imported_by_name():
    # What a string names escapes every test above; the face of the package alone is lazy.
    wrong = [
        name
        for name, tree in core().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and "memcore" in ast.unparse(node)
        and name not in ("memcore", "memcore._moved", "memcore.native", "memcore.testing")
    ]
    assert wrong == []


@pytest.mark.parametrize("name", LIGHT)
def test_light_module_imports_no_torch(name):
    heavy = {"torch", "numpy", "pluggy", "pydantic", "matplotlib", "sklearn"}
    assert heavy & {module.partition(".")[0] for module in reached(name)} == set()


def test_import_of_the_package_takes_nothing_that_only_mistakes_need():
    # `inspect`, which dataclasses import too, was a quarter of the time of `import memcore`.
    slow = {"dataclasses", "difflib", "importlib.metadata", "inspect", "json"}
    assert slow & reached("memcore") == set()


def test_core_never_imports_its_plugins():
    wrong = [
        name
        for name, tree in core().items()
        for module in imported(statements(tree), core())
        if module.partition(".")[0] == "memcore_plugins"
    ]
    assert wrong == []


def test_core_does_not_need_the_conformance_kit():
    wrong = [
        name
        for name, deps in graph().items()
        if not name.startswith("memcore.testing")
        and any(module.startswith("memcore.testing") for module in deps)
    ]
    assert wrong == []


def test_native_modules_are_loaded_in_one_place():
    wrong = [
        name
        for name, tree in core().items()
        for module in imported(statements(tree), core())
        if module in ("memcore._cpu", "memcore._cuda")
    ]
    assert wrong == []


#: The public names of each public room, and of the wing of fitting for devices of measured data.
PUBLIC_FACES = {
    f"memcore.{room}": import_module(f"memcore.{room}").__all__
    for room in (*memcore._MODULES, "fitting.curves")
    if hasattr(import_module(f"memcore.{room}"), "__all__")
}


@pytest.mark.parametrize("plugins", [BUNDLED, EXAMPLE], ids=["bundled", "example"])
def test_plugins_import_only_what_everybody_may(plugins):
    wrong = []
    for name, tree in sources(*plugins).items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
                wrong += [(name, m) for m in modules if m.startswith("memcore.")]
            elif isinstance(node, ast.ImportFrom) and node.module == "memcore":
                public = {*memcore.__all__}
                wrong += [(name, a.name) for a in node.names if a.name not in public]
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("memcore."):
                face = PUBLIC_FACES.get(str(node.module), ())
                wrong += [(name, node.module, a.name) for a in node.names if a.name not in face]
    assert wrong == []


# -- lists -----------------------------------------------------------------------------------------


#: Kinds whose bundled plugins are in files of their own; layers are modules of memcore.nn.
BUNDLED_KINDS = sorted(set(memcore.registries()) - {"layers"})


def test_every_layer_of_memcore_has_an_entry_point():
    declared = set(PROJECT["entry-points"]["memcore.layers"].values())
    classes = {
        f"{name}:{node.name}"
        for name, tree in core().items()
        if name.startswith("memcore.nn.")
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(each).startswith("replaces =") for each in node.body)
    }
    assert declared == classes


def entry_points() -> dict[str, dict[str, str]]:
    groups = PROJECT["entry-points"]
    return {kind: groups.get(f"memcore.{kind}", {}) for kind in BUNDLED_KINDS}


def folder(kind: str) -> str:
    """The package of the bundled plugins of a kind; layers are part of the core."""
    return "memcore.nn" if kind == "layers" else f"memcore_plugins.{kind}"


def test_every_plugin_on_disk_has_an_entry_point_and_the_other_way_round():
    on_disk = {
        (kind, path.stem)
        for kind in BUNDLED_KINDS
        for path in (PLUGINS / "memcore_plugins" / kind).glob("*.py")
        if not path.name.startswith("_")
    }
    declared = {
        (kind, target.partition(":")[0].rpartition(".")[2])
        for kind, entries in entry_points().items()
        for target in entries.values()
        if kind != "layers"
    }
    assert declared == on_disk


def test_an_entry_point_is_named_like_its_file():
    for kind, entries in entry_points().items():
        for name, target in entries.items():
            module = f"{folder(kind)}.{name}"
            assert target.startswith(f"{module}:"), target
            tree = {**core(), **sources(*BUNDLED)}[module]
            classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
            assert target.partition(":")[2] in classes, target


def test_no_folder_of_plugins_is_without_a_registry():
    folders = {path.name for path in (PLUGINS / "memcore_plugins").iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} <= set(memcore.registries())


def test_no_module_bears_the_name_of_a_public_object():
    # `import memcore.convert` would replace the function `memcore.convert` on the package.
    modules = {name.partition(".")[2] for name in core() if name.count(".") == 1}
    taken = {name for name in modules & set(memcore.__all__) if name not in memcore._MODULES}
    assert taken == set()


def test_every_public_name_exists_and_is_listed_once():
    assert sorted(set(memcore.__all__)) == sorted(memcore.__all__)
    assert [name for name in memcore.__all__ if not hasattr(memcore, name)] == []
    assert set(memcore.__all__) <= set(dir(memcore))


def test_type_checkers_see_the_public_names_and_where_they_live():
    stub = ast.parse((ROOT / "memcore" / "__init__.pyi").read_text(encoding="utf-8"))
    told = {
        alias.name: str(node.module)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert told.keys() == set(memcore.__all__)
    assert {name: told[name] for name in memcore._LAZY} == {
        name: f"memcore.{module}" for name, module in memcore._LAZY.items()
    }


def test_modules_that_moved_answer_to_their_old_names():
    for old, new in MOVED.items():
        assert import_module(old) is import_module(new)
        assert import_module(new).__spec__.name == new


# -- the folder of the project ---------------------------------------------------------------------


def test_what_calls_a_kernel_is_tested_without_one(kernel_rooms):
    # Looks at the native modules or at an operator: memcore.random is compared bit for bit.
    callers = {
        name
        for name, deps in everywhere().items()
        if any(dep == "memcore.native" or dep.startswith("memcore.ops") for dep in deps)
    }
    told_apart = ("memcore.random", "memcore.cli.main", "memcore.testing.pytest_plugin")
    assert {name for name in callers if not name.startswith((*kernel_rooms, *told_apart))} == set()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert '-m "kernel and not slow and not long"' in script


def contributing(heading: str) -> list[str]:
    """The first cells of the table under a heading of CONTRIBUTING.md."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` ", section, re.MULTILINE)


def test_contributing_has_a_row_for_every_room():
    rooms = {
        f"memcore/{path.name}/"
        for path in (ROOT / "memcore").iterdir()
        if path.is_dir() and (path / "__init__.py").exists()
    }
    listed = [row for row in contributing("Where things are") if row.count("/") == 2]
    assert sorted(listed) == sorted({*rooms, "plugins/memcore_plugins/", "plugins/example/"})


def test_contributing_has_a_row_for_every_header_of_the_kernels():
    headers = {path.name for path in (ROOT / "native" / "include" / "memcore").iterdir()}
    assert sorted(contributing("The native module")) == sorted(headers)


@pytest.mark.parametrize("target", ["test", "lint", "docs", "format", "coverage"])
def test_contributing_names_targets_that_there_are(target):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:.* ## ", makefile, re.MULTILINE)
    assert f"$ make {target} " in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


#: What makes tensors on the default device of torch unless it is told another one.
MAKERS = {f"torch.{name}" for name in ("arange", "empty", "full", "ones", "tensor", "zeros")}


def test_operators_make_tensors_on_a_device_that_they_name():
    """Under `torch.set_default_device` kernels would else get addresses on that device."""
    strangers = [
        f"{name}:{node.lineno}"
        for name, tree in core().items()
        if name.startswith("memcore.ops")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in MAKERS
        and "device" not in {keyword.arg for keyword in node.keywords}
    ]
    assert strangers == []
