"""A cell with two states whose measured distributions it has."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    Empirical,
    LogNormal,
    NonIdeality,
    Parameter,
    Stage,
    fitting,
    parameter,
)
from memcore.modelling import Unpulsed, per_write
from memcore_plugins._tensor import as_tensor

_MOST: Final = 257  #: quantiles that are kept of many values
_OVERLAP: Final = 1e-4  #: probability of an on below an off from which it is remarked


@dataclass(frozen=True, kw_only=True)
class OnOff(Unpulsed):
    """Two states, each with a spread from cell to cell and one from write to write.

        G_on = g_on d_on c_on,   G_off = g_off d_off c_off,   G = (1 - x) G_off + x G_on

    with factors d that each cell has for life and factors c that are new with every write; x is the
    place of the target between g_off and g_on, 0 or 1 where weights are binary. `memcore.fit` makes
    one from a table of measured currents in both states.

    The variance of ln G among devices is divided by an analysis of variance with one random factor:
    Searle, Casella, McCulloch, *Variance Components* (1992). The defaults are round numbers without
    a spread.
    """

    g_off: float = parameter(
        1e-6, "S", "typical conductance when off; a round number", above=0, below="g_on"
    )
    g_on: float = parameter(1e-4, "S", "typical conductance when on; a round number", above=0)
    device_off: Parameter = parameter(
        1.0, "1", "factor that a cell has for life when off; 1 for no spread", above=0
    )
    device_on: Parameter = parameter(
        1.0, "1", "factor that a cell has for life when on; 1 for no spread", above=0
    )
    cycle_off: Parameter = parameter(
        1.0, "1", "factor of a write to off, new each time; 1 for no spread", above=0
    )
    cycle_on: Parameter = parameter(
        1.0, "1", "factor of a write to on, new each time; 1 for no spread", above=0
    )
    form: Literal["lognormal", "empirical"] = parameter(
        "lognormal", "1", "form of the distributions that a fit makes: lognormal, or as measured"
    )
    rows: Literal["cycles", "devices"] = parameter(
        "cycles", "1", "what the rows of a table are that does not tell devices apart, for a fit"
    )

    def conductance_range(self) -> tuple[float, float]:
        return self.g_off, self.g_on

    def effects(self) -> tuple[NonIdeality, ...]:
        return (OnOffStates(cell=self),)

    def tabulated(self, records: fitting.Records) -> fitting.Tabulation:
        """What `memcore.fit` asks for: this device with the distributions of the records.

        Raises:
            ConfigError: the records are others, or on does not conduct better than off.
        """
        cells = [each for each in records if isinstance(each, fitting.OnOffData)]
        if not cells:
            raise ConfigError(
                "OnOff takes conductances of two states; expected the columns on and off, or "
                "state and a value, or a fitting.OnOffData for each device"
            )
        groups = {name: self._groups(cells, name) for name in ("off", "on")}
        parts = {name: _parts(logs) for name, logs in groups.items()}
        self._require_ordered(parts["off"], parts["on"])
        values: dict[str, Any] = {}
        for name, part in parts.items():
            values[f"g_{name}"] = math.exp(part.mean)
            values[f"device_{name}"] = self._spread(part.devices, part.between)
            values[f"cycle_{name}"] = self._spread(part.cycles, part.within)
        made = dataclasses.replace(self, **values)
        ordered = {name: torch.cat(logs).sort().values for name, logs in groups.items()}
        places = {
            name: (torch.arange(len(y), device="cpu").double() + 0.5) / len(y)
            for name, y in ordered.items()
        }
        names = ("off", "on")
        return fitting.Tabulation(
            device=made,
            unit="S",
            abscissa=torch.cat([places[name] for name in names]),
            abscissa_name="cumulative probability",
            voltage=None,
            measured=torch.cat([ordered[name] for name in names]).exp(),
            predicted=torch.cat([made.quantiles(name, places[name]) for name in names]),
            warnings=tuple(self._remarks(cells, parts)),
        )

    def quantiles(self, state: str, probability: Tensor) -> Tensor:
        """Conductances in S of a state, "on" or "off", of cells and writes together, [n].

        Args:
            state: name of the state.
            probability: cumulative probabilities, [n].
        """
        factors = torch.ones(1, dtype=torch.float64, device="cpu")
        for spread in (getattr(self, f"device_{state}"), getattr(self, f"cycle_{state}")):
            factors = (factors[:, None] * _values(spread)).flatten()
        found: Tensor = getattr(self, f"g_{state}") * torch.quantile(
            factors, probability.double().clamp(0, 1)
        )
        return found

    def _groups(self, cells: Sequence[fitting.OnOffData], name: str) -> list[Tensor]:
        """The logarithms of a state, of each device."""
        logs = [getattr(cell, name).log() for cell in cells]
        if self.rows == "devices" and len(logs) == 1 and not cells[0].label:
            return list(logs[0].split(1))
        return logs

    def _spread(self, logs: Tensor, std: float) -> Parameter:
        """A distribution of factors about 1, with these logarithms."""
        if std == 0:
            return 1.0
        if self.form == "lognormal":
            return LogNormal(1.0, std)
        if len(logs) > _MOST:
            logs = torch.quantile(logs, torch.linspace(0, 1, _MOST, dtype=logs.dtype, device="cpu"))
        return Empirical(tuple(logs.exp().tolist()))

    def _require_ordered(self, off: "_Parts", on: "_Parts") -> None:
        if on.mean <= off.mean:
            raise ConfigError(
                f"OnOff: on has a geometric mean of {math.exp(on.mean):.4g} S and off of "
                f"{math.exp(off.mean):.4g} S; expected on above off: are the columns exchanged, or "
                "is a resistance declared as a current"
            )

    def _remarks(
        self, cells: Sequence[fitting.OnOffData], parts: "dict[str, _Parts]"
    ) -> "list[str]":
        lines = []
        if len(cells) == 1 and cells[0].label:
            lines.append(
                f"there is {cells[0].label} alone: all of the spread counts as that from write to "
                "write"
            )
        elif len(cells) == 1:
            kind = "write to write" if self.rows == "cycles" else "device to device"
            lines.append(
                f"no column tells devices apart: all of the spread counts as that from {kind} "
                "(the parameter rows says otherwise)"
            )
        elif all(part.freedom == 0 for part in parts.values()):
            lines.append(
                "there is one read of each device and state: no spread from write to write"
            )
        off, on = parts["off"], parts["on"]
        total = math.sqrt(sum(p.between**2 + p.within**2 for p in (off, on)))
        if total:
            chance = 0.5 * math.erfc((on.mean - off.mean) / total / math.sqrt(2))
            if chance > _OVERLAP:
                lines.append(
                    f"the states overlap: with {chance:.2g} an on conducts less than an off"
                )
        return lines


class _Parts(NamedTuple):
    """Parts of the variance of a logarithm.

    Args:
        mean: mean of the devices.
        between: standard deviation from device to device.
        within: standard deviation from write to write.
        devices: deviations of devices, with the variance of `between`, [devices].
        cycles: deviations of writes, with the variance of `within`, [writes].
        freedom: writes beyond the first of each device.
    """

    mean: float
    between: float
    within: float
    devices: Tensor
    cycles: Tensor
    freedom: int


def _parts(groups: Sequence[Tensor]) -> _Parts:
    """The analysis of variance of logarithms, one group for each device."""
    counts = torch.tensor([float(len(each)) for each in groups], dtype=torch.float64, device="cpu")
    means = torch.stack([each.mean() for each in groups])
    total, number = float(counts.sum()), len(groups)
    rest = torch.cat([each - each.mean() for each in groups])
    freedom = int(total) - number
    within = float(rest.square().sum()) / freedom if freedom else 0.0
    between = 0.0
    if number > 1:
        grand = float((counts * means).sum()) / total
        among = float((counts * (means - grand).square()).sum()) / (number - 1)
        size = (total - float(counts.square().sum()) / total) / (number - 1)
        between = max((among - within) / size, 0.0)
    weight = 1 / (between + within / counts) if between + within else counts
    mean = float((weight * means).sum() / weight.sum())
    devices, cycles = means - mean, rest
    if between and within:  # the means of devices hold a part of what differs from write to write
        devices, cycles = _scaled(devices, between), _scaled(cycles, within)
    return _Parts(mean, math.sqrt(between), math.sqrt(within), devices, cycles, freedom)


def _scaled(values: Tensor, variance: float) -> Tensor:
    """The same deviations, so that their quantiles have a variance."""
    a, b = (side for side in values.sort().values.unfold(0, 2, 1).unbind(1))
    own = float((a * a + a * b + b * b).mean() / 3 - ((a + b).mean() / 2) ** 2)
    return values * math.sqrt(variance / own) if own > 0 else values


def _values(spread: Parameter) -> Tensor:
    """Many equally likely values of a factor."""
    place = (torch.arange(_MOST, dtype=torch.float64, device="cpu") + 0.5) / _MOST
    if isinstance(spread, LogNormal):
        return spread.median * torch.exp(spread.sigma * math.sqrt(2) * torch.erfinv(2 * place - 1))
    if isinstance(spread, Empirical):
        return torch.quantile(torch.tensor(spread.values, dtype=torch.float64, device="cpu"), place)
    return as_tensor(spread, dtype=torch.float64).reshape(-1)


@dataclass(frozen=True, kw_only=True)
class OnOffStates(NonIdeality):
    """Where a write leaves a cell, by the factors that it has for life and those of the write."""

    stage = Stage.PROGRAM
    cellwise = True
    cell: OnOff = parameter(None, "1", "device that the effect belongs to")

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        factors = [self._factors(name, array, ctx) for name in ("off", "on")]
        return _Between(self.cell.conductance_range(), *factors)

    def _factors(self, name: str, array: ArrayInfo, ctx: Context) -> Tensor:
        """The factors of each cell in a state, [arrays, rows, cols]."""
        life = _drawn(getattr(self.cell, f"device_{name}"), ctx.child("life", name), array)
        write = _drawn(getattr(self.cell, f"cycle_{name}"), per_write(ctx).child(name), array)
        return life * write


def _drawn(spread: Parameter, ctx: Context, array: ArrayInfo) -> Tensor:
    if isinstance(spread, float | int | Tensor):
        given = torch.as_tensor(spread, dtype=torch.float32, device=ctx.torch_device)
        return given.expand(array.shape)
    return spread.sample(ctx.random, array.shape, device=ctx.torch_device)


class _Between(nn.Module):
    off: Tensor
    on: Tensor

    def __init__(self, ends: tuple[float, float], off: Tensor, on: Tensor) -> None:
        super().__init__()
        low, high = ends
        self.low, self.span = low, high - low
        self.register_buffer("off", low * off)
        self.register_buffer("on", high * on)

    def forward(self, g: Tensor) -> Tensor:
        """Conductances after writing."""
        x = ((g - self.low) / self.span).clamp(0, 1)
        return torch.lerp(self.off.to(g.dtype), self.on.to(g.dtype), x)
