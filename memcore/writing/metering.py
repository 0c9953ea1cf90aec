"""What pulses spend, told natively where what a device does can be recorded."""

from functools import partial
from typing import Final, cast

import torch
from torch import Tensor

from memcore.contracts.device import Memristor
from memcore.dynamics.recording.pulse import PulseModel
from memcore.dynamics.recording.trace import Power
from memcore.errors import RecordingError
from memcore.writing import energy
from memcore.writing.cells import CellModel, CellParameters, WithStuck
from memcore.writing.pulsing import remembered

_SOME: Final = 3  #: cells that are recorded; any number of them do the same, but not a single one


_DTYPES: Final = frozenset({torch.float32, torch.float64})


def of_cell(device: CellModel, state: Tensor, voltage: Tensor) -> Tensor:
    """Power in W of cells that see the whole voltage, [*cells]."""
    return voltage * device.current(state, voltage)


def behind_lines(
    device: CellModel, state: Tensor, voltage: Tensor, applied: Tensor, ohm: Tensor
) -> Tensor:
    """Power in W of ohmic cells and of the lines that lead to them, [*cells].

    Args:
        device: the model of the cells.
        state: [k, *cells].
        voltage: that moves the cells, which has no part in it.
        applied: voltage in V at the ends of the lines, [*cells].
        ohm: resistance of the lines in ohm, [*cells].
    """
    del voltage
    return applied * device.current(state, applied / (1 + ohm * device.conductance(state)))


class PulseMeter:
    """The energy of pulses to some of the cells of an array, as `energy_of` tells it.

    Args:
        parameters: of the cells.
        power: `of_cell` or `behind_lines`.
        given: number of tensors that the power takes besides.
    """

    def __init__(self, parameters: CellParameters, power: Power, given: int = 0) -> None:
        self.parameters, self.power, self.given = parameters, power, given
        self._models: dict[tuple[torch.dtype, int], PulseModel | None] = {}

    def energy(
        self,
        device: CellModel,
        ends: tuple[Tensor, Tensor],
        voltage: Tensor,
        width: float,
        *given: Tensor,
    ) -> Tensor | None:
        """Energy in J of each cell, [*cells]; None where only Python can tell it.

        Args:
            device: the model of the cells.
            ends: states before and after the pulse, [k, *cells].
            voltage: that moves the cells in V, [*cells].
            width: of the pulse in s.
            given: what the power takes besides, [*cells] each.
        """
        if not _is_plain(*ends, voltage, *given):
            return None
        kind = voltage.dtype, ends[0].shape[0]
        if kind not in self._models:
            self._models[kind] = self._recorded(*kind)
        model = self._models[kind]
        if model is None:
            return None
        spent = model.energy(_bare(device), ends, voltage, width, given, energy.precision())
        if isinstance(device, WithStuck):
            stays = width * self.power(device, ends[0], voltage, *given)
            spent = torch.where(device.at.isnan(), spent, stays)
        return spent

    def _recorded(self, dtype: torch.dtype, rows: int) -> PulseModel | None:
        device = _bare(self.parameters.pick(torch.zeros(_SOME, dtype=torch.int64, device="cpu")))
        tensors = [value for value in vars(device).values() if isinstance(value, Tensor)]
        if any(t.numel() != 1 and t.shape != (_SOME,) for t in tensors):
            return None
        find = _model if tensors else partial(remembered, _model)
        found: PulseModel | None = find(device, dtype, rows, self.power, self.given)
        return found


def _bare(device: CellModel) -> Memristor:
    """The device itself, of cells of which some may be stuck."""
    return cast(Memristor, device.device if isinstance(device, WithStuck) else device)


def _model(
    device: Memristor, dtype: torch.dtype, rows: int, power: Power, given: int
) -> PulseModel | None:
    """The recorded model, None if there can be none."""
    try:
        return PulseModel.of(
            device, torch.empty(rows, _SOME, dtype=dtype, device="cpu"), power, given
        )
    except RecordingError:
        return None


def _is_plain(*tensors: Tensor) -> bool:
    """Whether the native module can read them: numbers of one kind on the CPU, no gradients."""
    dtype = tensors[0].dtype
    if dtype not in _DTYPES or not tensors[0].numel():
        return False
    return all(t.dtype == dtype and t.is_cpu and not t.requires_grad for t in tensors)
