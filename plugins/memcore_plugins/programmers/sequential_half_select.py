"""Half-select: writing cell after cell, or row after row, while the neighbours see a share."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from memcore import ArrayInfo, ConfigError, Context, Programmed, circuit, parameter
from memcore.writing import (
    SHARES,
    Aim,
    ArrayCells,
    ByNetwork,
    ByShares,
    LineOptions,
    Network,
    NoiseOptions,
    Path,
    PulseOptions,
    SequentialLoop,
    Trains,
    View,
    as_numbers,
)


@dataclass(frozen=True, kw_only=True)
class SequentialHalfSelect(PulseOptions, LineOptions, NoiseOptions):
    """Write the cells of each array in sequence; neighbours on driven lines see part of the pulse.

    A selected cell sees V. In a passive array the others on its word or bit line see V/2 and the
    rest nothing (`V/2`), or the others see V/3 and the rest -V/3 (`V/3`), or the lines that are not
    selected are open and sneak currents decide (`floating`). They move by the same `step` as the
    selected one, before or after their own turn. With `1t1r` the transistors of the other cells are
    off and nothing is disturbed.

    The wires of the configuration, those of `ir_drop` for instance, act while the cells are written
    too. Every cell moves by the voltage that is left of it, solved with all cells of the array
    (`memcore.circuit`), or, with `1t1r`, behind the lines that lead to it. As the voltage changes
    while cells move, a train is cut into parts, each so short that it makes no difference of more
    than `accuracy` whether cells see the voltage of its beginning or the mean of both ends. The
    arrays of a layer are written in step, and their trains are cut alike.

    At its turn a cell is read and gets the number of SET or RESET pulses that takes the nominal
    device from there to the target, which is applied as one pulse of their total width. `passes`
    go over the array again; cells inside the tolerance are left alone, so that many passes are a
    write-verify in the array. By rows, all cells of a word line are written together, first those
    to SET, then those to RESET. `verified` is what a read after the last pass says; reads see the
    cell alone. Energy is counted in the cells where it is spent, neighbours included, and that of
    wires and transistors in the selected ones; `time` and `pulses` for the selected cell alone.

    Voltages that are not given are those among 0.1 to 8 V that take the nominal device across its
    window and disturb its neighbours least; widths are the longest that move no state of it further
    than the tolerance. A device without a threshold cannot be written this way: voltages of word
    and bit lines add up to single cells only where the response is non-linear. A rewrite starts
    from what the cells hold.
    """

    incremental = True
    lines = "network"

    scheme: str = parameter(
        "V/2",
        "1",
        "What lines that are not selected are connected to: `V/2` and `V/3` to parts of the "
        "voltage, `floating` to nothing",
    )
    cell: Literal["passive", "1t1r"] = parameter(
        "passive", "1", "Bare cells, or cells with an access transistor each"
    )
    order: Literal["cell", "row"] = parameter(
        "cell", "1", "What is written at a time: a cell, or all cells of a word line"
    )
    accuracy: float = parameter(
        0.002,
        "1",
        "Largest error of each part of a train behind wires, as a share of the window",
        above=0,
    )
    passes: int = parameter(1, "1", "Number of times to go over the array", above=0, at_most=10_000)
    tolerance: float = parameter(
        0.02, "1", "Accepted error as a share of the nominal window", above=0
    )
    max_pulses: int = parameter(1 << 24, "1", "Most pulses of one train", above=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scheme", circuit.scheme_named(self.scheme))
        if self.scheme not in SHARES:
            raise ConfigError(
                f"scheme={self.scheme!r}; expected one of {', '.join(map(repr, SHARES))}: other "
                "cells of a word line would see the whole voltage"
            )
        if self.cell == "1t1r" and self.scheme == "floating":
            raise ConfigError(
                "scheme='floating' with cell='1t1r'; expected cell='passive': behind a "
                "transistor that is off it does not matter what its lines are connected to"
            )
        access = "transistor" if self.gate_line is None else "gate_line"
        if self.cell == "passive" and (self.transistor or self.gate_line is not None):
            raise ConfigError(
                f"{access}={getattr(self, access)!r} with cell='passive'; expected cell='1t1r': "
                "bare cells have no transistor"
            )
        if self.current_limit is not None and (self.cell, self.order) != ("1t1r", "cell"):
            raise ConfigError(
                f"current_limit={self.current_limit!r} with cell={self.cell!r} and "
                f"order={self.order!r}; expected cell='1t1r' and order='cell': else the current of "
                "a line is that of many cells, and the limit of one is not known"
            )

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the voltage on other cells of the selected lines, and on all the rest."""
        return SHARES[circuit.scheme_named(self.scheme)] if self.cell == "passive" else (0.0, 0.0)

    def program(self, array: ArrayInfo, target: Tensor, ctx: Context) -> Programmed:
        ctx = dataclasses.replace(ctx, torch_device=target.device)
        array = self.behind_lines(array)
        responses = Trains(
            set=self.wanted(up=True),
            reset=self.wanted(up=False),
            most=self.max_pulses,
            share=self.shares[0],
            step=self.tolerance,
        ).responses(array.nominal)
        cells = ArrayCells.of(array, target, ctx, reads=self)
        path = self.path(array, target.device)
        path.warn_without_headroom([response.pulse for response in responses])
        low, high = array.nominal.nominal_range()
        goal, within = as_numbers(target.reshape(cells.number.shape)), self.tolerance * (high - low)
        return SequentialLoop(
            cells,
            self._view(path, cells.number),
            Aim.at(goal, within, self.max_pulses, responses),
            target,
            order=self.order,
            accuracy=self.accuracy * (high - low),
        ).run(self.passes)

    def _view(self, path: Path, number: Tensor) -> View:
        """The whole circuit decides what cells see unless only one of them conducts."""
        array, scheme = path.array, circuit.scheme_named(self.scheme)
        one_conducts = self.cell == "1t1r" and self.order == "cell"
        joined = path.resists or array.layout.parts > 1
        if scheme == "floating" or (joined and not one_conducts):
            transistor = self.access if self.cell == "1t1r" else None
            return ByNetwork(Network(array, scheme, transistor))
        return ByShares(path, number, self.shares)
