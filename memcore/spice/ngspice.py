"""Runs ngspice and reads its output."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from memcore.errors import ConfigError, SpiceError

_VALUE = re.compile(r"^(\S+) = ([-+]?\d\S*)\s*$", re.MULTILINE)
_TELLING = re.compile(r"error|fail|abort|singular|no such|converge|unknown", re.IGNORECASE)
_TOLD = 8

#: CPU seconds that ngspice 39 took for the operating point of 64 x 64 ohmic cells with wires, and
#: the power of the number of cells with which that grows (64 to 96 lines, on one core of 2024).
_SECONDS, _POWER = 5.0, 2.4


@dataclass(frozen=True, eq=False)
class Result:
    """An operating point that ngspice printed.

    Attributes:
        values: voltages of the nodes in V by their names; currents in A of sources as
            `vd_3#branch`, of elements as `@r_3_7[i]`.
    """

    values: Mapping[str, float]

    @property
    def word_line(self) -> Tensor:
        """The voltages of the nodes in V, [rows, cols]."""
        return self._cells("w_{}_{}")

    @property
    def bit_line(self) -> Tensor:
        """The voltages of the nodes in V, [rows, cols]."""
        return self._cells("b_{}_{}")

    @property
    def device_voltage(self) -> Tensor:
        """The voltages across memristors, or cells without series elements, in V, [rows, cols]."""
        if not any(name.startswith("m_") for name in self.values):
            return self.word_line - self.bit_line
        voltages = [
            [word - self.values.get(f"m_{i}_{j}", word) for j, word in enumerate(row)]
            for i, row in enumerate(self.word_line.tolist())
        ]
        return torch.tensor(voltages, dtype=torch.float64, device="cpu")

    @property
    def cell_current(self) -> Tensor:
        """The currents of the cells in A, [rows, cols]."""
        return self._cells("@r_{}_{}[i]") + self._cells("@b_{}_{}[i]")

    @property
    def current(self) -> Tensor:
        """The currents from the bit lines into their ends in A, [cols]; 0 for floating lines."""
        return self._lines("ve_{}#branch", self._shape()[1])

    @property
    def driver_current(self) -> Tensor:
        """The currents from the drivers into the word lines in A, [rows]; 0 for floating lines."""
        return 0 - self._lines("vd_{}#branch", self._shape()[0])

    def _shape(self) -> tuple[int, int]:
        nodes = [name.split("_") for name in self.values if re.fullmatch(r"w_\d+_\d+", name)]
        if not nodes:
            raise ConfigError("the netlist has no nodes w_0_0, ...; expected one of memcore.spice")
        return max(int(n[1]) for n in nodes) + 1, max(int(n[2]) for n in nodes) + 1

    def _cells(self, name: str) -> Tensor:
        rows, cols = self._shape()
        values = [
            [self.values.get(name.format(i, j), 0.0) for j in range(cols)] for i in range(rows)
        ]
        return torch.tensor(values, dtype=torch.float64, device="cpu")

    def _lines(self, name: str, count: int) -> Tensor:
        values = [self.values.get(name.format(k), 0.0) for k in range(count)]
        return torch.tensor(values, dtype=torch.float64, device="cpu")


def run(netlist: str, *, timeout: float | None = None) -> Result:
    """Let ngspice find the operating point of a netlist that prints it.

    Args:
        netlist: a netlist as `memcore.spice.netlist` writes it.
        timeout: time in s after which ngspice is stopped; None for no limit.

    Raises:
        SpiceError: ngspice is not installed, takes too long, or finds no operating point.
    """
    done = printed(netlist, timeout, "a smaller array")
    values = {name: float(value) for name, value in _VALUE.findall(done.stdout)}
    if done.failed or not values:
        raise SpiceError(f"ngspice found no operating point: {done.message}")
    return Result(values)


@dataclass(frozen=True)
class Printed:
    """What ngspice printed.

    Attributes:
        stdout: its output.
        failed: whether it says that it failed.
        message: why, as far as it tells.
    """

    stdout: str
    failed: bool
    message: str


def printed(netlist: str, timeout: float | None, smaller: str) -> Printed:
    """Run a netlist in batch mode.

    Args:
        netlist: the netlist, with what is to be done.
        timeout: time in s after which ngspice is stopped; None for no limit.
        smaller: what to take instead where it takes too long, for the message.

    Raises:
        SpiceError: ngspice is not installed or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        deck = Path(folder) / "crossbar.cir"
        deck.write_text(netlist, encoding="utf-8")
        try:
            # Without the initialisation files of the user.
            done = _run(["-n", "-b", str(deck)], timeout)
        except subprocess.TimeoutExpired:
            raise SpiceError(
                f"ngspice has not finished after {timeout!r} s; allow more time, or take {smaller}"
            ) from None
    failed = bool(done.returncode) or "aborted" in done.stderr + done.stdout
    return Printed(done.stdout, failed, _message(done))


def seconds_for(rows: int, cols: int) -> float:
    """About how long ngspice takes for the operating point of ohmic cells with wires, in s."""
    return float(_SECONDS * (rows * cols / 64**2) ** _POWER)


def version() -> str:
    """The version of ngspice, such as "ngspice-39".

    Raises:
        SpiceError: ngspice is not installed.
    """
    match = re.search(r"ngspice-\S+", _run(["--version"], None).stdout)
    return match.group() if match else "ngspice"


def _run(arguments: list[str], timeout: float | None) -> "subprocess.CompletedProcess[str]":
    program = shutil.which("ngspice")
    if program is None:
        raise SpiceError(
            "ngspice is not on the PATH; install ngspice: apt install ngspice, or see "
            "https://ngspice.sourceforge.io"
        )
    return subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def _message(done: "subprocess.CompletedProcess[str]") -> str:
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines()]
    telling = [line for line in lines if _TELLING.search(line)] or [line for line in lines if line]
    return "; ".join(dict.fromkeys(telling[:_TOLD])) or f"exit status {done.returncode}"
