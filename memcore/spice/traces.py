"""A trace of devices as a deck for ngspice, which runs the same waveform again."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from memcore._text import shown
from memcore._version import __version__
from memcore.dynamics.simulate import Trace
from memcore.errors import ArgumentTypeError, ConfigError
from memcore.spice.sources import pwl

#: Cells of a deck; ngspice takes long for more.
_MOST_CELLS = 1000
#: Share of a sample that a change of voltage takes.
_EDGE = 1e-3

_HEAD = """\
* memcore {version}: {cells} of {device}, {samples} samples of {dt!r} s
*
* Vs_i drives a cell from node s_i, with the current -i(Vs_i); c_i is the node of the cell, behind
* the resistance Rs_i where there is one. The cell is Rc_i, or Bc_i with the conductance v(g_i) that
* memcore gave it: current over voltage of each sample. Each sample holds until the next one, and a
* change takes {edge!r} s.
.options reltol=1e-9 abstol=1e-18 vntol=1e-12 gmin=1e-18 numdgt=16
"""


def transient(trace: Trace, *, edge: float | None = None) -> str:
    """Write the waveform of a trace and its cells for ngspice, as a `.tran` analysis.

    ngspice has no model of the device. A cell is the conductance that memcore simulated, current
    over voltage of each sample, and a resistor where that is constant; a limit of the current is in
    the voltage that the source of the deck has. Put a subcircuit of your own in place of a cell to
    compare models under the same waveform.

    Run it with `ngspice -b FILE`, or with `run_transient`: it prints the voltage across each cell
    and the current of its source, with all digits.

    Args:
        trace: a trace of `memcore.simulate` with every sample recorded.
        edge: time in s that a change of the voltage takes; None for a thousandth of a sample.

    Raises:
        ConfigError: samples are missing, the edge does not fit between two samples, there are more
            than 1000 cells or none, or a conductance is not finite or negative.
        ArgumentTypeError: `trace` is no trace.
    """
    samples = _Samples.of(trace)
    edge = _EDGE * samples.dt if edge is None else edge
    lines: list[str] = []
    for k, name in enumerate(samples.names):
        lines += samples.cell(k, name, edge)
    head = _HEAD.format(
        version=__version__,
        cells=f"{len(samples.names)} cell{'s' * (len(samples.names) != 1)}",
        device=type(trace.device).__name__,
        samples=len(samples.time),
        dt=samples.dt,
        edge=float(edge),
    )
    return head + "\n".join([*lines, *samples.control()]) + "\n"


@dataclass(frozen=True, kw_only=True, eq=False)
class _Samples:
    """What a deck needs of a trace, [rows, cells] each.

    Attributes:
        time: time of each row in s, [rows].
        dt: time of a sample in s.
        source: voltages that the sources really have, in V.
        conductance: currents over voltages of the cells in S.
        series: resistance between source and cell in ohm.
        rounding: share by which rounding makes conductances differ.
        names: name of each cell.
    """

    time: Tensor
    dt: float
    source: Tensor
    conductance: Tensor
    series: float
    rounding: float
    names: list[str]

    @classmethod
    def of(cls, trace: object) -> "_Samples":
        if not isinstance(trace, Trace):
            raise ArgumentTypeError(
                f"trace={shown(trace)}; expected a Trace, as memcore.simulate returns it"
            )
        if trace.stride != 1 or len(trace.time) < 2:
            raise ConfigError(
                f"the trace has {len(trace.time)} rows, one for every {trace.stride} samples; "
                "expected every sample, at least 2: simulate(..., record='all')"
            )
        cells = trace.current.shape[1:]
        names = ["_".join(map(str, at)) or "0" for at in itertools.product(*map(range, cells))]
        if not 0 < len(names) <= _MOST_CELLS:
            raise ConfigError(f"the trace has {len(names)} cells; expected 1 to {_MOST_CELLS}")
        current, across, slope = (
            each.detach().to("cpu", torch.float64).reshape(len(trace.time), -1)
            for each in (trace.current, trace.across, trace.conductance)
        )
        conductance = torch.where(across == 0, slope, current / torch.where(across == 0, 1, across))
        _require_conductance(conductance)
        return cls(
            time=trace.time.cpu(),
            dt=float(trace.time[1] - trace.time[0]),
            source=_source(trace, across + trace.load.series * current),
            conductance=conductance,
            series=trace.load.series,
            rounding=4 * torch.finfo(trace.current.dtype).eps,
            names=names,
        )

    def cell(self, k: int, name: str, edge: float) -> list[str]:
        """The lines of one cell with its source."""
        node = f"c_{name}" if self.series else f"s_{name}"
        lines = [f"Vs_{name} s_{name} 0 {pwl(self.time, self.source[:, k], edge=edge)}"]
        if self.series:
            lines.append(f"Rs_{name} s_{name} {node} {self.series!r}")
        g = self.conductance[:, k]
        if float(g.max() - g.min()) <= self.rounding * float(g.max()):
            siemens = float(g.median())
            open_cell = f"* no current through the cell of {node}"
            return [*lines, f"Rc_{name} {node} 0 {1 / siemens!r}" if siemens else open_cell]
        lines.append(f"Vg_{name} g_{name} 0 {pwl(self.time, g, edge=edge)}")
        return [*lines, f"Bc_{name} {node} 0 i=v({node})*v(g_{name})"]

    def control(self) -> list[str]:
        """The analysis, and what is printed of it."""
        stop = float(self.time[-1]) + self.dt
        begin = float(self.time[0])
        kind = "c" if self.series else "s"
        measured = [f"print v({kind}_{name}) i(Vs_{name})" for name in self.names]
        run = f"tran {self.dt!r} {stop!r} {begin!r} {self.dt!r}"
        return [".control", "set numdgt=16", "set nobreak", run, *measured, "quit", ".endc", ".end"]


def _source(trace: Trace, driven: Tensor) -> Tensor:
    """What the sources have: less than was asked for where their current is limited."""
    if trace.load.limit is not None:
        return driven
    asked = trace.voltage.detach().to(driven).reshape(len(driven), -1)
    return asked.expand_as(driven)


def _require_conductance(conductance: Tensor) -> None:
    if not bool(conductance.isfinite().all()) or bool((conductance < 0).any()):
        wrong = int((~(conductance >= 0) | conductance.isinf()).sum())
        raise ConfigError(
            f"{wrong} of {conductance.numel()} samples have a current against their voltage, or "
            "one that is not finite; expected the trace of a passive device"
        )
