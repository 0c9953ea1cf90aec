"""Workers of Dask, on one machine or on many."""

from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any

from memcore import ConfigError, MissingPackageError, PoolExecutor, StudyError, parameter


@dataclass(frozen=True, kw_only=True)
class Dask(PoolExecutor):
    """An existing cluster of Dask by the address of its scheduler, or a local one.

    Workers need the environment and the code of the run, and see its data and weights under the
    same paths. Where they see the results folder too, they write into it.
    """

    address: str = parameter(
        "", "1", "address of a scheduler, such as tcp://head:8786; a local cluster when empty"
    )
    workers: int | None = parameter(
        None, "1", "number of local workers; one for every core when absent", at_least=1
    )

    def check(self) -> None:
        _distributed()
        if self.address and self.workers is not None:
            raise ConfigError(
                f"workers={self.workers} beside the address {self.address!r}; expected one of "
                "them, since a cluster that exists has its own workers"
            )

    def pool(self) -> tuple["_Workers", int]:
        distributed = _distributed()
        if not self.address:
            client = distributed.Client(
                n_workers=self.workers, threads_per_worker=1, dashboard_address=None
            )
        else:
            try:
                client = distributed.Client(self.address)
            except (OSError, ValueError) as error:
                raise StudyError(
                    f"the scheduler of Dask at {self.address!r} does not answer: {error}; expected "
                    "the address of one that runs, such as tcp://head:8786"
                ) from error
        client.wait_for_workers(1)
        return _Workers(client), max(4, 2 * sum(client.ncores().values()))

    def evaluate(self, work: Any, units: Iterable[Any]) -> Iterator[Any]:
        killed = _distributed().KilledWorker
        try:
            yield from super().evaluate(work, units)
        except killed as error:
            raise StudyError(
                f"workers of Dask died at a unit again and again: {error}; expected workers that "
                "live: look at their logs, and at the memory that each needs"
            ) from error
        except CancelledError as error:
            raise StudyError(
                "the scheduler of Dask has dropped the units, as when it ends or loses the run; "
                "expected one that stays: run the study again, which goes on where it stopped"
            ) from error


class _Workers:
    """A client of Dask as a pool of `concurrent.futures`."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.executor = client.get_executor(pure=False)

    def submit(self, fn: Any, /, *args: Any) -> "Future[Any]":
        return self.executor.submit(fn, *args)  # type: ignore[no-any-return]

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        del cancel_futures  # without waiting, running ones are cancelled too
        self.executor.shutdown(wait)
        self.client.close()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingPackageError(
            f"the executor dask needs distributed, which is not usable here ({error}): "
            "pip install 'memcore[dask]'"
        ) from error
    return distributed
