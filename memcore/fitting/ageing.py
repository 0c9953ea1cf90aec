"""What an effect of ageing predicts for the cells of a retention measurement."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from memcore._tensor import as_tensor
from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Aging
from memcore.contracts.records import Context, Stage
from memcore.errors import ConfigError
from memcore.fitting.mixed import Numbers
from memcore.fitting.retention_data import RetentionData
from memcore.random import Stream

_REFUSED: Final = (ConfigError, ArithmeticError, ValueError)
_LOWEST: Final = 1e-300


@runtime_checkable
class Retaining(Protocol):
    """An effect of `Stage.AGE` that says how it is fitted to a retention measurement."""

    #: The parameters to fit by default. For each the distribution that tells how cells differ,
    #: `Normal` or `LogNormal`; None for a parameter that is the same for all.
    fitted: ClassVar[Mapping[str, type[Distribution] | None]]

    def anchored(self, conductance: Tensor, window: tuple[float, float] | None) -> Self:
        """The same effect with what it would take from a device, taken from the data.

        Args:
            conductance: first conductance of each cell in S, [cells].
            window: window of the device in S; None if no device was given.

        Raises:
            ConfigError: the effect cannot be fitted to such data.
        """


def require_retaining(effect: NonIdeality) -> None:
    """Refuse an effect that changes nothing in time.

    Raises:
        ConfigError: it acts at another stage.
    """
    if effect.stage is not Stage.AGE:
        raise ConfigError(
            f"{type(effect).__name__} acts at {effect.stage.name}; expected an effect of ageing, "
            "such as 'drift' or 'retention'"
        )


class Reads:
    """The reads of all cells, one cell after the other.

    Attributes:
        time: times since the write in s, [samples].
        logs: ln of the conductances in S, [samples].
        cell: number of the cell of each sample, [samples].
        cells: number of cells.
        first: ln of the first conductance of each cell, [cells].
    """

    def __init__(self, records: Sequence[RetentionData]) -> None:
        self.time: Numbers = torch.cat([each.time for each in records]).numpy()
        self.logs: Numbers = torch.cat([each.conductance for each in records]).log().numpy()
        counts = [len(each.time) for each in records]
        self.cell: npt.NDArray[np.int64] = np.repeat(np.arange(len(records)), counts)
        self.cells = len(records)
        self._begins = np.cumsum([0, *counts[:-1]])
        self.first: Numbers = self.logs[self._begins]

    def means(self, values: Numbers) -> Numbers:
        """The mean of the samples of each cell, [cells]."""
        means: Numbers = np.add.reduceat(values, self._begins) / np.bincount(self.cell)
        return means


class AgeingModel:
    """The logarithms of the conductances of cells, as an effect has them in time.

    Args:
        effect: effect, whose other parameters are kept.
        device: device with the window of the cells.
        reads: reads to predict.
        temperature: temperature at which time passed, in K.
    """

    def __init__(
        self, effect: NonIdeality, device: Memristor, reads: Reads, temperature: float
    ) -> None:
        self.effect, self.device, self.reads = effect, device, reads
        self.temperature = temperature
        self.moments, self.moment = np.unique(reads.time, return_inverse=True)
        form, _ = self._form(effect, as_tensor(reads.first).exp().reshape(1, 1, -1))
        if isinstance(form, Aging) and form.clock != "seconds":
            raise ConfigError(
                f"{type(effect).__name__} counts {form.clock}; expected an effect of time, such as "
                "'drift' or 'retention'"
            )

    def predict(self, values: Mapping[str, Any], levels: Numbers) -> Numbers:
        """The logarithm of each read, [samples]; NaN if the effect refuses the values.

        Args:
            values: parameters, numbers or [cells].
            levels: ln of the conductance of each cell right after the write, [cells].
        """
        cells = {
            name: as_tensor(value, dtype=torch.float64).reshape(1, 1, -1)
            if np.ndim(value)
            else float(value)
            for name, value in values.items()
        }
        try:
            effect = dataclasses.replace(self.effect, **cells)  # type: ignore[type-var]
            with torch.no_grad():
                return self._logs(effect, as_tensor(levels).exp().reshape(1, 1, -1))
        except _REFUSED:
            return np.full_like(self.reads.logs, np.nan)

    def _form(self, effect: NonIdeality, g: Tensor) -> tuple[nn.Module, Tensor]:
        """What ages the cells, and the pace of its clock."""
        array = ArrayInfo(
            arrays=1, rows=1, cols=g.shape[-1], device=self.device, nominal=self.device, target=g
        )
        form = effect.bind(array, Context(random=Stream(0), temperature=self.temperature))
        if not isinstance(form, Aging):
            return form, torch.ones((), dtype=torch.float64, device="cpu")
        here = torch.tensor([self.temperature], dtype=torch.float64, device="cpu")
        return form, form.acceleration(here)[..., 0]

    def _logs(self, effect: NonIdeality, g: Tensor) -> Numbers:
        form, pace = self._form(effect, g)
        aged = torch.stack([form(g, pace * t).reshape(-1) for t in self.moments.tolist()])
        chosen = aged[as_tensor(self.moment), as_tensor(self.reads.cell)]
        logs: Numbers = chosen.double().clamp(min=_LOWEST).log().numpy()
        return logs
