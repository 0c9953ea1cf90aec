"""The result of a fit of retention: the effect, its uncertainties and the origin of the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from memcore._text import aligned
from memcore.contracts.effect import NonIdeality
from memcore.fitting.result import FittedParameter
from memcore.plot import axes as common
from memcore.registry import device_file
from memcore.registry.specs import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, eq=False)
class RetentionFit:
    """The result of `fitting.fit_retention`; `str()` gives a report.

    Attributes:
        effect: the effect with the parameters found, distributions where cells differ.
        parameters: every fitted number by name; `nu.std` is the spread of a parameter `nu`.
        rms: root mean square of the relative differences.
        noise: standard deviation of a read relative to the conductance.
        warnings: parameters that the data do not determine, and other remarks.
        misfit: how the model misses the data, empty if what is left over looks like noise. There
            are no uncertainties then.
        cells: name of each cell.
        initial: conductance of each cell right after the write in S, as fitted.
        time: times of the reads of each cell in s.
        measured: conductances of each cell in S.
        predicted: conductances of each cell in S, by the model.
        provenance: data, effect, version and settings of the fit.
    """

    effect: NonIdeality
    parameters: Mapping[str, FittedParameter]
    rms: float
    noise: float
    warnings: tuple[str, ...]
    misfit: str
    cells: tuple[str, ...]
    initial: tuple[float, ...]
    time: tuple[Tensor, ...] = field(repr=False)
    measured: tuple[Tensor, ...] = field(repr=False)
    predicted: tuple[npt.NDArray[np.float64], ...] = field(repr=False)
    provenance: Mapping[str, Any]

    @property
    def identifiable(self) -> dict[str, bool]:
        """Whether the data determine each fitted parameter."""
        return {name: bool(p.identifiable) for name, p in self.parameters.items()}

    def __str__(self) -> str:
        data = self.provenance["data"]
        lines = [
            f"{self.provenance['effect']} fitted to {data.get('file', 'arrays')}",
            f"rms error {100 * self.rms:.2g} % of {data['samples']} reads of "
            f"{data['cells']} cell{'s' * (data['cells'] != 1)}",
            "",
            *_table(self.parameters),
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def to_toml(self, path: str | Path) -> None:
        """Write an effect file: its path can be given wherever the name of an effect can.

        Args:
            path: path of the file, which ends in .toml.

        Raises:
            ConfigError: it does not end in .toml, or nothing can be written there.
        """
        device_file.require_name(path, "nonidealities")
        tables = {
            "nonideality": plain(self.effect),
            "provenance": {**self.provenance, "warnings": list(self.warnings)},
            "uncertainty": {name: p.uncertainty for name, p in self.parameters.items()},
        }
        device_file.write(path, tables, "nonidealities")

    def plot(self) -> "Figure":
        """Draw the conductances over time, and the course of the model.

        Raises:
            MissingPackageError: matplotlib is not installed.
        """
        ax = common.axes(None)
        highest = max(float(each.max()) for each in self.measured)
        _, unit = common.scaled(self.measured[0].new_tensor([highest]), "S")
        factor = float(common.scaled(self.measured[0].new_tensor([highest]), "S")[0][0]) / highest
        for k, (time, g, model) in enumerate(
            zip(self.time, self.measured, self.predicted, strict=True)
        ):
            colour = common.COLOURS[k % len(common.COLOURS)]
            ax.plot(time, factor * g, ".", markersize=3, color=colour)
            ax.plot(time, factor * model, linewidth=1.0, color=colour)
        ax.set(
            xscale="log",
            yscale="log",
            xlabel="time / s",
            ylabel=f"conductance / {unit}",
            title=f"{self.provenance['effect']}, rms error {100 * self.rms:.2g} %",
        )
        figure = ax.get_figure(root=True)
        assert figure is not None
        return figure


def _table(parameters: Mapping[str, FittedParameter]) -> list[str]:
    rows = [("parameter", "value", "uncertainty", "unit", "")]
    for p in parameters.values():
        known = p.uncertainty is not None and math.isfinite(p.uncertainty)
        spread = f"{p.uncertainty:.2g}" if known else "unknown"
        note = "" if p.identifiable else "not identifiable"
        rows.append((p.name, f"{p.value:.6g}", spread, "" if p.unit == "1" else p.unit, note))
    return aligned(rows)
