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
    "--chips",
    type=click.IntRange(min=1),
    help="Number of virtual chips at each point.  [default: as the study says]",
)
_SAMPLES = click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="Number of test samples, the first ones of the data.  [default: as the study says]",
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
    "--workers",
    type=click.IntRange(min=1),
    help="Number of workers of the executor.  [default: as the executor says; of processes one for "
    "every core]",
)
_DEVICES = click.option(
    "--devices",
    metavar="A,B,...",
    callback=lambda _context, _option, text: [] if text is None else text.split(","),
    help="Torch devices that the workers take in turn, such as cuda:0,cuda:1.  [default: that of "
    "the study for all]",
)
_FOLDER = OutputFolder()


@click.command(short_help="Run a study, or finish it.")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, help="Folder for the results.  [default: results/NAME]")
@_CHIPS
@click.option(
    "--seed",
    type=int,
    help="Seed of the training and of the chips.  [default: as the study says]",
)
@_SAMPLES
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    help="Number of samples evaluated at once, which changes speed and memory but no result.  "
    "[default: as the study says]",
)
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    help="File of weights to load instead of training, in safetensors.  [default: as the study "
    "says]",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Folder of the study's data set, such as that of CIFAR-10.  [default: as the study says]",
)
@_TRAIN
@click.option(
    "--device",
    help="Torch device to compute on, such as cuda.  [default: as the study says]",
)
@_EXECUTOR
@_WORKERS
@_DEVICES
@click.option(
    "--shard",
    metavar="PART/PARTS",
    help="Part of the chips to evaluate, such as 3/8 for the third of eight, which `memcore "
    "collect` puts together.  [default: all chips]",
)
@_FRESH
@_QUIET
def run(
    study: Path,
    out: Path | None,
    data: Path | None,
    train: bool,
    fresh: bool,
    quiet: bool,
    **overrides: Any,
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
    overrides |= {} if data is None else {"data": _data(study, data)}
    _study(study, out, fresh, quiet, overrides)


def _data(source: Path, folder: Path) -> dict[str, Any]:
    """The data set of a study, from a folder."""
    from memcore import study

    data = study.read(source).study.data
    return {**data, "folder": str(folder.resolve())}


@click.command()
@click.option(
    "--out",
    type=_FOLDER,
    default=Path("demo-results"),
    show_default=True,
    help="Folder for the results.",
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


@click.command(short_help="Search a study for its best settings.")
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=_FOLDER, help="Folder of the search.  [default: results/NAME-search]")
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Number of settings to try.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Number of settings that are chosen at once.",
)
@click.option(
    "--against",
    type=click.Choice(["energy", "time", "area"]),
    default="energy",
    show_default=True,
    help="What a study with a cost model shall make small beside its metric: energy in J, time in "
    "s or area in m^2 of an inference.",
)
@_CHIPS
@_SAMPLES
@_EXECUTOR
@_WORKERS
@_FRESH
@_QUIET
def search(study: Path, out: Path | None, quiet: bool, **options: Any) -> None:
    """Search the axes of the study in the file STUDY for the best settings, with Optuna.

    The file has one sweep; its axes have values, or range = [low, high]. With cost models in the
    file, the answer is the front of the settings that no other beats. Started again, a search goes
    on where it was interrupted, or with more trials.
    """
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    from memcore.study import search as searched

    found = searched(study, out, progress=False if quiet else None, **options)
    click.echo(f"{found}\n\ntable {found.csv}")


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
    help="Number of chips to show at first.",
)
@click.option(
    "--follow", "-f", is_flag=True, help="Show further chips until the study is finished."
)
def tail(folder: Path, count: int, follow: bool) -> None:
    """Show the chips of the study in FOLDER that were evaluated last, a line for each.

    Chips of points that are in the table already are not shown.
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
