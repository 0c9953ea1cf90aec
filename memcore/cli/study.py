"""`memcore run` and `memcore demo`: studies."""

import logging
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from memcore.cli.output import OutputFolder

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
@_FRESH
@_QUIET
def run(
    study: Path, out: Path | None, train: bool, fresh: bool, quiet: bool, **overrides: Any
) -> None:
    """Run the study in the file STUDY, or finish it where it was interrupted.

    STUDY may also name one that comes with memcore: demo, ir_drop_sizes. Options win over the
    file's entries.
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
