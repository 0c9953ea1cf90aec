"""`memcore spice`: a crossbar as a netlist for ngspice, and the comparison with memcore."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from memcore.cli.output import OutputFile
from memcore.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from memcore.circuit import CellLaw, Drive, SeriesElement
    from memcore.crossbar.crossbar import Crossbar

_F = TypeVar("_F", bound=Callable[..., Any])
_COUNT = click.IntRange(min=1)
_OHM = click.FloatRange(min=0)
_ABOVE = click.FloatRange(min=0, min_open=True)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_ENDS = {"drive": ("left", "right", "both"), "sense_at": ("bottom", "top", "both")}
_SOON = 2.0  #: s that need no announcement
_SCHEMES = ("read", "V/2", "V/3", "floating", "grounded")

_OPTIONS = (
    click.argument("conductances", type=_FILE, required=False),
    click.option("--rows", type=_COUNT, default=8, show_default=True, help="Number of word lines."),
    click.option("--cols", type=_COUNT, default=6, show_default=True, help="Number of bit lines."),
    click.option(
        "--r-on",
        type=_ABOVE,
        default=1e4,
        show_default=True,
        help="Lowest resistance of a cell, in ohm.",
    ),
    click.option(
        "--r-off",
        type=_ABOVE,
        default=1e6,
        show_default=True,
        help="Highest resistance of a cell, in ohm.",
    ),
    click.option(
        "--segment",
        type=_OHM,
        default=2.0,
        show_default=True,
        help="Resistance of a wire segment, in ohm.",
    ),
    click.option(
        "--driver",
        type=_OHM,
        default=0.0,
        show_default=True,
        help="Resistance of a driver, in ohm.",
    ),
    click.option(
        "--sense",
        type=_OHM,
        default=0.0,
        show_default=True,
        help="Resistance of a sense node, in ohm.",
    ),
    click.option(
        "--drive",
        type=click.Choice(_ENDS["drive"]),
        default="left",
        show_default=True,
        help="Driven ends of the word lines.",
    ),
    click.option(
        "--sense-at",
        type=click.Choice(_ENDS["sense_at"]),
        default="bottom",
        show_default=True,
        help="Sensed ends of the bit lines.",
    ),
    click.option(
        "--scheme",
        type=click.Choice(_SCHEMES, case_sensitive=False),
        metavar=f"[{'|'.join(_SCHEMES)}]",
        default="read",
        show_default=True,
        help="Voltages of the lines: random for read; the others select the cell in the middle.",
    ),
    click.option(
        "--voltage", type=_ABOVE, default=0.5, show_default=True, help="Largest voltage, in V."
    ),
    click.option(
        "--law",
        type=click.Choice(("ohmic", "sinh")),
        default="ohmic",
        show_default=True,
        help="Current-voltage law of the memristors.",
    ),
    click.option(
        "--v0",
        type=_ABOVE,
        default=0.25,
        show_default=True,
        help="Voltage scale of the law sinh, in V.",
    ),
    click.option(
        "--series",
        type=click.Choice(("none", "transistor", "selector", "threshold")),
        default="none",
        show_default=True,
        help="Element in series with each memristor.",
    ),
    click.option(
        "--placement",
        type=click.Choice(("as_mapped", "sorted")),
        default="as_mapped",
        show_default=True,
        help="Order of the lines; sorted puts the lines that conduct more near to the drivers.",
    ),
    click.option(
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="Seed of the random conductances and voltages.",
    ),
)


def _described(command: _F) -> _F:
    """Add the options that describe a circuit to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(short_help="Write crossbars for ngspice, and compare.")
def spice() -> None:
    """Write crossbars as netlists for ngspice, and compare memcore with it.

    The conductances are random between 1 / r_off and 1 / r_on, or come from the file CONDUCTANCES,
    .npy or .csv, [rows, cols] in siemens.
    """


@spice.command(short_help="Solve a crossbar with memcore and ngspice.")
@_described
@click.option(
    "--tolerance",
    type=_ABOVE,
    default=1e-8,
    show_default=True,
    help="Largest relative difference that counts as agreement.",
)
@click.option(
    "--timeout",
    type=_ABOVE,
    default=None,
    help="Time in s after which ngspice is stopped.  [default: no limit]",
)
def check(tolerance: float, timeout: float | None, **described: Any) -> None:
    """Solve a crossbar with memcore and with ngspice, and compare node by node.

    CONDUCTANCES is a file, .npy or .csv, [rows, cols] in siemens; without it they are random
    between 1 / r_off and 1 / r_on.

    The exit status is 1 if they do not agree. The time that ngspice takes grows with the square of
    the number of cells and faster; where it is long, the command says so before.
    """
    from memcore import Crossbar
    from memcore.spice import check as compare

    _require_finite({"tolerance": tolerance, "timeout": timeout})
    g, drive, rest = _circuit(**described)
    _announce(*(g.circuit().g[0] if isinstance(g, Crossbar) else g).shape)
    report = compare(g, drive, **rest, tolerance=tolerance, timeout=timeout)
    click.echo(str(report))
    if not report.ok:
        raise SystemExit(1)


