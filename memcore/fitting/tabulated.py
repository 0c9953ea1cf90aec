"""Devices that take measured data as they are: `memcore.fit` without a search."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.fitting.device_records import Records
from memcore.fitting.result import Fit, FittedParameter
from memcore.fitting.space import numbers, units
from memcore.registry.specs import provided_name


@dataclass(frozen=True, kw_only=True, eq=False)
class Tabulation:
    """A device made of records.

    Args:
        device: device that holds the records.
        unit: unit of the measured values, "S" or "A".
        abscissa: number of each sample, or number of pulses given before each read.
        voltage: voltage of each sample in V; None for pulses.
        measured: measured values in S or A, [samples].
        predicted: values of the device without its spread in S or A, [samples].
        warnings: remarks on what the data lack.
        abscissa_name: what the abscissa is, where there is no voltage.
    """

    device: Memristor
    unit: str
    abscissa: Tensor
    voltage: Tensor | None
    measured: Tensor
    predicted: Tensor
    warnings: tuple[str, ...] = ()
    abscissa_name: str = "pulses"


@runtime_checkable
class Tabulating(Protocol):
    """A device with a method that takes data; `memcore.fit` calls it in place of a search."""

    def tabulated(self, records: Records) -> Tabulation:
        """The same device, all other parameters kept, that holds these records.

        Raises:
            ConfigError: the records do not fit.
        """


def tabulate(start: Tabulating, records: Records, provenance: Mapping[str, Any]) -> Fit:
    """The device that holds the records, as a fit without fitted parameters.

    Args:
        start: device with the parameters that the data do not tell.
        records: measured records.
        provenance: further entries of the provenance.
    """
    made = start.tabulated(records)
    rms, size = (
        float(x.square().mean().sqrt()) for x in (made.predicted - made.measured, made.measured)
    )
    named = units(made.device)
    return Fit(
        device=made.device,
        parameters={
            name: FittedParameter(
                name=name, value=value, uncertainty=None, unit=named[name], identifiable=None
            )
            for name, value in numbers(made.device).items()
        },
        rms=rms,
        relative=rms / size if size else 0.0,
        unit=made.unit,
        warnings=(*(line for record in records for line in record.remarks), *made.warnings),
        provenance={
            **provenance,
            "device": provided_name(made.device),
            "data": {**records[0].source, "samples": len(made.measured), "records": len(records)},
            "start": numbers(made.device),
        },
        abscissa=made.abscissa,
        voltage=made.voltage,
        measured=made.measured,
        predicted=made.predicted,
        abscissa_name=made.abscissa_name,
    )
