"""Fixtures for all tests."""

import ast
import contextlib
import functools
import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

# Before torch starts its threads: spinning ones slow a busy machine down by orders of magnitude.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

import hypothesis
import numpy as np
import pytest
import torch

import memcore
from memcore.registry.instances import manager
from memcore.spice import Result

torch.set_num_threads(1)
# Times say nothing on a busy machine.
hypothesis.settings.register_profile("memcore", deadline=None)
hypothesis.settings.load_profile("memcore")


#: The rooms in which the native module computes, as they are imported. Almost every test draws
#: random numbers; only the tests of the draws themselves are marked for it.
KERNEL_ROOMS = (
    "memcore.ops",
    "memcore.native",
    "memcore.contracts.forms",
    "memcore.contracts.mapper",
    "memcore.circuit",
    "memcore.dynamics",
    "memcore.writing",
    "memcore.crossbar",
    "memcore.sensing",
    "memcore.nn",
    "memcore.optim",
    "memcore.spice",
)
#: Plugins that act on arrays, whatever their tests name.
ARRAY_PLUGINS = ("nonidealities", "mappers", "programmers", "converters")
DRAWS = ("test_random", "test_distributions")
#: How files begin that test what stands around arrays: words of errors, settings, studies,
#: pictures, costs, fits, layers that do with products what others do with theirs. Where the
#: compiled module computes otherwise, the tests of products and devices notice.
AROUND = (
    *("test_attention", "test_recurrent", "test_computed_weights", "test_foreign_layers"),
    *("test_testing", "test_support", "test_keywords", "test_borders", "test_errors"),
    *("test_config", "test_unused_settings", "test_lane_settings", "test_default_device"),
    *("test_study", "test_new_study", "test_cli", "test_plan", "test_explore", "test_plot"),
    *("test_output_range", "test_report_chip", "test_installed"),
    *("test_cost", "test_counting_layers", "test_accelforge", "test_compression"),
    *("test_fitting", "test_retention_fit", "test_identify"),
)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Give each test the same numbers of torch, whichever tests the process ran before."""
    torch.default_generator.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Generator[None, Any, Any]:
    """Let no test leave a mode of torch behind, past which kernels of later tests may not read."""
    result = yield
    assert torch._C._len_torch_function_stack() == torch._C._len_torch_dispatch_stack() == 0
    return result


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Import no file without a kernel where only tests with one are asked for."""
    asked = config.getoption("markexpr").startswith("kernel and ")
    is_file = collection_path.match("test_*.py")
    return True if asked and is_file and not names_a_kernel(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Look for no garbage among thousands of tests, and pass over them for good."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of files that name what those rooms hold, and begin with what takes long.

    A long test that begins when all others are done keeps one worker busy and the rest idle. Files
    stay whole, for what their tests share.
    """
    for item in items:
        if names_a_kernel(item.path):
            item.add_marker("kernel")
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


@functools.cache
def names_a_kernel(path: Path) -> bool:
    """Whether a test file is about draws or arrays, or names what a kernel's room holds."""
    if path.stem.startswith(AROUND) or path.parent.name == "systems":
        return False
    public, on_arrays = kernel_names()
    plugin = path.parent.name == "plugins" and path.stem.removeprefix("test_") in on_arrays
    if path.parent.name == "native" or path.stem in DRAWS or plugin:
        return True
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in public:
            return True
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", "") or ""
            names = {alias.name for alias in node.names}
            if (module == "memcore" and names & public) or any(
                name.startswith(KERNEL_ROOMS) for name in {module, *names}
            ):
                return True
    return False


@functools.cache
def kernel_names() -> tuple[set[str], set[str]]:
    """Public names of those rooms, and plugins that act on arrays."""
    homes = {**memcore._LAZY, **memcore._MODULES}
    public = {name for name, home in homes.items() if f"memcore.{home}".startswith(KERNEL_ROOMS)}
    return public, {name for kind in ARRAY_PLUGINS for name in memcore.registries()[kind]}


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Chromium for all pages; where a site was named, it must be looked at."""
    spec = importlib.util.spec_from_file_location("browser", Path(__file__).with_name("browser.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.CHROMIUM is None:
        named = os.environ.get("MEMCORE_DOCS")
        (pytest.fail if named else pytest.skip)("there is no chromium: install Debian's package")
    with module.Browser(module.CHROMIUM, tmp_path_factory.mktemp("chromium") / "profile") as opened:
        yield opened


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], AbstractContextManager[Path]]:
    """Gives a folder of a name that all workers of a run have, to one of them after the other.

    What takes long and several tests look at is computed by the first and found by the others.
    """
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    @contextlib.contextmanager
    def alone(name: str) -> Iterator[Path]:
        folder = common / "shared" / name
        folder.mkdir(parents=True, exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder

    return alone


@pytest.fixture
def kernel_rooms() -> tuple[str, ...]:
    """The rooms whose tests are marked."""
    return KERNEL_ROOMS


class Site:
    """A folder in front of `sys.path` into which a test puts made-up distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(
        self,
        distribution: str,
        groups: Mapping[str, Mapping[str, str]],
        *,
        version: str = "0.3",
        modules: Mapping[str, str] | None = None,
    ) -> None:
        """Write metadata, entry points by group, and the source of modules."""
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = []
        for group, entries in groups.items():
            lines += [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for name, source in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(source)
        look_again()


def look_again() -> None:
    """Make the registries see what is installed now."""
    importlib.invalidate_caches()
    for registry in memcore.registries().values():
        registry.refresh()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A place for made-up distributions, gone after the test."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    for variable in ("MEMCORE_DISABLE", "MEMCORE_PLUGINS"):
        monkeypatch.delenv(variable, raising=False)
    look_again()
    kinds = memcore.registries().values()
    registered = [dict(registry._registered) for registry in kinds]
    yield Site(folder)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
    monkeypatch.undo()
    for registry, before in zip(kinds, registered, strict=True):
        for name in set(registry._registered) - set(before):
            registry.unregister(name)
    manager.cache_clear()
    look_again()


@pytest.fixture(scope="module")
def sketch() -> Iterator[None]:
    """A picture of a study that takes no time, for tests that are about the rest."""
    from memcore.study import files

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "memcore.study.finishing.plot", lambda _, path: files.write_atomic(path, b"picture")
        )
        yield


@pytest.fixture(scope="session")
def pulse_by_pulse() -> Callable[[memcore.Memristor, Iterable[int]], torch.Tensor]:
    """Conductances of a fresh cell after pulses, of which each read has its own."""

    def read(device: memcore.Memristor, count: Iterable[int]) -> torch.Tensor:
        ctx = memcore.Context(random=memcore.Stream(0))
        state = device.initial_state((1,), ctx).double()
        conductances = []
        for number in count:
            if number:
                state = device.pulses(state, torch.tensor([int(number)]), ctx)
            conductances.append(device.conductance(state))
        return torch.cat(conductances)

    return read


@pytest.fixture
def nodal() -> Callable[[str], Result]:
    """Solves a netlist of resistors and sources, independently of the solvers of memcore."""
    return operating_point


def operating_point(netlist: str) -> Result:
    """The operating point of resistors and sources by nodal analysis, as ngspice would print it."""
    parts = [line.split() for line in netlist.splitlines() if line[:1] in "RV"]
    nodes = sorted({node for part in parts for node in part[1:3]} - {"0"})
    sources = [part for part in parts if part[0][0] == "V"]
    at = {node: k for k, node in enumerate(nodes)}
    size = len(nodes) + len(sources)
    a, right = np.zeros((size + 1, size + 1)), np.zeros(size + 1)
    for name, p, q, value in parts:
        ends = [at.get(p, size), at.get(q, size)]
        if name[0] == "R":
            a[np.ix_(ends, ends)] += np.array([[1, -1], [-1, 1]]) / float(value)
    for k, (_, p, q, value) in enumerate(sources, start=len(nodes)):
        for end, sign in ((at.get(p, size), 1), (at.get(q, size), -1)):
            a[k, end] += sign
            a[end, k] += sign
        right[k] = float(value)
    x = np.linalg.solve(a[:size, :size], right[:size])
    volts = dict(zip(nodes, x, strict=False)) | {"0": 0.0}
    found = {node: volts[node] for node in nodes}
    found |= {f"{s[0].lower()}#branch": i for s, i in zip(sources, x[len(nodes) :], strict=True)}
    for name, p, q, value in parts:
        if name.startswith("R_"):
            found[f"@{name.lower()}[i]"] = (volts[p] - volts[q]) / float(value)
    return Result(found)