def _announce(rows: int, cols: int) -> None:
    """Say how long ngspice takes, if that is long."""
    from memcore.spice.ngspice import seconds_for

    seconds = seconds_for(rows, cols)
    if seconds > _SOON:
        click.echo(
            f"ngspice takes about {seconds:.0f} s or more for {rows} x {cols} cells; --timeout "
            "limits it, fewer --rows and --cols take less",
            err=True,
        )


@spice.command()
@_described
@click.option(
    "-o",
    "--out",
    type=OutputFile(),
    help="File to write.  [default: standard output]",
)
def netlist(out: Path | None, **described: Any) -> None:
    """Write a crossbar as a netlist, to run with `ngspice -b FILE`.

    CONDUCTANCES is a file, .npy or .csv, [rows, cols] in siemens; without it they are random
    between 1 / r_off and 1 / r_on.
    """
    from memcore.spice import netlist as write

    g, drive, rest = _circuit(**described)
    text = write(g, drive, **rest)
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(f"netlist {out}")


def _circuit(**given: Any) -> tuple["Tensor | Crossbar", "Drive", dict[str, Any]]:
    """Conductances, drive, and the wires and elements by name."""
    _require_finite(given)
    _require_effects(given)
    from memcore import Crossbar, Stream, Wires

    random, path = Stream(given["seed"]), given["conductances"]
    g = _random(random.child("conductances"), given) if path is None else _read(path)
    ends = {name: given[name] for name in ("driver", "sense", "drive", "sense_at")}
    wires = Wires(word_line=given["segment"], bit_line=given["segment"], **ends)
    rest = {"law": _law(given), "series": _series(given)}
    drive = _drive(random.child("voltages"), g, given)
    if given["placement"] == "as_mapped":
        return g, drive, {"wires": wires, **rest}
    return Crossbar(g, nonidealities=[_sorted(given)]), drive, rest


def _require_finite(given: dict[str, Any]) -> None:
    for name, value in given.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{_option(name)} {value!r}; expected a finite number")


def _require_effects(given: dict[str, Any]) -> None:
    """Refuse options that would change nothing."""
    path, idle = given["conductances"], []
    if path is not None:
        unused = ("rows", "cols", "r_on", "r_off", *(["seed"] if given["scheme"] != "read" else []))
        idle = [(name, f"conductances from '{path}'") for name in unused]
    if given["law"] != "sinh":
        idle.append(("v0", f"--law {given['law']}"))
    source = click.get_current_context().get_parameter_source
    for name, beside in idle:
        if source(name) is not ParameterSource.DEFAULT:
            raise ConfigError(
                f"{_option(name)} has no effect beside {beside}; leave one of them out"
            )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _sorted(given: dict[str, Any]) -> dict[str, Any]:
    """The same wires as an effect, which decides on the positions of the lines."""
    names = ("segment", "driver", "sense", "drive", "sense_at", "placement")
    return {"name": "ir_drop", **{name: given[name] for name in names}}


def _random(random: Any, given: dict[str, Any]) -> "Tensor":
    import torch

    low, high = 1 / given["r_off"], 1 / given["r_on"]
    if low > high:
        raise ConfigError(
            f"--r-off {given['r_off']!r} is below --r-on {given['r_on']!r}; expected it above"
        )
    part: Tensor = random.uniform((given["rows"], given["cols"]), dtype=torch.float64)
    return (math.log(low) + math.log(high / low) * part).exp()


def _read(path: Path) -> "Tensor":
    import numpy as np
    import torch

    from memcore.crossbar.given import check as check_conductances

    try:
        table = np.load(path) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
        conductances = torch.from_numpy(np.asarray(table, dtype=np.float64))
    except (ValueError, OSError) as error:
        raise ConfigError(
            f"{str(path)!r} cannot be read ({error}); expected conductances [rows, cols] in S, "
            "as .npy or as .csv without a header"
        ) from error
    check_conductances(conductances)
    return conductances


def _drive(random: Any, g: "Tensor", given: dict[str, Any]) -> "Drive":
    import torch

    from memcore.circuit import Drive

    (rows, cols), volts = g.shape, given["voltage"]
    if given["scheme"] == "read":
        return Drive.read(volts * random.uniform((rows,), dtype=torch.float64))
    return Drive.select(rows, cols, rows // 2, cols // 2, volts, given["scheme"])


def _law(given: dict[str, Any]) -> "CellLaw":
    from memcore.circuit import Ohmic, Sinh

    return Sinh(v0=given["v0"], read_voltage=0.2) if given["law"] == "sinh" else Ohmic()


def _series(given: dict[str, Any]) -> "SeriesElement | None":
    from memcore.circuit import Selector, ThresholdSelector, Transistor

    known: dict[str, SeriesElement | None] = {
        "none": None,
        "transistor": Transistor(gate_line=1.5),
        "selector": Selector(i0=1e-9, v0=0.09),
        "threshold": ThresholdSelector(v_th=0.3, v_hold=0.1, r_on=1e3, r_off=1e8),
    }
    return known[given["series"]]
