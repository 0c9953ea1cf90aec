"""What a controller sends to cells that it has read: numbers of SET and RESET pulses."""

from dataclasses import dataclass

import numpy as np

from memcore.writing.responses import Numbers, Response
from memcore.writing.selecting import Counts


@dataclass(frozen=True, eq=False)
class Aim:
    """Where cells should go, as the controller calculates it.

    Args:
        goal: targets in S, [arrays, rows x cols].
        within: accepted error in S.
        most: number of pulses of the longest train.
        responses: of the nominal device to SET and to RESET pulses.
        positions: of the targets in the responses.

    Examples:
        >>> import numpy as np
        >>> from memcore.writing import Aim, Trains
        >>> responses = Trains(most=100).responses(memcore.devices["ideal"]())
        >>> read, goal = np.array([[2e-5, 4e-5]]), np.array([[4e-5, 4e-5]])
        >>> Aim.at(goal, 1e-6, 100, responses).wanted(0, read, slice(0, 2))
        array([[20,  0]])
    """

    goal: Numbers
    within: float
    most: int
    responses: tuple[Response, Response]
    positions: tuple[Numbers, Numbers]

    @classmethod
    def at(
        cls, goal: Numbers, within: float, most: int, responses: tuple[Response, Response]
    ) -> "Aim":
        """Aim at targets in S."""
        rise, fall = responses
        return cls(goal, within, most, responses, (rise.position(goal), fall.position(goal)))

    def wanted(self, index: int, read: Numbers, cells: slice) -> Counts:
        """Number of pulses of one response that the selected cells get after a read in S."""
        response, missing = self.responses[index], self.goal[:, cells] - read
        off = (missing if response.up else -missing) > self.within
        if not np.count_nonzero(off):  # any() takes several times as long
            return off.astype(np.int64)
        needed = response.needed(read, self.positions[index][:, cells], self.goal[:, cells])
        count: Counts = (off * np.minimum(np.maximum(needed, 0), self.most)).astype(np.int64)
        return count
