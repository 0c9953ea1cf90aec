"""`memcore cost` and `memcore components`: what a network costs, and the figures behind it."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memcore._text import aligned, scaled
from memcore.cli.output import OutputFile
from memcore.errors import ConfigError
from memcore.tables.component import Component

if TYPE_CHECKING:
    from torch import Tensor, nn

    from memcore.crossbar.config import CrossbarConfig


@click.command("cost", short_help="Price a network in energy, time and area.")
@click.argument("network", metavar="MODULE:CALLABLE")
@click.option(
    "--input",
    "inputs",
    multiple=True,
    required=True,
    metavar="SHAPE",
    help="Shape of an input with its batch, such as 1x3x32x32; once for each argument of the "
    "network.",
)
@click.option(
    "--model",
    default="components",
    show_default=True,
    help="Cost model to price with, one that `memcore plugins` lists under memcore.costs.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Parameter of the cost model with its value in SI units; once for each.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML file of the crossbars, for models that simulate arrays.  [default: the arrays that "
    "are named above]",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Write JSON, for other programs, in J, s and m^2."
)
@click.option(
    "--plot",
    type=OutputFile(picture=True),
    help="File for a picture of when each layer works (.png, .svg, .pdf).",
)
@click.option(
    "--accelforge",
    type=OutputFile(),
    help="File for the arrays as an architecture that AccelForge reads (.yaml).",
)
def cost(
    network: str,
    inputs: tuple[str, ...],
    model: str,
    settings: tuple[str, ...],
    config: Path | None,
    as_json: bool,
    plot: Path | None,
    accelforge: Path | None,
) -> None:
    """Price the network that CALLABLE in MODULE returns, by layer and component.

    Modules in the working directory are found. Inputs are random. A model that simulates arrays
    converts the network first: as the file of --config says, else to ideal cells in arrays of 128 x
    128 with 8-bit converters.
    """
    import torch

    from memcore.report.cost import cost as priced

    shapes = [_shape(text) for text in inputs]
    parameters = _of_model(model, dict(_setting(text) for text in settings))
    made = _network(network)
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.rand(shape, generator=generator, device="cpu") for shape in shapes]
    batch: Tensor | list[tuple[Tensor, ...]] = tensors[0] if len(shapes) == 1 else [tuple(tensors)]
    report = priced(made, batch, model=model, crossbar=_crossbar(config), **parameters)
    if plot is not None:
        from memcore.plot import timeline

        timeline(report.timeline).figure.savefig(plot)  # type: ignore[union-attr]
    if accelforge is not None:
        accelforge.write_text(report.to_accelforge(), encoding="utf-8")
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else str(report))


@click.command("components", short_help="List components and their sources.")
@click.argument("words", nargs=-1)
@click.option(
    "--kind", default="", help="Kind of the components to show, such as adc.  [default: all kinds]"
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="CSV file whose rows are added, or take the place of rows of the same name.",
)
@click.option("--cite", is_flag=True, help="Show the sources of the components as BibTeX instead.")
def components(words: tuple[str, ...], kind: str, file: Path | None, cite: bool) -> None:
    """List the components of the tables that have all WORDS in their rows; all without WORDS."""
    from memcore.tables.library import components as bundled

    tables = bundled if file is None else bundled.extended(file)
    found = tables.search(" ".join(words), kind=kind)
    if not found:
        kinds = ", ".join(sorted({each.kind for each in tables.values()}))
        raise ConfigError(
            f"no component has {' '.join(words)!r} and kind {kind or 'any'!r}; expected other "
            f"words, or one of the kinds {kinds}"
        )
    if cite:
        click.echo("\n\n".join(dict.fromkeys(tables.cite(each.name) for each in found)))
        return
    head = ("name", "kind", "node", "bits", "energy", "area", "source")
    for line in aligned([head, *map(_row, found)]):
        click.echo(line)


def _row(each: Component) -> tuple[str, ...]:
    energy, node = each.energy_of_use, each.technology
    return (
        each.name,
        each.kind,
        "" if node is None else f"{node * 1e9:g} nm",
        "" if each.bits is None else str(each.bits),
        "" if energy is None else scaled(energy, "J"),
        "" if each.area is None else scaled(each.area, "m^2"),
        f"{each.source}, {each.location}" if each.location else each.source,
    )


def _network(name: str) -> "nn.Module":
    from memcore.report.networks import network_of
    from memcore.study.sources import importable

    with importable(Path.cwd()):
        return network_of(name)


def _crossbar(config: Path | None) -> "CrossbarConfig":
    from memcore.crossbar.config import CrossbarConfig

    if config is not None:
        if not config.is_file():
            raise ConfigError(f"there is no file '{config}'; expected a TOML file of crossbars")
        return CrossbarConfig.from_toml(config)
    uniform = {"name": "uniform", "bits": 8}
    return CrossbarConfig(device="ideal", dac=uniform, adc=uniform)


def _shape(text: str) -> tuple[int, ...]:
    sizes = text.lower().split("x")
    if not all(size.isdecimal() and int(size) for size in sizes):
        raise ConfigError(f"input {text!r}; expected a shape such as 1x3x32x32")
    return tuple(map(int, sizes))


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ConfigError(f"setting {text!r}; expected KEY=VALUE")
    return key, _value(value)


def _of_model(model: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which "none" is a word for parameters that are words, and no value for others."""
    from memcore.registry.instances import costs

    words = {
        each.name for each in dataclasses.fields(costs[model]) if isinstance(each.default, str)
    }
    return {
        name: "none" if value is None and name in words else value
        for name, value in settings.items()
    }


def _value(text: str) -> Any:
    """A number, a truth value, a size such as 128x128, words, or several after commas."""
    if "," in text:
        return tuple(map(_value, text.split(",")))
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    sizes = text.split("x")
    if len(sizes) > 1 and all(size.isdecimal() for size in sizes):
        return tuple(map(int, sizes))
    return text
