"""Studies over processes: the same bytes, whatever evaluates the units and whatever dies."""

import os
import pickle
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import memcore
from memcore import study
from memcore.errors import ConfigError, StudyError
from memcore.testing import checks_for

MODULE = """
import os, signal, time
from pathlib import Path
import torch
from torch import nn
from memcore.study import Dataset, Split

HERE = Path(__file__).parent

def flat():
    generator = torch.Generator().manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(4, 16, generator=generator))
    return model

def bars():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(80) % 4
    images = torch.randn(80, 1, 4, 4, generator=generator)
    return Dataset(train=Split(images[:40], labels[:40]), test=Split(images[40:], labels[40:]))

def judged(outputs, targets):
    # A line for every network that is judged, and what the test wants to happen to it.
    with (HERE / "log").open("a") as log:
        log.write(f"{os.getpid()}\\n")
    wanted = HERE / "wanted"
    try:
        what = wanted.read_text()
    except OSError:
        what = ""
    if what == "slow":
        time.sleep(0.05)
    if what == "tell device":
        with (HERE / "devices").open("a") as log:
            log.write(f"{os.getpid()} {os.environ.get('MEMCORE_DEVICE', 'none')}\\n")
    if what.startswith("kill") and os.getpid() != int(what.split()[1]):
        if what.endswith("once"):
            wanted.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "fail":
        raise ValueError("this metric fails")
    return float((outputs.argmax(1) == targets).double().mean())
"""
TOML = """
[study]
name = "bars"
model = "bars_scale:flat"
data = "bars_scale:bars"
metric = "bars_scale:judged"
chips = 4
[train]
epochs = 0
[crossbar]
device = { name = "ideal", r_on = 1e4, r_off = 1e5 }
nonidealities = [{ name = "read_noise", relative = 0.5 }]
[[sweep]]
name = "noise"
[sweep.axes]
"nonidealities.read_noise.relative" = [0.2, 0.5, 0.8]
"""
UNITS = 12
FORKED = {"name": "processes", "workers": 2, "start": "fork"}


