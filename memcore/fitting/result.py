"""The result of a fit: the device, the uncertainties and the origin of the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from memcore._text import aligned
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution
from memcore.fitting.picture import Compared, draw
from memcore.registry import device_file
from memcore.registry.specs import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class FittedParameter:
    """One number of the device.

    Attributes:
        name: name of the parameter.
        value: value in SI units.
        uncertainty: standard uncertainty in the same unit; inf if the data say nothing, NaN if the
            search did not arrive or the model misses the data, None if it was not fitted.
        unit: unit of the parameter, "1" for a pure number.
        identifiable: whether the data determine it; None if it was not fitted.
        note: further remark.
    """

    name: str
    value: float
    uncertainty: float | None
    unit: str
    identifiable: bool | None
    note: str = ""

    @property
    def fitted(self) -> bool:
        """Whether the search could change it."""
        return self.uncertainty is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """The result of `memcore.fit`; `str()` gives a report.

    Attributes:
        device: the model with the parameters found.
        parameters: every number of the model by name, fitted or not.
        rms: root mean square of the differences, in A or in S.
        relative: `rms` relative to the root mean square of the data.
        unit: unit of the data, "A" or "S".
        warnings: parameters that the data do not determine, and other remarks.
        provenance: data, device, versions and settings of the fit.
        abscissa: time of each sample in s, or number of pulses given before each read.
        voltage: voltage of each sample in V; None for pulses.
        measured: measured values in A or S.
        predicted: values predicted by the model in A or S.
        misfit: how the model misses the data, empty if what is left over looks like noise. There
            are no uncertainties then.
        abscissa_name: what the abscissa is, where there is no voltage.
    """

    device: Memristor
    parameters: Mapping[str, FittedParameter]
    rms: float
    relative: float
    unit: str
    warnings: tuple[str, ...]
    provenance: Mapping[str, Any]
    abscissa: Tensor = field(repr=False)
    voltage: Tensor | None = field(repr=False)
    measured: Tensor = field(repr=False)
    predicted: Tensor = field(repr=False)
    misfit: str = ""
    abscissa_name: str = "pulses"

    @property
    def identifiable(self) -> dict[str, bool]:
        """Whether the data determine each fitted parameter."""
        return {p.name: bool(p.identifiable) for p in self.parameters.values() if p.fitted}

    def __str__(self) -> str:
        data = self.provenance.get("data", {})
        fitted = any(p.fitted for p in self.parameters.values())
        verb = "fitted to" if fitted else "holds"
        title = f"{self.provenance['device']} {verb} {data.get('file', 'arrays')}"
        fit = (
            f"rms error {_number(self.rms)} {self.unit}, {100 * self.relative:.3g} % of the rms "
            f"of {len(self.measured)} samples"
        )
        lines = [title, fit, *(["", *_table(self.parameters)] if fitted else [])]
        held = [p for p in self.parameters.values() if not p.fitted]
        told = [f"{p.name} = {p.value:.6g}" for p in held]
        if not fitted:  # then they are what was measured, with their spreads
            lines += _spreads(self.device)
        if told:
            lines += ["", f"{'not fitted' if fitted else 'parameters'}: {', '.join(told)}"]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def to_toml(self, path: str | Path) -> None:
        """Write a device file: its path can be given wherever the name of a device can.

        Args:
            path: path of the file, which ends in .toml.

        Raises:
            ConfigError: it does not end in .toml, or nothing can be written there.
        """
        device_file.require_name(path)
        spread = {p.name: p.uncertainty for p in self.parameters.values() if p.fitted}
        tables = {
            "device": plain(self.device),
            "provenance": {**self.provenance, "warnings": list(self.warnings)},
            "uncertainty": spread,
        }
        device_file.write(path, {name: table for name, table in tables.items() if table})

    def plot(self) -> "Figure":
        """Draw data and model above, and their difference below.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        fitted = any(p.fitted for p in self.parameters.values())
        return draw(
            Compared(
                name=self.provenance["device"],
                unit=self.unit,
                relative=self.relative,
                timed=self.voltage is None or fitted,
                abscissa=self.abscissa,
                abscissa_name=self.abscissa_name,
                voltage=self.voltage,
                measured=self.measured,
                predicted=self.predicted,
            )
        )


def _table(parameters: Mapping[str, FittedParameter]) -> list[str]:
    rows = [("parameter", "value", "uncertainty", "unit", "")]
    for p in parameters.values():
        if p.uncertainty is None:
            continue
        spread = _number(p.uncertainty) if math.isfinite(p.uncertainty) else "unknown"
        note = p.note if p.identifiable else f"not identifiable {p.note}".strip()
        unit = "" if p.unit == "1" else p.unit
        rows.append((p.name, f"{p.value:.6g}", spread, unit, note))
    return aligned(rows)


def _spreads(device: Memristor) -> list[str]:
    """A line for each parameter that differs from cell to cell or from write to write."""
    lines = []
    for name in (f.name for f in fields(device)):  # type: ignore[arg-type]
        spread = getattr(device, name)
        if isinstance(spread, Distribution):
            (kind, values), *_ = plain(spread).items()
            lines.append(f"{name}: {kind}, {', '.join(map(_told, values.items()))}")
    return lines


def _told(entry: tuple[str, Any]) -> str:
    """A number of a distribution, or how many there are."""
    name, value = entry
    return f"{len(value)} {name}" if isinstance(value, list | tuple) else f"{name} {value:.4g}"


def _number(value: float) -> str:
    return f"{value:.2g}"
