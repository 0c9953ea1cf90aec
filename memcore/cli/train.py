"""`memcore train`: how well digits are learned on the cells of a measured device."""

import json
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from memcore.cli.columns import by_name, dialect, named_columns
from memcore.cli.progress import Shown
from memcore.errors import ConfigError

if TYPE_CHECKING:
    from memcore.contracts.device import Memristor
    from memcore.fitting import Fit

_NUMBER: Final = "NAME=NUMBER, such as v_set=1.6"
#: Parameters of the command that say nothing of what was measured.
_OF_TRAINING: Final = ("data", "rule", "lr", "epochs", "seed", "age", "drift", "as_json")


@click.command("train", short_help="Train digits in place on a measured device.")
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="WHAT=HEADING:UNIT",
    help="Meaning, heading (or number, from 1) and unit of a column. WHAT is direction and "
    "conductance, resistance or current, perhaps pulse and device; or pulse, ltp and ltd; a device "
    'file needs none. An example is "conductance=G (uS):uS".',
)
@click.option(
    "--device",
    default="tabular",
    show_default=True,
    help="Device model: tabular replays the measured pulses with their spread; any other one, such "
    "as exp_step, is fitted to them.",
)
@click.option(
    "--fixed",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the device that the data do not tell; once for each, such as v_set=1.6 in V "
    "or t_set=5e-8 in s, from which energy and time follow.",
)
@click.option(
    "--read-voltage",
    type=float,
    help="Voltage at which currents were read, in V; needed with currents only.",
)
@dialect
@click.option(
    "--rule",
    default="sgd_pulsed",
    show_default=True,
    help="Update rule, such as agad, which finds the symmetry points of the cells by itself.",
)
@click.option(
    "--lr",
    type=float,
    default=0.1,
    show_default=True,
    help="Learning rate, the share of the gradient that an update follows.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of passes over the 1297 digits of the training set.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of all random draws.")
@click.option(
    "--age",
    type=float,
    default=2.592e6,
    show_default=True,
    help="Time that passes after the training, in s; the default is a month.",
)
@click.option(
    "--drift",
    type=float,
    default=0.1,
    show_default=True,
    help="Mean exponent of the drift in this time, which pulses do not tell; half of it is the "
    "standard deviation between cells, and 0 is none.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON, for other programs.")
def train(
    data: Path,
    columns: tuple[str, ...],
    device: str,
    fixed: tuple[str, ...],
    rule: str,
    lr: float,
    epochs: int,
    seed: int,
    age: float,
    drift: float,
    as_json: bool,
    **written: Any,
) -> None:
    """Train a network on the cells of the device that was measured in the text file DATA.

    DATA has the conductances after pulses up and down, or is a device file, NAME.toml. A network of
    64, 64 and 10 neurons learns handwritten digits by pulses on these cells. The table has its
    accuracy beside that of the same network in floating point, and after ageing, and the pulses,
    the energy, the time and the wear that the training takes.
    """
    from memcore.study.measured import require_training, train_device

    settings: dict[str, Any] = {"rule": rule, "lr": lr, "epochs": epochs, "seed": seed}
    require_training(**settings, seconds=age, drift=drift)  # before a fit, which takes its time
    made = _device(data, columns, device, fixed, written)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained = train_device(made, **settings, seconds=age, drift=drift)
    for message in dict.fromkeys(str(each.message) for each in caught):
        click.echo(f"warning: {message}", err=True)
    click.echo(json.dumps(trained.to_json(), indent=2) if as_json else str(trained))


def _device(
    data: Path,
    columns: tuple[str, ...],
    device: str,
    fixed: tuple[str, ...],
    written: dict[str, Any],
) -> "Memristor | str":
    """The device of a file of measurements, or the name of a device file.

    Raises:
        ConfigError: the columns are missing or do not fit, or the device cannot be found from them,
            or options of measurements came with a device file.
    """
    held = by_name(fixed, "--fixed", _NUMBER, float)
    if data.suffix == ".toml":
        _require_no_measurement(data)
        return str(data)
    if not columns:
        raise ConfigError(
            f"no --column says what the columns of '{data}' are; expected for instance "
            '--column "direction=dir:1" --column "conductance=G (uS):uS"'
        )
    fitted = _fitted(data, columns, device, fixed=held or (), **written)
    missed = [f"{device} misses the data: {fitted.misfit}"] if fitted.misfit else []
    for remark in (*missed, *fitted.warnings):
        click.echo(f"warning: {remark}", err=True)
    made: Memristor = fitted.device
    return made


def _fitted(data: Path, columns: tuple[str, ...], device: str, **options: Any) -> "Fit":
    """A device fitted to measurements, while it is shown how far the search is."""
    import memcore

    named = named_columns(columns)
    with closing(Shown()) as shown:
        return memcore.fit(
            device,
            data,
            columns={what: heading for what, (heading, _) in named.items()},
            units={what: unit for what, (_, unit) in named.items() if unit},
            progress=shown,
            **options,
        )


def _require_no_measurement(data: Path) -> None:
    """Refuse options that say what measurements are where a device file says it.

    Raises:
        ConfigError: there is one.
    """
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name not in _OF_TRAINING
        and context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise ConfigError(
            f"{', '.join(given)} came with the device file '{data}', which says all of it; "
            "expected them with measurements only"
        )