@pytest.fixture(scope="module")
def case(sketch: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file beside its module, and in "out" what a run in one process leaves."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "bars_scale.py").write_text(MODULE)
    (folder / "study.toml").write_text(TOML)
    study.run(folder / "study.toml", folder / "out")
    return folder


@pytest.fixture(autouse=True)
def fresh_log(case: Path) -> Iterator[None]:
    for name in ("log", "wanted", "devices"):
        (case / name).unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads
        yield


def run(case: Path, out: Path, **options: Any) -> study.Results:
    return study.run(case / "study.toml", out, **options)


def contents(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def judged(case: Path) -> int:
    """How many networks were judged, the digital one included."""
    return len((case / "log").read_text().splitlines())


def want(case: Path, what: str) -> None:
    (case / "wanted").write_text(what)


def child(act: Callable[[], object]) -> int:
    """Do something in a fork of this process."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        finally:
            os._exit(0)
    return pid


# -- the unit --------------------------------------------------------------------------------------


def test_a_unit_depends_on_the_plan_and_itself_alone(case: Path, tmp_path: Path) -> None:
    plan = study.plan(case / "study.toml", tmp_path / "out")
    assert len(plan.units) == UNITS
    before = contents(tmp_path / "out")
    sent = pickle.loads(pickle.dumps(plan))
    forward = {unit: study.evaluate(plan, unit).score for unit in plan.units}
    backward = {unit: study.evaluate(sent, unit).score for unit in reversed(plan.units)}
    assert forward == backward
    assert contents(tmp_path / "out") == before
    rows = study.load(case / "out").rows
    expected = [value for row in rows for value in row.scores]
    assert [forward[unit].value for unit in plan.units] == expected


def test_a_plan_is_small_when_it_travels(case: Path, tmp_path: Path) -> None:
    assert len(pickle.dumps(study.plan(case / "study.toml", tmp_path / "out"))) < 10_000


def test_a_process_that_sees_other_code_refuses_to_evaluate(case: Path, tmp_path: Path) -> None:
    for name in ("bars_scale.py", "study.toml"):
        text = (case / name).read_text().replace("bars_scale", "bars_other")
        (tmp_path / name.replace("scale", "other")).write_text(text)
    plan = study.plan(tmp_path / "study.toml", tmp_path / "out")
    sent = pickle.loads(pickle.dumps(plan))
    module = tmp_path / "bars_other.py"
    module.write_text(module.read_text() + "# changed\n")
    with pytest.raises(StudyError, match="has other plugins, code or versions than the run"):
        study.evaluate(sent, plan.units[0])


# -- executors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "workers"),
    [("inline", None), (FORKED, None), (FORKED, 3), ("pool", None), ("module", None)],
    ids=str,
)
def test_every_executor_leaves_the_same_bytes(
    case: Path, tmp_path: Path, executor: Any, workers: int | None
) -> None:
    if executor == "pool":
        with ThreadPoolExecutor(2) as pool:
            run(case, tmp_path / "out", executor=pool)
            assert pool.submit(int, "3").result() == 3  # it is still open
    else:
        executor = "concurrent.futures:ThreadPoolExecutor" if executor == "module" else executor
        run(case, tmp_path / "out", executor=executor, workers=workers)
    assert contents(tmp_path / "out") == contents(case / "out")
    assert judged(case) == UNITS + 1


def test_spawned_processes_leave_the_same_bytes(case: Path, tmp_path: Path) -> None:
    run(case, tmp_path / "out", executor="processes", workers=1)
    assert contents(tmp_path / "out") == contents(case / "out")
    assert judged(case) == UNITS + 1


# Two names of one device, as there are two GPUs elsewhere. A process that is spawned takes so long
# to begin that another one may have done all units.
@pytest.mark.parametrize(
    ("start", "devices"), [("fork", ["cpu", "cpu:0"]), ("spawn", ["cpu:0"])], ids=["fork", "spawn"]
)
def test_processes_take_devices_in_turn_and_leave_the_same_bytes(
    case: Path, tmp_path: Path, start: str, devices: list[str]
) -> None:
    want(case, "tell device")
    run(case, tmp_path / "out", executor={"name": "processes", "start": start}, devices=devices)
    assert contents(tmp_path / "out") == contents(case / "out")
    told = {tuple(line.split()) for line in (case / "devices").read_text().splitlines()}
    assert len(told) == len(devices) + 1  # a process keeps its device; that of the run has none
    assert {device for _, device in told} == {*devices, "none"}


def test_a_dead_process_leaves_its_device_to_the_next(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    want(case, f"kill {os.getpid()} once")
    executor = {**FORKED, "devices": ("cpu:0",)}
    run(case, tmp_path / "out", executor=executor)
    assert contents(tmp_path / "out") == contents(case / "out")


@pytest.mark.parametrize(
    ("executor", "devices", "words"),
    [
        (FORKED, ["meta"], "device 'meta' cannot be used"),
        (FORKED, ["cuda:99"], "device 'cuda:99' cannot be used"),
        (FORKED, ["gpu0"], "devices has 'gpu0'.*expected names of torch devices"),
        ("inline", ["cpu"], "executor 'inline' takes no devices; expected one that does"),
    ],
)
def test_devices_that_do_not_fit_are_refused(
    case: Path, tmp_path: Path, executor: Any, devices: list[str], words: str
) -> None:
    with pytest.raises((StudyError, ConfigError), match=words):
        run(case, tmp_path / "out", executor=executor, devices=devices)


def test_the_device_of_a_process_is_of_the_type_that_the_study_asks_for(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMCORE_DEVICE", "cpu:0")
    run(case, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(case / "out")
    with pytest.raises(StudyError, match=r"on 'cpu:0', .* study on 'cuda'; expected devices of"):
        run(case, tmp_path / "other", device="cuda")


def test_an_executor_without_workers_says_so(case: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no number of workers"):
        run(case, tmp_path / "out", executor="inline", workers=2)
    with pytest.raises(memcore.UnknownPluginError, match="did you mean: 'processes'"):
        run(case, tmp_path / "out", executor="proceses")
    with pytest.raises(ConfigError, match="is no Executor"):
        run(case, tmp_path / "out", executor=3)
    assert not (tmp_path / "out").exists()


def test_an_error_of_a_unit_names_its_point_and_keeps_the_others(
    case: Path, tmp_path: Path
) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    want(case, "fail")
    with pytest.raises(StudyError, match=r"sweep 'noise' at .* this metric fails"):
        run(case, tmp_path / "out", executor=FORKED)
    (case / "wanted").unlink()
    run(case, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(case / "out")


# -- what dies -------------------------------------------------------------------------------------


def test_a_worker_that_is_killed_is_replaced(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    want(case, f"kill {os.getpid()} once")
    (case / "log").unlink()
    run(case, tmp_path / "out", executor=FORKED)
    assert contents(tmp_path / "out") == contents(case / "out")
    assert UNITS < judged(case) <= UNITS + 4  # what was in flight at most


def test_workers_that_die_every_time_end_the_run(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    want(case, f"kill {os.getpid()}")
    with pytest.raises(StudyError, match="workers died 5 times before any of them finished"):
        run(case, tmp_path / "out", executor=FORKED)


def test_workers_end_with_a_run_that_is_killed(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    (case / "log").unlink()
    want(case, "slow")
    head = child(lambda: run(case, tmp_path / "out", executor=FORKED))
    until((case / "log").exists)
    workers = set(logged(case))
    os.kill(head, signal.SIGKILL)
    os.waitpid(head, 0)
    until(lambda: not any(is_alive(worker) for worker in workers))
    run(case, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(case / "out")


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def logged(case: Path) -> list[int]:
    log = case / "log"
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def is_alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_two_runs_in_one_folder_share_the_units(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    (case / "log").unlink()
    want(case, "slow")
    heads = [child(lambda: run(case, tmp_path / "out")) for _ in range(2)]
    for head in heads:
        assert os.waitpid(head, 0)[1] == 0
    assert contents(tmp_path / "out") == contents(case / "out")
    lines = (case / "log").read_text().splitlines()
    assert len(lines) == UNITS
    assert len(set(lines)) == 2  # both have worked


def test_a_run_takes_over_what_a_dead_one_was_at(case: Path, tmp_path: Path) -> None:
    study.plan(case / "study.toml", tmp_path / "out")
    want(case, "slow")
    (case / "log").unlink()
    first = child(lambda: run(case, tmp_path / "out"))
    until((case / "log").exists)
    second = child(lambda: run(case, tmp_path / "out"))
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    assert os.waitpid(second, 0)[1] == 0
    assert contents(tmp_path / "out") == contents(case / "out")
    assert judged(case) <= UNITS + 1


@pytest.mark.parametrize("skew", [-1e8, 1e8], ids=["behind", "ahead"])
def test_clocks_that_are_wrong_change_nothing(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    # Another machine left half of the chips, and its clock is years away from the one of this run.
    out = tmp_path / "out"
    run(case, out, shard="1/2")
    true = time.time()
    for number, file in enumerate(sorted(out.rglob("*"))):
        os.utime(file, times=(true + skew, true + skew - 100 * (number % 3)))
    monkeypatch.setattr(time, "time", lambda: true - skew)
    left = study.status(out).seconds_left
    assert left is None or left >= 0
    (case / "log").unlink()
    run(case, out)
    assert judged(case) == UNITS / 2
    assert contents(out) == contents(case / "out")


@pytest.mark.slow
def test_runs_and_workers_killed_at_random_moments_end_with_the_same_bytes(
    case: Path, tmp_path: Path
) -> None:
    kills, generator = int(os.environ.get("MEMCORE_KILLS", "12")), random.Random(3)
    want(case, "slow")
    while kills > 0:
        out = tmp_path / f"out-{kills}"
        for _ in range(3):
            (case / "log").unlink(missing_ok=True)
            head = child(lambda out=out: run(case, out, executor=FORKED))
            # A run that finds every unit judged has nothing to log, only a table to write.
            until(lambda head=head: (case / "log").exists() or not is_alive(head))
            time.sleep(generator.uniform(0.0, 0.4))
            workers = logged(case)
            victim = generator.choice([head, *(each for each in workers if is_alive(each))])
            os.kill(victim, signal.SIGKILL)
            os.waitpid(head, 0)
            kills -= 1
            if (out / "results.csv").exists():
                break
        run(case, out)
        assert contents(out) == contents(case / "out")


def test_results_of_single_chips_are_kept_and_loaded(case: Path, tmp_path: Path) -> None:
    plan = study.plan(case / "study.toml", tmp_path / "out")
    run_some(plan, 6)
    assert len(study.load(tmp_path / "out")) == 1  # four of six are one point
    (case / "log").unlink()
    run(case, tmp_path / "out")
    assert judged(case) == UNITS - 6
    assert contents(tmp_path / "out") == contents(case / "out")


def run_some(plan: study.Plan, count: int) -> None:
    """Keep the results of the first units, as a run does that is killed then."""
    from memcore.study.units import Units
    from memcore.study.work import Work

    Units(plan.out).begin()
    for unit in plan.units[:count]:
        assert Work(plan)(unit).kept


@pytest.mark.parametrize("text", ["", "null", "{}", '{"format": 1, "samples": 3}'])
def test_a_spoilt_unit_is_named_and_evaluated_again(
    case: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    run_some(study.plan(case / "study.toml", tmp_path / "out"), 3)
    (tmp_path / "out" / "units" / "noise-000" / "0001.json").write_text(text)
    run(case, tmp_path / "out")
    assert caplog.text.count("noise-000/0001.json is torn or foreign; evaluating it again") == 1
    assert contents(tmp_path / "out") == contents(case / "out")


def test_fresh_discards_single_chips_too(case: Path, tmp_path: Path) -> None:
    run_some(study.plan(case / "study.toml", tmp_path / "out"), 3)
    (case / "log").unlink()
    run(case, tmp_path / "out", fresh=True)
    assert judged(case) == UNITS + 1
    assert contents(tmp_path / "out") == contents(case / "out")


# -- clusters ------------------------------------------------------------------------------------


def local_jobs(tmp_path: Path, **options: Any) -> dict[str, Any]:
    return {
        **{"name": "slurm", "cluster": "local", "folder": str(tmp_path / "jobs")},
        **{"seconds": 0.05, "workers": 1, "units": 12, **options},
    }


@pytest.fixture
def seen_by_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs find modules as this process does, wherever it has them from."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))


@pytest.mark.usefixtures("seen_by_jobs")
@pytest.mark.filterwarnings("default")
def test_jobs_leave_the_same_bytes(case: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    run(case, tmp_path / "out", executor=local_jobs(tmp_path))
    assert contents(tmp_path / "out") == contents(case / "out")
    assert judged(case) == UNITS + 1
    assert list((tmp_path / "jobs").glob("*/*.err"))


class Cluster:
    """Stands for submitit: jobs are done at once, all but the first few, which are lost."""

    def __init__(self, lost: int) -> None:
        self.lost, self.arrays = lost, list[int]()

    @contextmanager
    def batch(self) -> Iterator[None]:
        self.arrays.append(0)
        yield

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Job":
        self.arrays[-1] += 1
        self.lost -= 1
        return Job(None if self.lost >= 0 else function(*arguments))


class Job:
    job_id, paths = "7", SimpleNamespace(stderr="jobs/7.err")

    def __init__(self, results: Any) -> None:
        self.results = results

    def done(self) -> bool:
        return True

    def exception(self) -> Exception | None:
        return TimeoutError("ran out of time") if self.results is None else None

    def result(self) -> Any:
        return self.results

    def cancel(self, check: bool) -> None: ...


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    pytest.importorskip("submitit")
    made = Cluster(0)
    monkeypatch.setattr(memcore.executors["slurm"], "submitter", lambda _: made)
    return made


def test_units_are_submitted_as_arrays_and_lost_jobs_again(cluster: Cluster) -> None:
    slurm = memcore.executors["slurm"](workers=4, units=3, attempts=3)
    cluster.lost = 2
    assert sorted(slurm.evaluate(abs, iter(range(20)))) == list(range(20))
    assert cluster.arrays[0] == 4  # jobs of three units
    assert sum(cluster.arrays) == 7 + 2
    cluster.lost = 100
    with pytest.raises(StudyError, match=r"lost 3 times, at last job 7: ran out of time; .*7\.err"):
        list(slurm.evaluate(abs, iter(range(20))))


class Forgotten(Job):
    def done(self) -> bool:
        return False


def test_a_job_that_left_the_queue_without_a_result_is_lost(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = [Forgotten(None), Forgotten(None)]
    whole = cluster.submit
    monkeypatch.setattr(cluster, "submit", lambda *work: lost.pop() if lost else whole(*work))
    answers = [None, {"7"}, set(), set(), {"7"}]  # no answer, and a look that missed it
    queue = "memcore_plugins.executors._slurm_queue.queued"
    monkeypatch.setattr(queue, lambda: answers.pop(0) if answers else set())
    slurm = memcore.executors["slurm"](workers=2, units=3, attempts=2, seconds=1e-3)
    assert sorted(slurm.evaluate(abs, iter(range(20)))) == list(range(20))
    assert not answers
    assert not lost
    lost += [Forgotten(None), Forgotten(None)]
    with pytest.raises(StudyError, match="lost 1 times, at last job 7: it is in the queue no more"):
        list(replace(slurm, attempts=1).evaluate(abs, iter(range(20))))


def test_jobs_keep_the_promises_of_an_executor(cluster: Cluster) -> None:
    for check in checks_for(memcore.executors["slurm"](cluster="local")):
        check()


@pytest.mark.filterwarnings("ignore")
def test_workers_of_dask_leave_the_same_bytes(case: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        executor = {"name": "dask", "address": cluster.scheduler_address}
        run(case, tmp_path / "out", executor=executor)
        for check in checks_for(memcore.executors["dask"](address=cluster.scheduler_address)):
            check()
    assert contents(tmp_path / "out") == contents(case / "out")
    assert judged(case) == UNITS + 1


@pytest.mark.parametrize(("name", "package"), [("slurm", "submitit"), ("dask", "distributed")])
def test_a_missing_package_names_the_extra(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(memcore.MissingPackageError, match=rf"pip install 'memcore\[{name}\]'"):
        run(case, tmp_path / "out", executor=name)
    assert not (tmp_path / "out").exists()  # it is said before the work


def test_a_machine_without_slurm_is_told(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StudyError, match="finds no command sbatch here"):
        run(case, tmp_path / "out", executor="slurm")


# -- shards and progress ---------------------------------------------------------------------------


def test_shards_in_any_order_give_the_same_bytes(case: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for shard in ("3/3", "1/3", "2/3"):
        assert not run(case, out, shard=shard).csv.exists()
        assert study.status(out).known == judged(case) - 1
    assert judged(case) == UNITS + 1
    assert study.collect(out).complete
    assert contents(out) == contents(case / "out")
    study.collect(out)  # once more changes nothing
    run(case, out)
    assert contents(out) == contents(case / "out")
    assert judged(case) == UNITS + 1


def test_what_is_collected_early_is_said_to_be_incomplete(case: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="holds no study"):
        study.collect(tmp_path / "nothing")
    run(case, tmp_path / "out", shard="1/2")
    results = study.collect(tmp_path / "out")
    assert not results.complete
    assert "not complete" in str(results)
    run(case, tmp_path / "out")
    assert judged(case) == UNITS + 1
    assert contents(tmp_path / "out") == contents(case / "out")


def test_every_unit_is_in_one_shard() -> None:
    from memcore.study.shards import Shard

    units = [study.Unit(point, chip) for point in range(5) for chip in range(7)]
    for count in (1, 2, 7, 40):
        parts = [Shard(index, count) for index in range(1, count + 1)]
        taken = [[unit for unit in units if part.takes(unit, 7)] for part in parts]
        assert sorted(unit for part in taken for unit in part) == units
        assert max(map(len, taken)) - min(map(len, taken)) <= 1


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/3/4", "", 3, "-1/3", "1 / 3"])
def test_what_is_no_shard_is_refused(case: Path, tmp_path: Path, shard: Any) -> None:
    with pytest.raises(StudyError, match='expected a part such as "3/8"'):
        run(case, tmp_path / "out", shard=shard)


def test_status_counts_chips_and_says_who_works(case: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = study.plan(case / "study.toml", out)
    assert "0 of 3 points, 0 of 12 chips (0 %)" in str(study.status(out))
    run_some(plan, 6)
    there = study.status(out)
    assert (there.points, there.finished, there.chips, there.known) == (3, 1, 12, 6)
    assert not there.running
    assert there.seconds_left is not None
    assert there.seconds_left >= 0
    want(case, "slow")
    (case / "log").unlink()
    head = child(lambda: run(case, out))
    until((case / "log").exists)
    assert study.status(out).running
    os.waitpid(head, 0)
    there = study.status(out)
    assert (there.finished, there.known, there.running) == (3, 12, False)


def test_the_commands_show_where_a_study_is(case: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from memcore.cli.main import main

    def command(*words: object) -> str:
        done = CliRunner().invoke(main, [str(word) for word in words])
        assert done.exit_code == 0, done.output
        return done.output

    out = tmp_path / "out"
    said = command("run", case / "study.toml", "--out", out, "--shard", "1/4", "-q")
    assert f"memcore collect {out}" in said
    assert "3 of 12 chips (25 %)" in command("status", out)
    assert '"known": 3' in command("status", out, "--json")
    lines = command("tail", out, "-n", 2).splitlines()
    assert len(lines) == 2
    assert lines[-1].startswith("noise-002 chip 0: ")
    assert "relative = 0.8" in lines[-1]
    for shard in ("2/4", "3/4", "4/4"):
        command("run", case / "study.toml", "--out", out, "--shard", shard, "-q")
    assert "results.csv" in command("collect", out)
    assert contents(out) == contents(case / "out")
    assert command("tail", out, "--follow") == ""
