"""ISAAC: power of each component of a tile times how long it is busy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from memcore import Charge, CostModel, LayerWork, components, parameter

#: Components by where they are, with how many there are and what share of the tables' row one is.
_ARRAY = {"adc": 1.0, "dac": 128.0, "sample_hold": 128.0, "crossbar": 1.0}
_IMA = {"shift_add": 4.0, "input_register": 1.0, "output_register": 1.0}
_TILE = {
    "edram": 1.0,
    "bus": 1.0,
    "router": 0.25,
    "sigmoid": 1.0,
    "tile_shift_add": 1.0,
    "max_pool": 1.0,
    "tile_output_register": 1.0,
}


@dataclass(frozen=True, kw_only=True)
class Isaac(CostModel):
    """The tile of ISAAC at 32 nm: bit-serial inputs, 2-bit cells, eight ADCs an IMA.

    Energy is power times busy time: of an array and its ADC while it is read, of an IMA and of a
    tile while the layer works on them. Shafiee et al., ISCA 2016, Table I.
    """

    rows: int = parameter(128, "1", "word lines and bit lines of an array", above=0)
    cell_bits: int = parameter(2, "bits", "bits of a cell", above=0)
    weight_bits: int = parameter(16, "bits", "bits of a weight", above=0)
    input_bits: int = parameter(16, "bits", "bits of an input, applied one by one", above=0)
    arrays_per_ima: int = parameter(8, "1", "arrays of an IMA, each with an ADC", above=0)
    imas_per_tile: int = parameter(12, "1", "IMAs of a tile", above=0)
    tiles: int = parameter(168, "1", "tiles of a chip", above=0)
    cycle: float = parameter(1e-7, "s", "time of a read and its conversions", above=0)

    needs_arrays = False
    leaves_out = (
        "replication of layers and overlap between them",
        "filling of the pipeline",
        "chip links",
        "leakage of what rests",
        "pools and sums of branches",
        "programming",
    )

    @property
    def technology(self) -> float:
        return 32e-9

    def events(self, layer: LayerWork) -> Mapping[str, int]:
        if layer.kind != "matrix":
            return {}
        slices = ceil(self.weight_bits / self.cell_bits)
        arrays = layer.groups * ceil(layer.rows / self.rows) * ceil(layer.cols * slices / self.rows)
        imas = ceil(arrays / self.arrays_per_ima)
        reads = arrays * layer.vectors * self.input_bits
        return {
            "arrays": arrays,
            "imas": imas,
            "tiles": ceil(imas / self.imas_per_tile),
            "reads": reads,
            "conversions": reads * self.rows,
        }

    def table(self, layer: LayerWork) -> Mapping[str, Charge]:
        if layer.kind != "matrix":
            return {}
        has = self.events(layer)
        busy = layer.vectors * self.input_bits * self.cycle
        charges = {}
        for parts, count in ((_ARRAY, "arrays"), (_IMA, "imas"), (_TILE, "tiles")):
            for name, each in parts.items():
                component = components[_ROWS.get(name, f"isaac_{name}")]
                charges[name] = Charge(
                    energy=has[count] * each * component.need("power") * busy,
                    time=busy if name == "crossbar" else 0.0,
                    area=has[count] * each * component.need("area"),
                    source=component.source,
                )
        return charges

    def figures(self, layers: Sequence[LayerWork]) -> Mapping[str, float]:
        del layers
        return {"power": self.chip("power"), "area": self.chip("area"), "peak": self.peak}

    def chip(self, figure: str) -> float:
        """`"power"` in W or `"area"` in m^2 of a whole chip with its link."""
        ima = self.arrays_per_ima * _total(_ARRAY, figure) + _total(_IMA, figure)
        tile = self.imas_per_tile * ima + _total(_TILE, figure)
        return self.tiles * tile + components["isaac_link"].need(figure)

    @property
    def peak(self) -> float:
        """Operations each second of a whole chip whose arrays are all read all the time."""
        arrays = self.tiles * self.imas_per_tile * self.arrays_per_ima
        weights = arrays * self.rows * self.rows / ceil(self.weight_bits / self.cell_bits)
        return 2 * weights / (self.input_bits * self.cycle)


#: Rows of the tables that are not called after the component.
_ROWS = {"adc": "isaac_adc_8b", "dac": "isaac_dac_1b"}


def _total(parts: Mapping[str, float], figure: str) -> float:
    return sum(
        count * components[_ROWS.get(name, f"isaac_{name}")].need(figure)
        for name, count in parts.items()
    )
