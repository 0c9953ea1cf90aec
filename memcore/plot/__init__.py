"""Pictures of devices and arrays, as matplotlib Axes; matplotlib is imported on the first call."""

from memcore._keywords import hint_all
from memcore.plot.comparison import comparison
from memcore.plot.crossbar import crossbar
from memcore.plot.cumulative import cumulative
from memcore.plot.hysteresis import hysteresis
from memcore.plot.programming import programming
from memcore.plot.pulse_response import pulse_response
from memcore.plot.switching import switching
from memcore.plot.timeline import timeline

__all__ = [
    "comparison",
    "crossbar",
    "cumulative",
    "hysteresis",
    "programming",
    "pulse_response",
    "switching",
    "timeline",
]

hint_all(globals(), __all__)
