"""`Observer`: reads that set the ranges of converters, or count what these clip."""

from torch import Tensor

from memcore import _check
from memcore.crossbar.calibrated import Calibrated
from memcore.errors import ConfigError


class Observer:
    """Looks at what reads bring to the converters of some arrays.

    Args:
        name: qualified name of the matrix, for messages.
        dac: converter of the inputs.
        adc: converter of the currents.
    """

    def __init__(self, name: str, dac: Calibrated, adc: Calibrated) -> None:
        self.name = name
        self.dac, self.adc = dac, adc
        #: `"input"` or `"output"` while reads set its range, `"clipping"` while they count what the
        #: ranges clip, None while nobody looks.
        self.port: str | None = None
        self._before = 1.0  #: the largest input before its range is set anew

    def turn(self, port: str | None, gain: Tensor) -> None:
        """Look at another port from now on; the gain is that of the lanes, [lanes, ...]."""
        if self.port == "output":
            self.adc.agree(gain)
        self._keep_outputs(port)
        self.port = port
        for each in (self.dac, self.adc):
            each.forget() if port is None else each.restart()
        if port == "input":
            self.dac.reset()
        if port in ("input", "output"):
            self.adc.reset()

    def _keep_outputs(self, port: str | None) -> None:
        """Let an ADC whose range training has found cover the same outputs with another DAC."""
        largest = float(self.dac.range.abs().max())
        if port == "input":
            self._before = self._before if self.port == "input" else largest
        elif self.port == "input" and self.adc.is_learned and largest > 0 and self._before > 0:
            self.adc.rescale(self._before / largest)

    def see_inputs(self, x: Tensor) -> None:
        """Look at inputs before the DAC."""
        if self.port == "input":
            self.dac.observe(x)
        else:
            self.dac.note(x)

    def see_currents(self, current: Tensor) -> None:
        """Look at currents before the ADC."""
        if self.port == "output":
            self.adc.observe(current)
        self.adc.note(current)

    def require_typical(self, x: Tensor) -> None:
        """Refuse inputs of which no range can be taken.

        Raises:
            ConfigError: they are no real numbers, or there are infinite values or NaN.
        """
        name = f"the input of layer {self.name!r}"
        _check.tensor(name, x, "[n, groups, rows]", "units of the network")
        wrong = int((~x.isfinite()).sum())
        if wrong:
            raise ConfigError(
                f"layer {self.name!r} cannot be calibrated: {wrong} of {x.numel()} values at "
                "its inputs are NaN or infinite; expected finite ones"
            )
