"""Jobs of Slurm."""

import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from memcore import Executor, MissingPackageError, StudyError, parameter
from memcore_plugins.executors._slurm_queue import Queue


@dataclass(frozen=True, kw_only=True)
class Slurm(Executor):
    """Job arrays of Slurm, submitted by the package submitit.

    A job evaluates some units, one after the other, and writes each result into the results folder,
    which is to be on a disk that all machines share. A job that is lost, runs out of its time or is
    preempted is submitted again, and skips what it had finished. Each task has its own log. Slurm's
    accounting is not needed: a job that is in the queue no more and left no result is lost.
    """

    workers: int = parameter(32, "1", "jobs that wait or run at a time", at_least=1)
    units: int = parameter(10, "1", "units of a job", at_least=1)
    minutes: int = parameter(60, "min", "time limit of a job", at_least=1)
    cpus: int = parameter(1, "1", "cores of a job", at_least=1)
    gpus: int = parameter(0, "1", "graphics processors of a job", at_least=0)
    memory: float = parameter(4e9, "B", "memory of a job", above=0)
    partition: str = parameter("", "1", "partition; that of the cluster when empty")
    account: str = parameter("", "1", "account that is charged; your own when empty")
    attempts: int = parameter(3, "1", "how often a job is submitted that is lost", at_least=1)
    folder: str = parameter("memcore-jobs", "1", "folder for jobs and their logs, on a shared disk")
    cluster: Literal["slurm", "local"] = parameter(
        "slurm", "1", "where jobs run: on Slurm, or as processes of this machine for a trial"
    )
    seconds: float = parameter(2.0, "s", "time between two looks at the jobs", above=0)

    def check(self) -> None:
        _submitit()
        if self.cluster == "slurm" and shutil.which("sbatch") is None:
            raise StudyError(
                "the executor slurm finds no command sbatch here; expected a machine from which "
                "jobs are submitted: log in to one, or use --shard with another scheduler"
            )

    def evaluate(self, work: Any, units: Iterable[Any]) -> Iterator[Any]:
        jobs = _Jobs(self, work)
        todo = iter(units)
        try:
            while True:
                while room := self.workers - len(jobs.running):
                    chunks = [c for c in (list(islice(todo, self.units)) for _ in range(room)) if c]
                    if not chunks:
                        break
                    jobs.submit([(chunk, 1) for chunk in chunks])
                if not jobs.running:
                    return
                yield from jobs.finished()
        finally:
            jobs.cancel()

    def submitter(self) -> Any:
        """What submits jobs."""
        submitit = _submitit()
        executor = submitit.AutoExecutor(folder=f"{self.folder}/%j", cluster=self.cluster)
        executor.update_parameters(
            name="memcore",
            timeout_min=self.minutes,
            cpus_per_task=self.cpus,
            mem_gb=self.memory / 1e9,
            **({"gpus_per_node": self.gpus} if self.gpus else {}),
        )
        if self.cluster == "slurm":
            chosen = {"slurm_partition": self.partition, "slurm_account": self.account}
            chosen = {name: value for name, value in chosen.items() if value}
            executor.update_parameters(slurm_array_parallelism=self.workers, **chosen)
        return executor


class _Jobs:
    """Jobs that wait or run, each with its units and how often they were submitted."""

    def __init__(self, slurm: Slurm, work: Any) -> None:
        self.slurm, self.work = slurm, work
        self.executor = slurm.submitter()
        self.queue = Queue(slurm.seconds)
        self.running: dict[Any, tuple[list[Any], int]] = {}

    def submit(self, chunks: Sequence[tuple[list[Any], int]]) -> None:
        """Submit a job for each chunk of units, as one array."""
        try:
            with self.executor.batch():
                jobs = [self.executor.submit(_evaluated, self.work, units) for units, _ in chunks]
        except (_submitit().core.utils.FailedJobError, OSError) as error:
            raise StudyError(
                f"Slurm takes no job: {_words(error)}; expected a partition, an account and limits "
                "that it knows, and a folder for jobs that can be written"
            ) from error
        self.running |= dict(zip(jobs, chunks, strict=True))

    def finished(self) -> Iterator[Any]:
        """The results of the jobs that end next."""
        ended = [job for job in self.running if job.done()]
        if not ended:
            self._submit_forgotten()
            time.sleep(self.slurm.seconds)
        for job in ended:
            units, attempt = self.running.pop(job)
            lost = job.exception()
            if lost is not None:
                self._again(job, units, attempt, lost)
                continue
            for result in job.result():
                if isinstance(result, Exception):
                    raise result
                yield result

    def _submit_forgotten(self) -> None:
        for job in self.queue.lost(self.running) if self.slurm.cluster == "slurm" else []:
            if not job.done():
                lost = StudyError("it is in the queue no more and left no result")
                self._again(job, *self.running.pop(job), lost)

    def _again(self, job: Any, units: list[Any], attempt: int, lost: Exception) -> None:
        if attempt >= self.slurm.attempts:
            raise StudyError(
                f"a job of {units[0]} was lost {attempt} times, at last job {job.job_id}: "
                f"{_words(lost)}; look at its log '{job.paths.stderr}', and give jobs more minutes "
                "or memory, or fewer units"
            ) from lost
        self.submit([(units, attempt + 1)])

    def cancel(self) -> None:
        """End the jobs that nobody waits for any more."""
        for job in self.running:
            job.cancel(check=False)


def _evaluated(work: Any, units: Sequence[Any]) -> list[Any]:
    """The results of some units; an error in place of a result ends them."""
    results: list[Any] = []
    for unit in units:
        try:
            results.append(work(unit))
        except Exception as error:
            return [*results, error]
    return results


def _words(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise MissingPackageError(
            f"the executor slurm needs submitit, which is not usable here ({error}): "
            "pip install 'memcore[slurm]'"
        ) from error
    return submitit
