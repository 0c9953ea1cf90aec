"""`Component`: one row of the tables, an ADC for instance, with the source of its figures."""

from dataclasses import dataclass

from memcore.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Component:
    """Figures of one component; a figure that its source does not give is None.

    Args:
        name: name in the tables.
        kind: kind of the component, such as `"adc"`.
        technology: technology node in m.
        bits: resolution, or width of a word.
        rate: operations each second.
        energy: energy of one operation in J, as the source gives it.
        area: area in m^2.
        latency: time of one operation in s.
        power: power while it works in W.
        leakage: power while it rests in W.
        condition: what one operation is, and under which conditions the figures hold.
        source: key of the source in the bibliography.
        location: where in the source.
        measured: whether the figures were measured on silicon, not simulated or scaled.
        note: doubts and remarks.
    """

    name: str
    kind: str
    technology: float | None = None
    bits: int | None = None
    rate: float | None = None
    energy: float | None = None
    area: float | None = None
    latency: float | None = None
    power: float | None = None
    leakage: float | None = None
    condition: str = ""
    source: str = ""
    location: str = ""
    measured: bool = False
    note: str = ""

    @property
    def energy_of_use(self) -> float | None:
        """Energy of one operation in J: as given, or power / rate, or power times latency."""
        if self.energy is not None:
            return self.energy
        if self.power is None:
            return None
        if self.rate is not None:
            return self.power / self.rate
        return None if self.latency is None else self.power * self.latency

    def need(self, figure: str) -> float:
        """A figure that must be there: `"area"` for instance.

        Raises:
            ConfigError: the source of the component does not give it.
        """
        value = getattr(self, figure)
        if value is None:
            raise ConfigError(
                f"component {self.name!r} has no {figure.replace('_', ' ')} in its source "
                f"({self.source or 'none'}); expected another component, or a row of your own for "
                "it in a CSV file"
            )
        return float(value)
