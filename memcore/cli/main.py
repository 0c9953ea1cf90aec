"""The command line: run a study, look at what is installed, start a plugin of one's own."""

import errno
import json
import os
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

import memcore
from memcore._text import aligned, install, printable
from memcore._version import __version__
from memcore.cli import checkpoint as cli_checkpoint
from memcore.cli import cite as cli_cite
from memcore.cli import cost as cli_cost
from memcore.cli import device as cli_device
from memcore.cli import explore as cli_explore
from memcore.cli import fit as cli_fit
from memcore.cli import gallery as cli_gallery
from memcore.cli import new_study as cli_new_study
from memcore.cli import report as cli_report
from memcore.cli import spice as cli_spice
from memcore.cli import study as cli_study
from memcore.cli import train as cli_train
from memcore.cli.output import OutputFolder
from memcore.errors import MemcoreError, MemcoreWarning, NativeError
from memcore.registry.instances import SCAN, registries
from memcore.registry.scan import THIS_PROCESS

if TYPE_CHECKING:
    from memcore.registry.registry import Registry
    from memcore.registry.scan import Provider


#: Commands that keep what they have done.
_RESUMED: Final = ("demo", "run", "search")


class _Program(click.Group):
    """Says what went wrong in one message instead of a traceback, unless asked for it."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MemcoreError as error:
            if ctx.params.get("traceback"):
                raise
            _complain(str(error))
            ctx.exit(2)
        except OSError as error:
            if error.errno == errno.EPIPE or ctx.params.get("traceback"):
                raise  # nobody reads on, which is no mistake: click ends the program quietly
            _forget_unwritten()
            _complain(f"'{error.filename or 'the output'}': {error.strerror or error}")
            ctx.exit(2)
        except KeyboardInterrupt:
            goes_on = ctx.invoked_subcommand in _RESUMED
            does = "goes on where this one stopped" if goes_on else "begins anew"
            click.echo(f"\ninterrupted; the same command {does}", err=True)
            ctx.exit(130)


def _complain(text: str) -> None:
    click.secho("error: ", fg="red", bold=True, err=True, nl=False)
    click.echo(printable(text), err=True)


def _forget_unwritten() -> None:
    """Let the interpreter not try again at its end what the output refuses, on a full disk."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="memcore")
@click.option(
    "--traceback", is_flag=True, help="Show the whole traceback of an error, for a report of it."
)
def main(traceback: bool) -> None:
    """Turn a trained network into a memristive one and see what its devices cost."""
    del traceback  # read from the context by `_Program.invoke`
    # Spinning threads slow each other down by orders of magnitude on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


_FOLDER = OutputFolder()


@main.command(short_help="List the installed plugins.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs.")
@click.option(
    "--check", is_flag=True, help="Import each plugin and compare its methods with the contract."
)
def plugins(as_json: bool, check: bool) -> None:
    """List the installed plugins and the packages that provide them."""
    if check:
        _register_computed_names()
    rows = [
        _plugin_row(registry.group, provider, check, partial(_load, registry, provider))
        for registry in registries().values()
        for provider in registry.providers()
    ]
    rows += [
        _plugin_row("memcore.hooks", provider, check, partial(_load_hooks, provider))
        for provider in SCAN.group("memcore.hooks")
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        _print_rows(rows, ["group", "name", "distribution", "version", "target", "status"])
        for row in rows:
            if row["error"]:
                click.echo(f"\n{row['error']}")
    if any(row["status"] == "broken" for row in rows):
        raise SystemExit(1)


@main.command(short_help="Show what is installed and in use.")
@click.option("--require-native", is_flag=True, help="Fail unless the native kernels are in use.")
def doctor(require_native: bool) -> None:
    """Show what is installed, which native kernels are in use, and why others are not."""
    import platform

    import torch

    from memcore import native

    status = native.status()
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch sees"
    facts = {
        "memcore": f"{__version__} in {Path(memcore.__file__).parent}",
        "python": f"{platform.python_version()} on {platform.platform()}",
        "torch": f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads",
        "gpu": gpu,
        "_cpu": _native_line(status.cpu),
        "_cuda": _native_line(status.cuda),
        "plugins": ", ".join(f"{k} {len(r)}" for k, r in registries().items()),
        **{name: _package(name) for name in ("matplotlib", "scikit-learn", "tqdm", "safetensors")},
    }
    for line in aligned(list(facts.items())):
        click.echo(line)
    if require_native and not status.cpu.loaded:
        raise NativeError(f"the native kernels are required, but {status.cpu.reason}")


@main.command("new-plugin", short_help="Start a plugin package of your own.")
@click.argument("name")
@click.option("--out", type=_FOLDER, help="Folder to make.  [default: ./NAME]")
def new_plugin(name: str, out: Path | None) -> None:
    """Start a plugin package of your own: a working copy of the example, renamed to NAME."""
    from memcore.cli.new_plugin import create

    folder = create(name, out if out is not None else Path(name))
    click.echo(f"made {folder or out or name}; next:")
    click.echo(f"  pip install -e {folder or out or name}")
    click.echo(f"  pytest {folder or out or name}")


main.add_command(cli_checkpoint.convert_checkpoint)
main.add_command(cli_cite.cite)
main.add_command(cli_cost.components)
main.add_command(cli_cost.cost)
main.add_command(cli_device.device)
main.add_command(cli_explore.explore)
main.add_command(cli_fit.fit)
main.add_command(cli_gallery.gallery)
main.add_command(cli_new_study.new_study)
main.add_command(cli_report.report)
main.add_command(cli_spice.spice)
main.add_command(cli_study.search)
main.add_command(cli_study.collect)
main.add_command(cli_study.demo)
main.add_command(cli_study.run)
main.add_command(cli_study.status)
main.add_command(cli_study.tail)
main.add_command(cli_train.train)


def _register_computed_names() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MemcoreWarning)  # broken hooks have a line of their own
        SCAN.announce()


def _load(registry: "Registry[Any]", provider: "Provider") -> None:
    here = provider.distribution == THIS_PROCESS
    registry[provider.name if here else provider.qualified]


def _load_hooks(provider: "Provider") -> None:
    from memcore.registry.hooks import check

    check(provider.load())


def _plugin_row(
    group: str, provider: "Provider", check: bool, load: Callable[[], None]
) -> dict[str, Any]:
    row = {
        "group": group,
        "name": provider.name,
        "distribution": provider.distribution,
        "version": provider.version,
        "target": provider.target,
        "status": "not loaded",
        "error": "",
    }
    if check:
        try:
            load()
            row["status"] = "ok"
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a third party's module does on import
            row |= {"status": "broken", "error": _words(error)}
    return row


def _words(error: BaseException) -> str:
    text = str(error) if isinstance(error, MemcoreError) else f"{type(error).__name__}: {error}"
    return printable(text)


def _print_rows(rows: list[dict[str, Any]], columns: list[str]) -> None:
    cells = [columns, *([str(row[column]) for column in columns] for row in rows)]
    for line in aligned(cells):
        click.echo(line)


def _native_line(module: Any) -> str:
    return str(module).partition(": ")[2]


def _package(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return f"not installed; studies need it: {install('study')}"
