"""Builds of the native modules other than the installed ones, and processes that use them."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

SOURCES = Path(__file__).parents[2]

# Python imports a module of this name whenever it starts.
REPLACE = """
import importlib.util
import sys

class Replace:
    def find_spec(self, name, path=None, target=None):
        if name == "memcore._cpu":
            return importlib.util.spec_from_file_location(name, {module!r})

sys.meta_path.insert(0, Replace())
"""


@dataclass(frozen=True)
class Build:
    """A build of `memcore._cpu`, which is used by the processes that `pytest` starts."""

    folder: Path
    module: Path

    def pytest(self, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run tests with this module; its output is not captured, so that a crash is seen."""
        site = self.folder / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(REPLACE.format(module=str(self.module)))
        inherited = {
            k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "MEMCORE_"))
        }
        paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
        required = {"MEMCORE_REQUIRE_NATIVE": "1", "PYTHONPATH": os.pathsep.join(paths)}
        options = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", "--color=no"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options, *args],
            cwd=SOURCES,
            env={**inherited, **required, **variables},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Build]:
    """Return a function that builds `memcore._cpu` with definitions for CMake."""
    if importlib.util.find_spec("pybind11") is None or shutil.which("cmake") is None:
        pytest.skip("builds need CMake and pybind11")
    if not (SOURCES / "CMakeLists.txt").is_file():
        pytest.skip("builds need the sources")

    def make(*definitions: str) -> Build:
        import pybind11

        settings = ("MEMCORE_CUDA=OFF", "MEMCORE_WERROR=ON", f"Python_EXECUTABLE={sys.executable}")
        settings += (f"pybind11_DIR={pybind11.get_cmake_dir()}", "MEMCORE_QUICK=ON", *definitions)
        configure = ["cmake", "-S", str(SOURCES), "-B", str(tmp_path)]
        configure += [f"-D{setting}" for setting in settings]
        for command in (configure, ["cmake", "--build", str(tmp_path), "--parallel", "2"]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        (module,) = (tmp_path / "native").glob("_cpu.*")
        return Build(tmp_path, module)

    return make


# Fresh processes ----------------------------------------------------------------------------------

# Most of the time that a process needs to start goes into PyTorch, which nothing here asks about:
# it is imported once, and a fork of that process is asked. memcore is not imported before.
FORKS = """
import json
import os
import sys
import traceback

import torch


def answer(asked):
    for number, name in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(name, os.O_WRONLY if number else os.O_RDONLY), number)
    os.environ.clear()
    os.environ.update(asked["environment"])
    try:
        exec(compile(asked["code"], "<string>", "exec"), {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


for line in sys.stdin:
    child = os.fork()
    if not child:
        status = answer(json.loads(line))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


Done = subprocess.CompletedProcess[str]


class Forks:
    """Processes that have imported PyTorch and nothing of memcore."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        command = [sys.executable, "-c", FORKS]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, text=True, bufsize=1, **pipes)

    def __call__(self, code: str, environment: dict[str, str] | None = None) -> Done:
        """Run code in a process of its own, with these variables or those of this process."""
        out, err = (self.folder / name for name in ("out", "err"))
        for stream in (out, err):
            stream.write_text("")
        asked = {"code": code, "environment": dict(environment or os.environ)}
        asked |= {"out": str(out), "err": str(err)}
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(code, status, out.read_text(), err.read_text())

    def close(self) -> None:
        """Let the process that is forked come to its end."""
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait() == 0


def started(code: str, environment: dict[str, str] | None = None) -> Done:
    """The same as of `Forks`, in a process that imports PyTorch itself."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Done]]:
    """Runs code in a process in which memcore was never imported, as its return and streams."""
    if sys.platform != "linux":  # others have no forks, or none that are safe behind PyTorch
        yield started
        return
    forks = Forks(tmp_path_factory.mktemp("fresh"))
    yield forks
    forks.close()


# The CUDA module for the processor ----------------------------------------------------------------
#
# The sources are those of `memcore._cuda`, bindings included. Two things are written otherwise in
# C++: launches, and shared memory whose size is told at a launch.

NATIVE = SOURCES / "native"
EMULATION = Path(__file__).parent / "emulation"
REWRITTEN = {
    r"(\w+)<<<(.*?)>>>\(": r"emulation::launch(\1, \2, ",
    r"extern __shared__ (?:__align__\(16\) )?float (\w+)\[\];": (
        r"float* const \1 = emulation::shared;"
    ),
}


def rewritten(file: Path) -> str:
    text = file.read_text()
    for cuda, cpp in REWRITTEN.items():
        text = re.sub(cuda, cpp, text)
    return text


def copied(folder: Path) -> list[Path]:
    """The sources as C++; returns those that are compiled."""
    for file in NATIVE.glob("src/cuda/*"):
        place = folder / "cuda" / file.with_suffix(".cpp" if file.suffix == ".cu" else ".h").name
        place.parent.mkdir(exist_ok=True)
        place.write_text(rewritten(file))
    for file in (NATIVE / "src" / "bind_cuda.cpp", *NATIVE.glob("src/bind*.h")):
        shutil.copy(file, folder)
    return sorted(folder.rglob("*.cpp"))


def compiled(folder: Path, module: Path) -> None:
    import pybind11

    own = [EMULATION, NATIVE / "include", folder]
    folders = [*map(str, own), pybind11.get_include(), sysconfig.get_path("include")]
    flags = ["-std=c++17", "-O1", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off"]
    flags += ["-D__CUDA_ARCH_LIST__=900", *(f"-I{each}" for each in folders)]

    def run(*args: str) -> None:
        command = [os.environ.get("CXX", "g++"), *args]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    files = copied(folder)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, *flags, "-c", str(file)) for file in files]:
            done.result()
    run("-shared", "-o", module.name, *(f"{file.stem}.o" for file in files))


def compiled_once(factory: pytest.TempPathFactory) -> Path:
    """The module in a folder that the workers of a run share, who wait for the first of them."""
    import fcntl

    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "emulated"
    folder.mkdir(exist_ok=True)
    module = folder / f"_cuda{sysconfig.get_config_var('EXT_SUFFIX')}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not module.exists():
            compiled(folder, module)
    return module


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """`memcore._cuda` with the processor as its GPU."""
    if sys.platform != "linux" or shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("threads are emulated with Linux and a C++ compiler")
    if importlib.util.find_spec("pybind11") is None or not NATIVE.is_dir():
        pytest.skip("builds need pybind11 and the sources")
    path = compiled_once(tmp_path_factory)
    # By another name: pybind11 gives a module that was loaded by this one.
    spec = importlib.util.spec_from_file_location("emulated._cuda", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def on_emulated_gpu(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of the processor stand for those of a GPU."""
    from memcore import native
    from memcore.ops import _library

    monkeypatch.setattr(native, "cuda", lambda: emulated)
    monkeypatch.setattr(_library, "where", lambda tensor: (0, 0))


class Forwarding:
    """Kernels of the CPU, which are those of CUDA on a device and a stream."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: getattr(self.module, name)(*args, 0, 0)


@pytest.fixture
def instead(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators that choose by the device of a tensor call the kernels of CUDA too."""
    from memcore import native

    monkeypatch.setattr(native, "cpu", lambda: Forwarding(emulated))
