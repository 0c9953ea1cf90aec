"""PUMA: accesses of a node of tiles of cores, priced one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2

from memcore import Charge, CostModel, LayerWork, components, parameter
from memcore_plugins.costs import _puma

_ROWS = 128  #: word lines and bit lines of an MVMU
_STAGES, _HOPS = 2, 31  #: of the pipeline behind the ADCs; cycles of the network at low load


@dataclass(frozen=True, kw_only=True)
class Puma(CostModel):
    """The accesses of PUMA: MVMUs of 128 x 128, 16-bit numbers on 2-bit cells, bit-serial inputs.

    Counts follow from the shape of a matrix; there is no instruction set and no compiler. Each
    vector waits for the one before. Ankit et al., ASPLOS 2019.
    """

    mvmus_per_core: int = parameter(2, "1", "MVMUs of a core", above=0)
    cores_per_tile: int = parameter(8, "1", "cores of a tile", above=0)
    adc_bits: int = parameter(8, "bits", "bits of an ADC: 1 to 9, or 16", above=0)
    dac_bits: int = parameter(1, "bits", "bits of an input applied at once", above=0)
    cell_bits: int = parameter(2, "bits", "bits of a cell", above=0)
    weight_bits: int = parameter(16, "bits", "bits of a weight", above=0)
    input_bits: int = parameter(16, "bits", "bits of an input", above=0)
    frequency: float = parameter(1e9, "Hz", "clock", above=0)

    needs_arrays = False
    leaves_out = (
        "instruction memories",
        "polls of empty memories",
        "chip link",
        "overlap of vectors and of layers",
        "pools and sums of branches",
        "programming",
    )

    @property
    def technology(self) -> float:
        return 32e-9

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {}
        size, counts = self._sizes(layer), self._counts(layer)
        counts = {name: layer.vectors * count for name, count in counts.items()}
        return {
            **size,
            **counts,
            "cycles": round(layer.vectors * sum(self._cycles(layer).values())),
        }

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        if layer.kind != "matrix":
            return {}
        counts, cycles, size = self._counts(layer), self._cycles(layer), self._sizes(layer)
        clock = layer.vectors / self.frequency
        leakage = size["cores"] * _puma.core_leakage() + size["tiles"] * _puma.TILE_LEAKAGE
        leakage += components["puma_router"].need("leakage")
        charges = {
            name: Charge(
                energy=layer.vectors * count * self._energy(name),
                time=clock * cycles.get(name, 0),
                source="puma19",
            )
            for name, count in counts.items()
        }
        charges["leakage"] = Charge(energy=leakage * clock * sum(cycles.values()), source="puma19")
        charges["tiles"] = Charge(
            area=size["tiles"] * _puma.tile_area(self.cores_per_tile), source="puma19"
        )
        return charges

    def figures(self, layers: Sequence[LayerWork]) -> Mapping[str, float]:
        del layers
        return {"node_area": _puma.node_area()}

    def _energy(self, name: str) -> float:
        if name == "adc":
            return components[f"puma_adc_{self.adc_bits}b"].need("energy")
        return _puma.energy(name)

    @property
    def _digits(self) -> tuple[int, int]:
        """Steps of the input and slices of the weight."""
        return ceil(self.input_bits / self.dac_bits), ceil(self.weight_bits / self.cell_bits)

    def _sizes(self, layer: LayerWork) -> dict[str, int]:
        mvmus = ceil(layer.rows / _ROWS) * ceil(layer.cols / _ROWS) * layer.groups
        cores = ceil(mvmus / self.mvmus_per_core)
        return {"mvmus": mvmus, "cores": cores, "tiles": ceil(cores / self.cores_per_tile)}

    def _exchanges(self, layer: LayerWork) -> tuple[int, int]:
        """Row tiles, and additions of partial sums between cores."""
        high = ceil(layer.rows / _ROWS)
        across = ceil(layer.cols / _ROWS) * layer.groups
        return high, across * (ceil(high / self.mvmus_per_core) - 1)

    def _counts(self, layer: LayerWork) -> dict[str, int]:
        """Accesses for one vector."""
        steps, slices = self._digits
        size, (high, exchanged) = self._sizes(layer), self._exchanges(layer)
        m, tiles = size["mvmus"], size["tiles"]
        inputs, outputs = ceil(layer.rows * layer.groups / 16), ceil(layer.cols * layer.groups / 16)
        n = layer.cols * layer.groups
        edram = tiles * inputs + 8 * m + 16 * exchanged + 2 * outputs
        return {
            "crossbar": m * steps * slices,
            "adc": m * steps * slices * _ROWS,
            "sample_hold": m * steps * slices * _ROWS,
            "dac": m * steps * _ROWS,
            "shift_add": m * steps * _ROWS * (slices + 1),
            "input_register_write": m * _ROWS,
            "input_register_read": m * steps,
            "output_register": m * _ROWS * (2 * steps + 1),
            "activation": n,
            "alu": (high - 1) * n,
            "data_memory": 128 * m + 3 * (high - 1) * n + 3 * n + 256 * exchanged + n,
            "receive_buffer": 2 * (tiles * inputs + outputs),
            "edram": edram,
            "edram_controller": edram,
            "edram_counters": edram,
            "bus": edram,
            "router": 2 * tiles * inputs + 2 * outputs + 2 * _HOPS,
        }

    def _cycles(self, layer: LayerWork) -> dict[str, float]:
        """Cycles for one vector, by the component that they wait for."""
        steps, _ = self._digits
        size, (high, exchanged) = self._sizes(layer), self._exchanges(layer)
        tiles = size["tiles"]
        inputs, outputs = ceil(layer.rows * layer.groups / 16), ceil(layer.cols * layer.groups / 16)
        packets = 2 * ceil(outputs / tiles)
        between = 0.0
        if high > self.mvmus_per_core:
            between = 32 * exchanged / tiles + 32 * ceil(log2(ceil(high / self.mvmus_per_core)))
        return {
            "router": 2 * tiles * inputs + _HOPS + packets + _HOPS,
            "edram": 2 * min(size["cores"], self.cores_per_tile) * 16 + packets,
            "adc": 12.5 * self.adc_bits * (steps + _STAGES),
            "alu": 32 * (high > 1) + between,
            "activation": 32,
            "receive_buffer": 2 * outputs,
        }
