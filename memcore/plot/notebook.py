"""The display of a device in a notebook: its parameters with units and sources, and its loop."""

import dataclasses
import html
import inspect
import io
from typing import Any, Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.ranges import allowed
from memcore.dynamics.sweep import liveliest_sweep

_LONGEST: Final = 60  #: characters of a table that is shown as it is


@dataclasses.dataclass(frozen=True)
class ParameterRow:
    """One parameter of a device, ready to be printed."""

    name: str
    value: str
    unit: str
    range: str
    doc: str


def parameters(device: Memristor) -> list[ParameterRow]:
    """The parameters of a device with their units and sources, in the order of declaration."""
    fields, ranges = dataclasses.fields(device), allowed(type(device))  # type: ignore[arg-type]
    return [
        ParameterRow(
            name=field.name,
            value=_shown(getattr(device, field.name)),
            unit=_unit(field),
            range=ranges.get(field.name, ""),
            doc=field.metadata.get("doc", ""),
        )
        for field in fields
    ]


def _unit(field: Any) -> str:
    unit: str = field.metadata.get("unit", "")
    return "" if unit == "1" else unit


def _shown(value: Any) -> str:
    if isinstance(value, Tensor) and value.numel() > 1:
        low, high = (f"{x:.4g}" for x in torch.stack(value.double().aminmax()).tolist())
        return f"{low} to {high} in {value.numel()} cells"
    if isinstance(value, tuple) and len(str(value)) > _LONGEST:
        return f"{len(value)} " + ("rows" if isinstance(value[0], tuple) else "values")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def figure_svg(device: Memristor) -> str:
    """The loop of a device as an SVG element."""
    from memcore.plot import hysteresis

    ax = hysteresis(liveliest_sweep(device))
    buffer = io.StringIO()
    figure = ax.figure
    figure.set_size_inches(4.2, 3.0)  # type: ignore[union-attr]
    figure.savefig(buffer, format="svg", metadata={"Date": None})  # type: ignore[union-attr]
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def device_html(device: Memristor) -> str:
    """The table of parameters and the loop, as HTML."""
    cells = "".join(
        f"<tr><td><code>{html.escape(row.name)}</code></td><td>{html.escape(row.value)}</td>"
        f"<td>{html.escape(row.unit)}</td><td>{html.escape(row.range)}</td>"
        f"<td>{html.escape(row.doc)}</td></tr>"
        for row in parameters(device)
    )
    title = html.escape(type(device).__name__)
    summary = html.escape((inspect.getdoc(type(device)) or "").partition("\n")[0])
    table = (
        "<table><tr><th>parameter</th><th>value</th><th>unit</th><th>range</th><th>source</th></tr>"
        f"{cells}</table>"
    )
    return f"<div><h4>{title}</h4><p>{summary}</p>{_picture(device)}{table}</div>"


def _picture(device: Memristor) -> str:
    try:
        return figure_svg(device)
    except Exception as error:  # a table without a picture is better than none
        return f"<p>no loop: {html.escape(str(error))}</p>"
