"""`explore`: a page with sliders for the parameters of a device."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from memcore import _toml as toml
from memcore._text import scaled
from memcore._version import __version__
from memcore.contracts.device import Memristor
from memcore.errors import ConfigError
from memcore.pages.document import document
from memcore.pages.exploring import Grid, Slider, grid
from memcore.pages.markup import Html, tag
from memcore.pages.table import plain_table
from memcore.plot.notebook import parameters
from memcore.registry.specs import PluginSpec, plain, plugin

#: Parts of a decade in which the page is told its curves: fine enough for single pulses to show.
_PARTS: Final = 100_000


def explore(device: PluginSpec, path: str | Path, vary: Sequence[str] = ()) -> Path:
    """Write an offline page with sliders for parameters of a device.

    The page shows the current-voltage loop, the response to pulses and the spread of written cells,
    as far as the device has them, and saves the device file of its setting. Everything is computed
    beforehand at seven values of each parameter, from a quarter to four times its own, in all
    combinations; sliders stop there, and nothing is interpolated.

    Args:
        device: the device, by instance, name, class, mapping or device file, as in
            `CrossbarConfig`.
        path: path of the HTML file.
        vary: names of up to three parameters, two where cells differ; by default those that change
            the curves most.

    Returns:
        The path of the file.

    Raises:
        ConfigError: a name is that of no parameter that can be varied, there is nothing to draw, or
            nothing can be written there.
        RegistryError: the name is unknown or its plugin is broken.
    """
    made: Memristor = plugin("devices", device)
    text = html(grid(made, vary))
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"'{path}' cannot be written: {error.strerror}; expected a folder that exists and can "
            "be written"
        ) from None
    return Path(path)


def html(of: Grid) -> str:
    """The page of a grid."""
    name = str(plain(of.device)["name"])
    summary = (inspect.getdoc(type(of.device)) or "").partition("\n")[0]
    theme = tag("button", "theme: auto", type="button", id="theme", title="Light or dark")
    brand = tag("span", "memcore", class_="brand")
    bar = tag("div", brand, tag("nav", aria_label="Parts"), theme, class_="bar-top")
    head = tag(
        "header",
        tag("p", "Explore a device", class_="over"),
        tag("h1", name),
        tag("p", summary, class_="lede"),
        class_="head",
    )
    body = [
        bar,
        tag("main", head, _controls(of), _pictures(of), _file(), _table(of), id="content"),
        tag("footer", f"Written by memcore {__version__}. This file needs no network."),
    ]
    return document(
        f"{name}: explore", body, scripts=("explore.js", "page.js"), data=_data(of, name)
    )


def _controls(of: Grid) -> Html:
    note = (
        f"Computed beforehand at {len(of.sliders[0].values)} values of each, in all combinations; "
        "sliders stop there, and nothing is interpolated. Grey is the device as it came."
    )
    reset = tag("button", "as it came", type="button", id="reset")
    status = tag("p", id="status", class_="notice", role="status", hidden=True)
    return tag(
        "section",
        tag("h2", "Parameters"),
        tag("p", note, class_="note"),
        tag("div", [_slider(n, slider) for n, slider in enumerate(of.sliders)], class_="sliders"),
        reset,
        status,
    )


def _slider(number: int, slider: Slider) -> Html:
    marks = [tag("option", value=k) for k in range(len(slider.values))]
    return tag(
        "div",
        tag("label", tag("b", slider.name), tag("output", id=f"value-{number}"), for_=f"s{number}"),
        tag(
            "input",
            type="range",
            id=f"s{number}",
            min=0,
            max=len(slider.values) - 1,
            step=1,
            value=slider.base,
            list=f"marks-{number}",
        ),
        tag("datalist", marks, id=f"marks-{number}"),
        tag("small", slider.doc),
    )


def _pictures(of: Grid) -> Html:
    figures = []
    if of.curves.loop is not None:
        peak = float(of.voltage.abs().max())
        what = (
            f"Two triangular sweeps to {peak:.3g} V within {scaled(of.duration, 's')}; the second."
        )
        figures.append(_figure("loop", "Current and voltage", what))
    if of.pulses is not None and of.curves.response is not None:
        (up, t_up), (down, t_down) = of.pulses
        what = (
            f"From the lowest conductance: 30 SET pulses of {up:.3g} V for {scaled(t_up, 's')}, "
            f"then 30 RESET pulses of {down:.3g} V for {scaled(t_down, 's')}, without their noise."
        )
        figures.append(_figure("response", "Pulses", what))
    if of.curves.written is not None:
        what = "200 cells written to each of nine levels: their mean and standard deviation."
        figures.append(_figure("written", "Written cells", what))
    return tag("div", figures, class_="three")


def _figure(name: str, title: str, what: str) -> Html:
    save = tag("button", "SVG", type="button", class_="save-svg", title="Save this picture as SVG")
    picture = tag(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox="0 0 440 320",
        role="img",
        aria_label=title,
        class_="chart",
        id=name,
        data_name=name,
    )
    return tag(
        "section",
        tag("h2", title),
        tag("p", what, class_="note"),
        tag("figure", tag("div", save, class_="tools"), picture),
    )


def _file() -> Html:
    save = tag(
        "button", "save device.toml", type="button", data_copies="toml", data_file="device.toml"
    )
    copy = tag("button", "copy", type="button", data_copies="toml")
    return tag(
        "section",
        tag("h2", "Device file"),
        tag("p", "Its path stands wherever the name of a device may, in Python and in studies."),
        tag("pre", id="toml", tabindex=0),
        tag("div", save, copy, class_="tools"),
    )


def _table(of: Grid) -> Html:
    rows = [(row.name, row.value, row.unit, row.range, row.doc) for row in parameters(of.device)]
    return tag(
        "section",
        tag("h2", "All parameters"),
        plain_table(("parameter", "value", "unit", "range", "source"), rows),
    )


def _data(of: Grid, name: str) -> dict[str, Any]:
    """What the script draws: logarithms in `_PARTS`, None for settings that are not allowed."""
    settings = {key: value for key, value in plain(of.device).items() if value is not None}
    varied = {slider.name for slider in of.sliders}
    kept = {key: value for key, value in settings.items() if key not in (*varied, "name")}
    rest = toml.text({"device": kept}).partition("\n")[2] if kept else ""
    curves = of.curves
    return {
        "name": name,
        "rest": rest,
        "sliders": [
            {"name": s.name, "unit": s.unit, "values": list(s.values), "base": s.base}
            for s in of.sliders
        ],
        "voltage": [round(v, 6) for v in of.voltage.tolist()],
        "parts": _PARTS,
        "loop": _in_parts(curves.loop),
        "response": _in_parts(curves.response),
        "written": None
        if curves.written is None
        else _in_parts(curves.written.clamp(min=1e-30).log10().flatten(1)),
    }


def _in_parts(rows: Tensor | None) -> list[list[int] | None] | None:
    if rows is None:
        return None
    return [
        None if bool(row.isnan().any()) else [round(value) for value in (_PARTS * row).tolist()]
        for row in rows
    ]
