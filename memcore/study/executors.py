"""From what a user names to an executor."""

from collections.abc import Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from memcore._text import shown
from memcore.contracts.executor import Executor, Pool, PoolExecutor, Work
from memcore.errors import ConfigError, MemcoreError, StudyError
from memcore.registry.instances import registries
from memcore.registry.specs import plugin
from memcore.study.components import found

_MANY: Final = 256  #: units at once in a pool that does not tell its size

#: The name of an executor, a mapping `{"name": ..., parameters}`, an `Executor`, or what offers
#: `concurrent.futures`.
ExecutorSpec = str | Mapping[str, Any] | Executor | Pool


#: What may be asked of an executor that has such a parameter.
_ASKED: Final = {"workers": "number of workers", "devices": "devices"}


def made(spec: Any, workers: int | None = None, devices: Sequence[str] = ()) -> Executor:
    """The executor that a name, a mapping, an instance or a pool stands for.

    Args:
        spec: name in `memcore.executors`; mapping `{"name": ..., parameters}`; an executor;
            "package.module:function", which returns what offers `concurrent.futures`; or such an
            object.
        workers: number of workers, for an executor that takes one.
        devices: torch devices of the workers, for an executor that takes them.

    Raises:
        ConfigError: it is none of these, or takes no number of workers or no devices.
        UnknownPluginError: no executor has this name.
    """
    asked = {"workers": workers, "devices": tuple(devices)}
    chosen = _chosen(spec, {name: value for name, value in asked.items() if value})
    chosen.check()
    return chosen


def _chosen(spec: Any, asked: Mapping[str, Any]) -> Executor:
    if isinstance(spec, str) and ":" in spec and spec not in registries()["executors"]:
        rest = {name: value for name, value in asked.items() if name != "workers"}
        return _chosen(_called(spec, asked.get("workers")), rest)
    if not isinstance(spec, Executor | str | Mapping) and callable(getattr(spec, "submit", None)):
        return _with(_Given(spec), asked, spec)
    return _with(plugin("executors", spec), asked, spec)


def _with(executor: Executor, asked: Mapping[str, Any], spec: Any) -> Executor:
    """An executor with what was asked of it."""
    names = [field.name for field in fields(executor) if field.init]  # type: ignore[arg-type]
    for name in asked:
        if name not in names:
            raise ConfigError(
                f"executor {shown(spec)} takes no {_ASKED[name]}; expected one that does, such as "
                "processes"
            )
    return replace(executor, **asked) if asked else executor  # type: ignore[type-var]


def _called(spec: str, workers: int | None) -> Any:
    """What the function behind "package.module:function" returns."""
    function = found("executor", spec, {}, Path.cwd())
    try:
        returned = function() if workers is None else function(workers)
    except MemcoreError:
        raise
    except Exception as error:  # whatever a function of the user's raises
        raise ConfigError(
            f"executor {shown(spec)} fails: {type(error).__name__}: {error}; expected a function "
            "that returns what offers concurrent.futures, and takes the number of workers if there "
            "is one"
        ) from error
    if isinstance(returned, str):
        raise ConfigError(
            f"executor {shown(spec)} returns {shown(returned)}; expected what offers "
            "concurrent.futures, a memcore.Executor or a mapping with the name of one"
        )
    return returned


@dataclass(frozen=True, kw_only=True, init=False)
class _Given(PoolExecutor):
    """A pool of the caller's own, which stays open."""

    submits: Any

    def __init__(self, submits: Any) -> None:
        object.__setattr__(self, "submits", submits)

    def pool(self) -> tuple[Pool, int]:
        workers = getattr(self.submits, "_max_workers", None)
        return _Open(self.submits), 2 * workers if isinstance(workers, int) else _MANY


@dataclass(frozen=True)
class _Open:
    submits: Any

    def submit(self, fn: Work, /, *args: Any) -> Any:
        try:
            return self.submits.submit(fn, *args)
        except BrokenExecutor:
            raise
        except RuntimeError as error:
            raise StudyError(
                f"the pool takes no units: {error}; expected an open one, that stays open until "
                "the study ends"
            ) from error

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave it open: it is the caller's."""
