"""The display of a device in a notebook: its parameters with units and sources, and its loop."""

import dataclasses
import html
import inspect
import io
import math
from typing import Any, Final

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.contracts.ranges import allowed
from memcore.dynamics import stimuli
from memcore.dynamics.simulate import Trace, simulate
from memcore.errors import ConfigError

_AMPLITUDES: Final = (0.5, 1.0, 2.0, 4.0)
_SAMPLES: Final = 600
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


def loop(device: Memristor) -> Trace:
    """The trace of two triangular sweeps of a fresh device, chosen so that it moves if it can.

    Amplitude and speed are searched: the sweep is the one in which the conductance at zero voltage
    changes most, slow ones preferred.

    Raises:
        ConfigError: the device has no dynamics, or no finite conductances.
    """
    plan = device.nominal()
    best: tuple[float, Trace] | None = None
    for amplitude in _AMPLITUDES:
        for decade in range(0, -13, -2):
            trace = _sweep(plan, amplitude, 10.0**decade)
            g = trace.conductance
            moved = (g.max() / g.min()).log().item()
            if math.isfinite(moved) and (best is None or moved > 1.05 * best[0] + 1e-6):
                best = (moved, trace)
    if best is None:
        raise ConfigError(
            f"no sweep of {type(device).__name__} has finite conductances; expected some"
        )
    return best[1]


def _sweep(device: Memristor, amplitude: float, duration: float) -> Trace:
    dt = duration / _SAMPLES
    voltage = stimuli.triangle(
        amplitude * device.polarity, 1 / duration, dt=dt, periods=2, dtype=torch.float32
    )
    try:
        return simulate(device, voltage, dt)
    except NotImplementedError as error:
        raise ConfigError(f"there is no loop to draw: {error}") from error


def figure_svg(device: Memristor) -> str:
    """The loop of a device as an SVG element."""
    from memcore.plot import hysteresis

    ax = hysteresis(loop(device))
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
