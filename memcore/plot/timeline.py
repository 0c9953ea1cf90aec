"""Which stage works when: a Gantt chart."""

from typing import TYPE_CHECKING, Final

import torch

from memcore.contracts.schedule import Timeline
from memcore.errors import ConfigError
from memcore.plot import axes as common

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_STAGES: Final = 60  #: rows beyond this number cannot be read


def timeline(timeline: Timeline, *, unit: str = "s", ax: "Axes | None" = None) -> "Axes":
    """Draw when each stage of a schedule works, one row a stage, the first at the top.

    Items take turns in two shades.

    Args:
        timeline: schedule, as `list_schedule`, a cost model or a cost report has it.
        unit: unit of its times; `"cycles"` for instance.
        ax: Axes to draw on; by default in a new figure.

    Raises:
        ConfigError: nothing is scheduled, or in too many stages to draw.
    """
    stages = timeline.stages
    if not stages or len(stages) > _MOST_STAGES:
        raise ConfigError(
            f"the schedule has {len(stages)} stages; expected 1 to {_MOST_STAGES} to draw"
        )
    ax = common.axes(ax)
    times = torch.tensor(
        [(span.start, span.end) for span in timeline.spans], dtype=torch.float64, device="cpu"
    )
    shown, label = common.scaled(times, unit) if unit == "s" else (times.numpy(), unit)
    for row, stage in enumerate(stages):
        own = [n for n, span in enumerate(timeline.spans) if span.stage == stage]
        ax.broken_barh(
            [(shown[n, 0], shown[n, 1] - shown[n, 0]) for n in own],
            (row - 0.4, 0.8),
            facecolors=[common.COLOURS[4 * (timeline.spans[n].item % 2)] for n in own],
            edgecolor="white",
            linewidth=0.3,
        )
    ax.set_yticks(range(len(stages)), stages)
    ax.invert_yaxis()
    ax.set(xlabel=f"time / {label}", ylabel="stage")
    return ax
