"""Loads the native modules `memcore._cpu` and `memcore._cuda` and says whether that worked.

Nothing else imports them. Without them every operator runs its PyTorch reference, which is slower
and never silent: `status()` says what is in use and why. Two environment variables, read once,
change that:

- `MEMCORE_NATIVE=0` uses the references even where the modules are installed;
- `MEMCORE_REQUIRE_NATIVE=1` makes a module that cannot be used a `NativeError` (`_cuda` only where
  PyTorch sees a GPU).
"""

import functools
import importlib
import os
from dataclasses import dataclass
from types import ModuleType

# Before _cpu, so that both share one OpenMP runtime: with two thread pools each call takes
# milliseconds.
import torch

from memcore.errors import NativeError

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}

_ADVICE = {
    # By a path, not by the name: that of memcore on PyPI belongs to another project.
    "_cpu": "reinstall memcore from its sources, with a C++ compiler at hand: "
    "pip install . --no-deps --force-reinstall",
    "_cuda": "rebuild memcore with the CUDA toolkit on the PATH: "
    "pip install . --no-deps -Ccmake.define.MEMCORE_CUDA=ON",
}


@dataclass(frozen=True)
class ModuleStatus:
    """The status of one native module.

    Attributes:
        name: name of the module, `_cpu` or `_cuda`.
        loaded: whether its kernels are in use.
        reason: reason why it is or is not in use.
        isa: instruction set of `_cpu` ("baseline", "avx2", "avx512"); empty for `_cuda`.
        threads: number of threads that the next kernel of `_cpu` may use; 0 if not loaded.
        build: toolkit and architectures of which `_cuda` was built; empty for `_cpu`.
    """

    name: str
    loaded: bool
    reason: str
    isa: str = ""
    threads: int = 0
    build: str = ""

    def __str__(self) -> str:
        facts = [self.isa, f"{self.threads} threads" if self.threads else "", self.build]
        details = ", ".join(fact for fact in facts if fact)
        state = "loaded" if self.loaded else "not in use"
        remarks = "; ".join(part for part in (details, self.reason) if part)
        return f"{self.name}: {state} ({remarks})"


@dataclass(frozen=True)
class Status:
    """The status of both native modules; `str()` is one line."""

    cpu: ModuleStatus
    cuda: ModuleStatus

    def __str__(self) -> str:
        return f"{self.cpu}; {self.cuda}"


def status() -> Status:
    """Return what is in use on CPU and on CUDA, and why; loads the modules if need be.

    Raises:
        NativeError: if a module is required and cannot be used.
    """
    cpu_module, cpu_reason = _cpu()
    cuda_module, cuda_reason = _cuda()
    cpu_status = ModuleStatus("_cpu", False, cpu_reason)
    if cpu_module is not None:
        cpu_status = ModuleStatus("_cpu", True, cpu_reason, cpu_module.isa(), cpu_module.threads())
    build = str(cuda_module.build()) if cuda_module is not None else ""
    return Status(
        cpu_status, ModuleStatus("_cuda", cuda_module is not None, cuda_reason, build=build)
    )


def cpu() -> ModuleType | None:
    """Return `memcore._cpu`, or None if the reference is to be used.

    Raises:
        NativeError: if it is required and cannot be used, or if MEMCORE_ISA cannot be had.
    """
    return _cpu()[0]


def cuda() -> ModuleType | None:
    """Return `memcore._cuda`, or None if the reference is to be used.

    Raises:
        NativeError: if it is required, PyTorch sees a GPU, and the module cannot be used.
    """
    return _cuda()[0]


@functools.cache
def _cpu() -> tuple[ModuleType | None, str]:
    module, reason = _load("_cpu", required=_flag("MEMCORE_REQUIRE_NATIVE", default=False))
    if module is not None:
        try:
            module.isa()
        except RuntimeError as error:
            raise NativeError(str(error)) from None
    return module, reason


@functools.cache
def _cuda() -> tuple[ModuleType | None, str]:
    gpu = torch.cuda.is_available()
    module, reason = _load("_cuda", required=gpu and _flag("MEMCORE_REQUIRE_NATIVE", default=False))
    if module is not None and not gpu:
        reason = "PyTorch sees no GPU"
    return module, reason


def _load(name: str, *, required: bool) -> tuple[ModuleType | None, str]:
    if not _flag("MEMCORE_NATIVE", default=True):
        reason = "MEMCORE_NATIVE=0 asks for the PyTorch reference"
    else:
        try:
            return importlib.import_module(f"memcore.{name}"), ""
        except ImportError as error:
            reason = _explain(name, error)
    if required:
        raise NativeError(
            f"MEMCORE_REQUIRE_NATIVE is set, but memcore.{name} is not in use: {reason}; "
            f"{_ADVICE[name]}, or unset MEMCORE_REQUIRE_NATIVE"
        )
    return None, reason


def _explain(name: str, error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == f"memcore.{name}":
        return "this installation was built without it"
    if "libgomp" in str(error):
        return (
            f"it cannot be loaded: {error} (install the OpenMP runtime libgomp1, or torch >= 2.10)"
        )
    return f"it cannot be loaded: {error}"


def _flag(variable: str, *, default: bool) -> bool:
    value = os.environ.get(variable, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    if value:
        raise NativeError(f"{variable} is {value!r}; expected 0 or 1")
    return default
