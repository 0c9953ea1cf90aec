"""`Surroundings`: what is around the arrays of a matrix, for reads of other cells."""

from typing import Any

from memcore.contracts.forms import SerialLevels
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.readers.periphery import Periphery


class Surroundings:
    """Converters and groups of word lines, found out again where they have changed only."""

    def __init__(self) -> None:
        self._forms: tuple[Any, ...] = ()
        self._around: Periphery | None = None

    def of(self, crossbar: Crossbar) -> Periphery | None:
        """What is around arrays now.

        None where inputs are not applied at once, or outputs not converted by equidistant levels
        without noise.
        """
        # A converter with another range has another form.
        forms = crossbar.input.form, crossbar.output.form, crossbar.plan
        if len(self._forms) != 3 or any(
            a is not b for a, b in zip(forms, self._forms, strict=True)
        ):
            self._forms, self._around = forms, _around(crossbar)
        return self._around

    def __getstate__(self) -> dict[str, Any]:
        return {"_forms": (), "_around": None}


def _around(crossbar: Crossbar) -> Periphery | None:
    dac, adc = crossbar.input.form, crossbar.output
    if isinstance(dac, SerialLevels) or crossbar.packing.count > 1:
        return None
    levels = adc.levels if adc.converter is not None else []
    if levels is None or any(adc.noises):
        return None
    volts, plan = crossbar.input_scale, crossbar.plan
    return Periphery(0, dac, levels[0] if levels else None, volts, plan, crossbar.constant)
