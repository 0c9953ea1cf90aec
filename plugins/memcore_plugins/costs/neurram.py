"""NeuRRAM: energy and time of operations, fitted to measurements of the chip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from memcore import Charge, CostModel, LayerWork, components, parameter

#: Input and output bits of the four measurements that the fit takes; the others check it.
_FITTED = ((1, 3), (4, 6), (6, 8), (8, 10))
_CORES, _WIDTH = 48, 256  #: cores of the chip; word lines, bit lines and neurons of a core


@dataclass(frozen=True, kw_only=True)
class Neurram(CostModel):
    r"""Energy and time of an operation on the NeuRRAM chip at 130 nm.

    $E = e_0 + e_1 m$ and $t = t_0 + t_1 m + t_2 m^2$, where $m = \max(1, b - 1)$ is the number of
    magnitude bits of inputs of $b$ bits: a sign costs no pulse. Wan et al., Nature 608:504, 2022.
    """

    input_bits: int = parameter(4, "bits", "bits of an input with its sign", within=(1, 8))

    needs_arrays = False
    leaves_out = (
        "area of anything but neurons",
        "reload of weights that do not fit on the chip",
        "pools and sums of branches",
        "programming",
    )

    @property
    def technology(self) -> float:
        return 130e-9

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {}
        high, wide = ceil(2 * layer.rows / _WIDTH), ceil(layer.cols / _WIDTH)
        return {"cores": layer.groups * high * wide, "operations": 2 * layer.macs}

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        if layer.kind != "matrix":
            return {}
        done = self.events(layer)
        used = min(done["cores"], _CORES) / _CORES
        neuron = components["neurram_neuron"]
        return {
            "cores": Charge(
                energy=done["operations"] * self.energy,
                time=done["operations"] * self.time / used,
                source="neurram22",
            ),
            "neurons": Charge(
                area=done["cores"] * _WIDTH * neuron.need("area"), source=neuron.source
            ),
        }

    def figures(self, layers: Sequence[LayerWork]) -> Mapping[str, float]:
        del layers
        return {"efficiency": 1 / self.energy, "rate": 1 / self.time}

    @property
    def energy(self) -> float:
        """J, of one operation; a multiplication with its addition is two."""
        return _fitted("energy", self.input_bits, 1)

    @property
    def time(self) -> float:
        """s, for each operation of the whole chip."""
        return _fitted("rate", self.input_bits, 2)


def _fitted(figure: str, bits: int, degree: int) -> float:
    """A polynomial of the magnitude bits with the smallest relative errors."""
    rows = [components[f"neurram_chip_{i}b_{o}b"] for i, o in _FITTED]
    values = np.array([row.need(figure) for row in rows])
    values = 1 / values if figure == "rate" else values
    magnitudes = np.array([_magnitude(i) for i, _ in _FITTED], dtype=float)
    fit = np.polynomial.Polynomial.fit(magnitudes, values, degree, w=1 / values)
    return float(fit(_magnitude(bits)))


def _magnitude(bits: int) -> int:
    return max(1, bits - 1)
