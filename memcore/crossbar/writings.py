"""`Writings`: variants of one chip that differ in reads only are written once."""

from collections.abc import Callable

from torch import Tensor

from memcore.contracts.effect import NonIdeality
from memcore.contracts.records import Stage
from memcore.crossbar.cells import Cells, Written
from memcore.crossbar.config import CrossbarConfig

#: The name of a matrix, and what decides on what its cells hold.
_Key = tuple[str, bool, tuple[str, ...]]


class Writings:
    """What the variants of a chip were written as, some of whose effects are left out.

    Kept are those that most variants share: with none of the effects that decide on what cells
    hold, and with all of them.
    """

    def __init__(self) -> None:
        self._kept: dict[_Key, Written] = {}

    def writer(self, chip: Cells) -> Callable[[Cells, Tensor], None]:
        """What lets the cells of a variant hold weights, as the cells of the chip hold theirs.

        Args:
            chip: the cells of which variants are made.
        """

        def write(cells: Cells, weight: Tensor) -> None:
            key = _key(chip.name, cells.config)
            known = self._kept.get(key)
            if known is not None:
                cells.adopt(known)
                return
            written = cells.repeat(chip, weight)
            if not key[2] or key == _key(chip.name, chip.config):
                self._kept[key] = written

        return write

    def keep(self, chip: Cells, written: Written) -> None:
        """What the cells of the chip itself would hold if they were written as they were last."""
        self._kept[_key(chip.name, chip.config)] = written


def _key(name: str, config: CrossbarConfig) -> _Key:
    is_nominal = all(device.nominal() is device for device in config.devices)
    return name, is_nominal, tuple(name for name in config.effects if _decides(name, config))


def _decides(name: str, config: CrossbarConfig) -> bool:
    """Whether an effect has a say in what cells hold after a writing."""
    effect, programmer = config.effects[name], config.programmer
    if effect.stage is Stage.PROGRAM or type(effect).stuck_cells is not NonIdeality.stuck_cells:
        return True
    # Routines that read what they write are told of noise and wires.
    is_told = programmer is not None and not programmer.cellwise
    return is_told and effect.stage in (Stage.READ, Stage.MVM)
