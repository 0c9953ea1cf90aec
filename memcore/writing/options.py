"""Parameters that several programmers share: a programmer inherits those that it has."""

from dataclasses import dataclass
from typing import Literal

import torch

from memcore import circuit
from memcore.contracts.array import ArrayInfo
from memcore.contracts.parameters import parameter
from memcore.contracts.programmer import Programmer
from memcore.contracts.units import (
    MOST_PULSE_SECONDS,
    MOST_PULSE_VOLTS,
    MOST_READ_VOLTS,
    MOST_VOLTS,
    SECONDS,
    VOLTS,
)
from memcore.errors import ConfigError
from memcore.writing.path import Path

_SIGN = f"give a magnitude, the device knows the sign of its voltages; {VOLTS}"


@dataclass(frozen=True)
class WantedPulse:
    """What a user asks of the pulses of one direction.

    Args:
        voltage: magnitude in V; None searches for one that moves the nominal device.
        width: in s; None searches for one.
    """

    voltage: float | None = None
    width: float | None = None


@dataclass(frozen=True, kw_only=True)
class PulseOptions:
    """Voltages and widths of SET and RESET pulses.

    Examples:
        >>> from memcore.writing import PulseOptions
        >>> PulseOptions(set_voltage=1.2).wanted(up=True)
        WantedPulse(voltage=1.2, width=None)
    """

    set_voltage: float | None = parameter(
        None,
        "V",
        "Magnitude of SET pulses, of the first one where they grow; None searches for one that "
        "moves the nominal device",
        above=0,
        at_most=MOST_PULSE_VOLTS,
        remedy=_SIGN,
    )
    reset_voltage: float | None = parameter(
        None,
        "V",
        "Magnitude of RESET pulses, likewise",
        above=0,
        at_most=MOST_PULSE_VOLTS,
        remedy=_SIGN,
    )
    set_width: float | None = parameter(
        None,
        "s",
        "Width of SET pulses, of the first one where they grow; None searches for one",
        above=0,
        at_most=MOST_PULSE_SECONDS,
        remedy=SECONDS,
    )
    reset_width: float | None = parameter(
        None,
        "s",
        "Width of RESET pulses, likewise",
        above=0,
        at_most=MOST_PULSE_SECONDS,
        remedy=SECONDS,
    )

    def wanted(self, *, up: bool) -> WantedPulse:
        """What is asked of the SET (`up`) or of the RESET pulses."""
        if up:
            return WantedPulse(self.set_voltage, self.set_width)
        return WantedPulse(self.reset_voltage, self.reset_width)


@dataclass(frozen=True, kw_only=True)
class LineOptions(Programmer):
    """The lines that pulses pass through; the class says in `lines` what they take part of."""

    wires: Literal["array", "none"] = parameter(
        "array",
        "1",
        "Lines that pulses pass through: those of the array, as configured for reading, or none",
    )
    transistor: float = parameter(
        0.0, "ohm", "Resistance of the access transistor while it is on", at_least=0
    )

    gate_line: float | None = parameter(
        None,
        "V",
        "Potential of the gate line against ground while it is on; None for a transistor of a "
        "constant resistance",
        within=(-MOST_VOLTS, MOST_VOLTS),
        remedy=VOLTS,
    )
    threshold: float = parameter(
        0.5, "V", "Threshold voltage of the transistor behind a gate line, without body effect"
    )
    gain: float = parameter(
        1e-3, "A/V^2", "Gain mu C_ox W / L of the transistor behind a gate line", above=0
    )
    body_effect: float = parameter(
        0.0, "V^0.5", "Body effect of the transistor behind a gate line", at_least=0
    )
    current_limit: float | None = parameter(
        None,
        "A",
        "Largest current that the source of a pulse lets through (compliance); None for no limit",
        above=0,
    )

    @property
    def access(self) -> float | circuit.Transistor:
        """The access transistor while it is on: a resistance in ohm, or one with a gate line.

        Raises:
            ConfigError: both are given.
        """
        if self.gate_line is None:
            return self.transistor
        if self.transistor:
            raise ConfigError(
                f"transistor={self.transistor!r} and gate_line={self.gate_line!r}; expected one of "
                "them: a resistance in ohm, or the potential of a gate line"
            )
        return circuit.Transistor(
            gate_line=self.gate_line,
            threshold=self.threshold,
            gain=self.gain,
            body_effect=self.body_effect,
        )

    def path(self, array: ArrayInfo, where: torch.device) -> Path:
        """The paths of pulses to the cells of an array, as `behind_lines` gives it.

        Args:
            array: with its wires.
            where: device of the result.
        """
        return Path.of(array, self.access, where, limit=self.current_limit)

    @property
    def through_lines(self) -> bool:
        return super().through_lines and self.wires == "array"

    def behind_lines(self, array: ArrayInfo) -> ArrayInfo:
        """The array as pulses find it: without its wires if they are left out."""
        return array if self.through_lines else array.with_ideal_lines()


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a read between pulses costs; its noise is the one that the configuration has."""

    read_voltage: float | None = parameter(
        None,
        "V",
        "Voltage of a read between pulses, for its energy; None takes that of the configuration",
        within=(0, MOST_READ_VOLTS),
        remedy=VOLTS,
    )
    read_time: float = parameter(
        1e-7,
        "s",
        "Duration of a read between pulses, for time and energy",
        within=(0, MOST_PULSE_SECONDS),
        remedy=SECONDS,
    )

    @property
    def noise(self) -> tuple[float, float] | None:
        """Standard deviation of a read as a share of G, and in S; None: as configured."""
        return None


@dataclass(frozen=True, kw_only=True)
class NoiseOptions(ReadOptions):
    """What a read between pulses costs, and its noise."""

    read_noise: float | None = parameter(
        None,
        "1",
        "Standard deviation of a read between pulses as a share of the conductance; None takes the "
        "noise that the configuration has for any read",
        at_least=0,
    )
    read_noise_std: float | None = parameter(
        None,
        "S",
        "Standard deviation of a read between pulses that does not depend on the conductance",
        at_least=0,
    )

    @property
    def noise(self) -> tuple[float, float] | None:
        if self.read_noise is None and self.read_noise_std is None:
            return None
        return self.read_noise or 0.0, self.read_noise_std or 0.0
