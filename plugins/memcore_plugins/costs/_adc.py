"""Energy of a conversion by everything that is known of it."""

from collections.abc import Callable

from memcore import Activity, Charge, Component, ConfigError, components

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


def named(which: str | Component, bits: int) -> str | Component:
    """The component with its number of bits, where its name asks for one.

    Raises:
        ConfigError: the name asks for bits that a converter does not tell.
    """
    if not isinstance(which, str) or "{bits}" not in which:
        return which
    if not bits:
        raise ConfigError(
            f"a converter does not say how many bits it has, which {which!r} asks for; expected "
            "the name of one component of the tables instead"
        )
    return which.replace("{bits}", str(bits))


def conversion_energies(
    activity: Activity, adc: Callable[[int], tuple[Component, float]], origin: str
) -> Charge:
    """The energy of all conversions, with the lowest and the highest that is known of them.

    Args:
        activity: with the conversions of each number of bits.
        adc: gives the ADC of the tables and J of a conversion, as it is to be counted.
        origin: where these come from: `table`, `survey` or `closed_form`.
    """
    energy, lowest, highest, sources = 0.0, 0.0, 0.0, []
    for (_, bits), count in activity.adc_conversions.items():
        component, chosen = adc(bits)
        every = [*adc_energies(bits).values(), chosen]
        energy += count * chosen
        lowest, highest = lowest + count * min(every), highest + count * max(every)
        of = {"table": component.source, "survey": "andrulis24", "closed_form": "sun23"}
        sources.append(of[origin])
    source = ", ".join(dict.fromkeys(sources))
    return Charge(energy=energy, source=source, lowest=lowest, highest=highest)
