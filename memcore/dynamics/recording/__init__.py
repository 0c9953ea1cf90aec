"""Records a device's `step` once and turns it into a program for the native simulator.

The plain-torch `step` stays the only definition of the physics: it is run once on tensors without
data, its elementwise operations are noted (`trace`), sorted by how often they must run (`lower`)
and handed to `run`. What cannot be recorded faithfully raises a `RecordingError`.
"""

from memcore.dynamics.recording.lower import Program, lower
from memcore.dynamics.recording.trace import Recording, record, record_change, record_power

__all__ = ["Program", "Recording", "lower", "record", "record_change", "record_power"]
