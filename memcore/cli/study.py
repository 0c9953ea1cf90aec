"""`memcore run`, `demo`, `collect`, `status` and `tail`: studies."""

import dataclasses
import json
import logging
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memcore._text import printable
from memcore.cli.output import OutputFolder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from memcore.study.results import Results
    from memcore.study.watching import Finished

_FRESH = click.option(
    "--fresh", is_flag=True, help="Discard what another study left in the folder."
)
_QUIET = click.option(
    "--quiet", "-q", is_flag=True, help="Show only the table, warnings and errors."
)
_CHIPS = click.option(
    "--chips", type=click.IntRange(min=1), help="Number of virtual chips at each point."
)
_SAMPLES = click.option(
    "--samples", type=click.IntRange(min=1), help="Number of test images; the first ones are taken."
)
_TRAIN = click.option("--train", is_flag=True, help="Train the network instead of loading weights.")
_EXECUTOR = click.option(
    "--executor",
    default="inline",
    show_default=True,
    help="Where chips are evaluated: an executor that `memcore plugins` lists, such as processes, "
    "or MODULE:FUNCTION, which returns what offers concurrent.futures.",
)
_WORKERS = click.option(
    "--workers", type=click.IntRange(min=1), help="Number of workers of the executor."
)
_DEVICES = click.option(
    "--devices",
    metavar="A,B,...",
    callback=lambda _context, _option, text: [] if text is None else text.split(","),
    help="Torch devices that the workers take in turn, such as cuda:0,cuda:1.",
)
_FOLDER = OutputFolder()


@click.command(short_help="Run a study, or finish it.")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, help="Results folder  [default: results/NAME]")
@_CHIPS
@click.option("--seed", type=int, help="Random seed.")
@_SAMPLES
@click.option("--batch", type=click.IntRange(min=1), help="Number of images evaluated at once.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="File of weights to load instead of training, in safetensors.",
)
@_TRAIN
@click.option("--device", help="Torch device to compute on, such as cuda.")
@_EXECUTOR
@_WORKERS
@_DEVICES
@click.option("--shard", help="Part of the chips to evaluate, such as 3/8; see memcore collect.")
@_FRESH
@_QUIET
def run(
    study: Path, out: Path | None, train: bool, fresh: bool, quiet: bool, **overrides: Any
) -> None:
    """Run the study in the file STUDY, or finish it where it was interrupted.

    STUDY may also name one that comes with memcore, such as demo or spread_vgg_trained. Options win
    over the file's entries.

    A study file may name functions of modules beside it, which are imported and called: run one
    from a stranger only after you have read it, and them.
    """
    if overrides["checkpoint"] is not None:
        if train:
            raise click.UsageError("--checkpoint and --train exclude each other; give one of them")
        overrides["checkpoint"] = str(overrides["checkpoint"].resolve())
    overrides |= {"checkpoint": ""} if train else {}
    _study(study, out, fresh, quiet, overrides)


@click.command()
@click.option(
    "--out", type=_FOLDER, default=Path("demo-results"), show_default=True, help="Results folder."
)
@_CHIPS
@_SAMPLES
@_TRAIN
@_EXECUTOR
@_WORKERS
@_FRESH
@_QUIET
def demo(out: Path, train: bool, fresh: bool, quiet: bool, **overrides: Any) -> None:
    """Run the study that comes with memcore.

    Takes a small VGG that was trained on handwritten digits and asks what the spread of the
    devices, the number of their states and the ratio of r_off to r_on cost.
    """
    overrides |= {"checkpoint": ""} if train else {}
    _study(Path("demo"), out, fresh, quiet, overrides)


@click.command(short_help="Put together what shards have evaluated.")
@click.argument("folder", type=click.Path(path_type=Path))
@_QUIET
def collect(folder: Path, quiet: bool) -> None:
    """Write the table and the plot of the study in FOLDER from what shards have evaluated."""
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    from memcore import study

    _show(study.collect(folder))


@click.command(short_help="Say how far a study is.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs.")
def status(folder: Path, as_json: bool) -> None:
    """Say how far the study in FOLDER is, and whether a run is working at it."""
    from memcore import study

    there = study.status(folder)
    click.echo(json.dumps(dataclasses.asdict(there), indent=2) if as_json else str(there))


@click.command(short_help="Show the chips that were evaluated last.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-n",
    "count",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Chips to begin with.",
)
@click.option("--follow", "-f", is_flag=True, help="Go on until the study is finished.")
def tail(folder: Path, count: int, follow: bool) -> None:
    """Show the chips of the study in FOLDER that were evaluated last, a line for each.

    Chips of points that were put together to the table are not shown.
    """
    from memcore import study
    from memcore.study.watching import finished, unit_files

    there = study.status(folder)
    files = unit_files(folder)
    seen = set(files)
    _tell_units(map(finished, files[max(0, len(files) - count) :]))
    while follow and there.finished < there.points:
        time.sleep(0.5)
        fresh = {file: finished(file) for file in unit_files(folder, seen)}
        seen |= {file for file, unit in fresh.items() if unit is not None}
        _tell_units(fresh.values())
        there = study.status(folder)


def _tell_units(units: "Iterable[Finished | None]") -> None:
    for unit in units:
        if unit is not None:
            click.echo(printable(unit))


def _study(
    source: Path, out: Path | None, fresh: bool, quiet: bool, overrides: dict[str, Any]
) -> None:
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    from memcore import study

    with warnings.catch_warnings():
        warnings.showwarning = _tell
        results = study.run(
            source, out, fresh=fresh, progress=False if quiet else None, **overrides
        )
    if overrides.get("shard") is not None:
        click.echo(
            f"shard {overrides['shard']} is finished; when all are, write the table with\n"
            f"  memcore collect {results.folder}"
        )
        return
    _show(results)


def _show(results: "Results") -> None:
    plot = results.plot if results.plot.exists() else "none; a warning says why"
    click.echo(f"{results}\n\ntable {results.csv}\nplot  {plot}")


def _tell(message: Warning | str, *_: Any, **__: Any) -> None:
    """Write a warning like any other message: the line of code it came from helps nobody here."""
    logging.getLogger("memcore.study").warning("%s", message)


def _log_to_stderr(level: int) -> None:
    log = logging.getLogger("memcore.study")
    log.setLevel(level)
    log.handlers = [_Lines()]
    log.propagate = False


class _Lines(logging.Handler):
    """Writes log lines between progress bars, not into them."""

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if record.levelno >= logging.WARNING:
            line = f"warning: {line}"
        if sys.stderr is None:
            return
        try:
            from tqdm import tqdm
        except ImportError:
            click.echo(line, err=True)
        else:
            with suppress(OSError):  # a message that nobody can read is no reason to stop
                tqdm.write(line, file=sys.stderr)
