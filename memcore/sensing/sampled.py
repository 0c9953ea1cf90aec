"""`sampled_sums`: the physical path beside the table: drawn cells, summed currents, references."""

from collections.abc import Sequence

import torch
from torch import Tensor

from memcore import _check
from memcore.contracts.distributions import Distribution
from memcore.errors import ConfigError
from memcore.random import Stream
from memcore.registry.specs import PluginSpec
from memcore.sensing.amplifier import References, references_of, require_rows
from memcore.sensing.cells import Ends, configured, written


def sampled_sums(
    device: PluginSpec,
    *,
    value: int,
    lines: int,
    reads: int,
    read_voltage: float = 0.6,
    references: References = "midpoint",
    spread: Distribution | None = None,
    nonidealities: Sequence[PluginSpec] = (),
    temperature: float = 300.0,
    seed: int = 0,
) -> Tensor:
    """Sums sensed on drawn cells, each read on cells of its own, int64 [reads].

    Cells are written, aged and read one by one, as those of a network; their currents are added and
    compared with the references. `sensing_table` computes the shares without drawing.

    Args:
        device: as of `sensing_table`.
        value: ideal sum, the number of open cells that store 1.
        lines: open word lines.
        reads: number of bit lines to sense.
        read_voltage: V on an open word line.
        references: as of `sensing_table`.
        spread: as of `sensing_table`.
        nonidealities: as of `sensing_table`.
        temperature: K.
        seed: the virtual chip.

    Raises:
        ConfigError: an argument does not fit.
    """
    lines = require_rows(lines)
    reads = _check.integer("reads", reads, at_least=1)
    if _check.integer("value", value, at_least=0) > lines:
        raise ConfigError(f"value={value}; expected at most {lines}, the number of open lines")
    read_voltage = _check.number("read_voltage", read_voltage, unit="V", above=0)
    config = configured(device, nonidealities, spread, read_voltage, temperature)
    ends = Ends.of(config)
    target = torch.full((lines, reads), ends.low, device="cpu")
    target[:value] = ends.high
    result, clock = written(config, target, Stream(seed))
    effects = result.effects
    settled = effects.settled(result.conductance, clock)
    voltage = torch.full((1, 1, lines), read_voltage, device="cpu")
    current = effects.currents(voltage, settled, torch.zeros(1, dtype=torch.int64, device="cpu"))
    low, high = (read_voltage * g for g in ends)
    borders = references_of(references, low, high, lines)
    return torch.bucketize(current.double().flatten(), borders)
