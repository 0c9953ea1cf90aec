"""Whether the amplitudes in a column of directions are those of the pulses of the device."""

from collections.abc import Iterable
from typing import Any, Final

from memcore.contracts.device import Memristor
from memcore.fitting.measurements import PulseData

_SAME: Final = 0.02  #: share by which amplitudes of measurement and device may differ
_UNITS: Final = (1.0, 1e-3)  #: of the amplitudes, V or mV, which nobody declares


def unlike(records: Iterable[Any], device: Memristor) -> tuple[str, ...]:
    """A remark on amplitudes that tell directions, where the device has others.

    Energy and time follow from the amplitudes of the device; those of a column of directions have
    no unit and tell the sign only. Pure signs, 1 and -1, are no amplitudes.

    Args:
        records: measured data, of which those of pulses count.
        device: the device that describes them.
    """
    told = [r.amplitudes for r in records if isinstance(r, PulseData) and r.amplitudes is not None]
    pulses = device.set_pulse, device.reset_pulse
    if not told or pulses[0] is None or pulses[1] is None:
        return ()
    given, own = told[0], (pulses[0][0], pulses[1][0])
    if given == (1.0, -1.0) or any(_alike(given, own, unit) for unit in _UNITS):
        return ()
    return (
        f"the column direction has the amplitudes {given[0]:g} and {given[1]:g}, of which the sign "
        f"counts only: the pulses of the device have {own[0]:g} V and {own[1]:g} V, from which its "
        f"energy follows{_remedy(given, device)}",
    )


def _alike(given: tuple[float, float], own: tuple[float, float], unit: float) -> bool:
    """Whether the magnitudes agree with those of the device; signs depend on its polarity."""
    return all(
        abs(unit * abs(one) - abs(other)) <= _SAME * abs(other)
        for one, other in zip(given, own, strict=True)
    )


def _remedy(given: tuple[float, float], device: Memristor) -> str:
    """How to say them to a device that has parameters for them."""
    if not (hasattr(device, "v_set") and hasattr(device, "v_reset")):
        return ""
    return f"; say v_set={given[0]:g} and v_reset={given[1]:g} by fixed, if they are in V"
