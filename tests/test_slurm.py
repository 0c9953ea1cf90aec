"""Studies on a real Slurm: its daemons run here, as root, in a folder of the test.

Debian has them in `slurm-wlm` and `munge`. Nothing of the machine's own configuration is read.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memcore import study

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")

#: No cgroups, no accounting, no plugins that other machines lack.
CONFIGURATION = """
ClusterName=memcore
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=1
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=test Nodes=ALL Default=YES State=UP
"""

MODULE = """
import time
from pathlib import Path
import torch
from torch import nn
from memcore.study import Dataset, Split

HERE = Path(__file__).parent

def flat():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 4))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(4, 16, generator=torch.Generator().manual_seed(1)))
    return model

def bars():
    images = torch.randn(80, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(80) % 4
    return Dataset(train=Split(images[:40], labels[:40]), test=Split(images[40:], labels[40:]))

def judged(outputs, targets):
    if (HERE / "slow").exists():
        time.sleep(0.3)
    return float((outputs.argmax(1) == targets).double().mean())
"""
STUDY = """
[study]
name = "bars"
model = "bars_slurm:flat"
data = "bars_slurm:bars"
metric = "bars_slurm:judged"
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

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


# -- a cluster of one machine ----------------------------------------------------------------------


class Cluster:
    """munged, slurmctld and slurmd, started in the foreground and ended with the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        host = socket.gethostname().partition(".")[0]
        text = CONFIGURATION.format(host=host, ports=free_ports(2), folder=self.folder)
        (self.folder / "slurm.conf").write_text(text)
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "seed-file": "seed"}
        options = [f"--{option}={self.folder}/munge.{end}" for option, end in files.items()]
        self.run("munged", "--foreground", "--force", *options)
        self.wait((self.folder / "munge.socket").exists)
        self.run("slurmctld", "-D")
        self.run("slurmd", "-D")
        self.wait(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"))

    def run(self, *command: str) -> None:
        with (self.folder / f"{command[0]}.log").open("wb") as log:
            self.daemons.append(
                subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
            )

    def wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            if time.monotonic() > deadline or any(each.poll() is not None for each in self.daemons):
                logs = [log.read_text(errors="replace") for log in self.folder.glob("*.log")]
                pytest.skip(f"Slurm does not start here: {'; '.join(logs)[-500:]}")
            time.sleep(0.05)

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    def jobs(self, *options: str) -> list[str]:
        return self.ask("squeue", "--noheader", "--array", "--format=%i", *options).split()

    def stop(self) -> None:
        for job in self.jobs():
            self.ask("scancel", "--signal=KILL", "--full", job)
            self.ask("scancel", job)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (Debian's slurm-wlm and munge)")
    if os.geteuid() != 0:
        pytest.skip("daemons of Slurm need root")
    pytest.importorskip("submitit")
    # Not below pytest's folders: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="memcore-slurm-", ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder))
        try:
            made.start()
            yield made
        finally:
            made.stop()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study beside its module, and in "out" what a run in one process leaves."""
    folder = tmp_path_factory.mktemp("case")
    (folder / "bars_slurm.py").write_text(MODULE)
    (folder / "study.toml").write_text(STUDY)
    study.run(folder / "study.toml", folder / "out", progress=False)
    return folder


@pytest.fixture(autouse=True)
def here(cluster: Cluster, case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands find the cluster, jobs the modules that this process has, and chips take no time."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    (case / "slow").unlink(missing_ok=True)


def run(case: Path, out: Path, **options: Any) -> study.Results:
    jobs = {"name": "slurm", "workers": 2, "units": 6, "memory": 1e9, "minutes": 5, "seconds": 0.2}
    folder = str(out.parent / f"{out.name}-jobs")
    executor = {**jobs, "folder": folder, **options}
    return study.run(case / "study.toml", out, executor=executor, progress=False)


def contents(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file() and file.name != ".lock")
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- what is promised ------------------------------------------------------------------------------


def test_a_run_that_is_killed_and_begun_again_leaves_the_bytes_of_one_process(
    cluster: Cluster, case: Path, tmp_path: Path
) -> None:
    (case / "slow").touch()
    head = os.fork()
    if head == 0:
        try:
            run(case, tmp_path / "out")
        finally:
            os._exit(1)
    until(lambda: list((tmp_path / "out").rglob("units/*/*.json")))
    os.kill(head, signal.SIGKILL)
    os.waitpid(head, 0)
    assert contents(tmp_path / "out") != contents(case / "out")
    (case / "slow").unlink()
    run(case, tmp_path / "out")
    until(lambda: not cluster.jobs())  # those of the dead run end by themselves
    assert contents(tmp_path / "out") == contents(case / "out")
    assert list((tmp_path / "out-jobs").glob("*/*_log.err"))


def test_a_job_that_is_cancelled_from_outside_is_submitted_again(
    cluster: Cluster, case: Path, tmp_path: Path
) -> None:
    (case / "slow").touch()
    results = tmp_path / "out"
    victim = os.fork()
    if victim == 0:
        try:
            until(lambda: list(results.rglob("units/*/*.json")))
            (case / "slow").unlink()
            cluster.ask("scancel", cluster.jobs("--states=running")[0])
        finally:
            os._exit(0)
    run(case, results)
    os.waitpid(victim, 0)
    assert contents(results) == contents(case / "out")
    until(lambda: not cluster.jobs())  # a run leaves none behind, once the last has said goodbye
