"""Energy of a conversion by everything that is known of it."""

from memcore import components

_LINEAR, _EXPONENTIAL = 100e-15, 1e-18  #: J for each bit, J for each 4^bits, at 1 V
_SUPPLY = 0.9  #: V, at 28 nm


def closed_form(bits: int) -> float:
    """J, of a conversion at 28 nm and 0.9 V; Sun et al., ICCAD 2023."""
    return (_LINEAR * bits + _EXPONENTIAL * 4.0**bits) * _SUPPLY**2


def adc_energies(bits: int) -> dict[str, float]:
    """J, of a conversion by each ADC and fit of the tables and by the closed form."""
    rows = [each for each in components.values() if each.kind in ("adc", "adc_survey")]
    found = {each.name: each.energy_of_use for each in rows if each.bits == bits}
    known = {name: energy for name, energy in found.items() if energy is not None}
    return {**known, "closed form, 28 nm": closed_form(bits)}


def survey_name(bits: int, node: float, rate: float) -> str:
    """The row of the fit to the survey for a node in m and conversions each second."""
    speed = "1280ms" if rate > 1e8 else "100ms"
    return f"survey_adc_{bits}b_{round(node * 1e9)}nm_{speed}"
