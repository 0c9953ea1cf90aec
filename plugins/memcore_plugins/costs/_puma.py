"""Energies, leakage and areas of the parts of PUMA, from the constants of its simulator."""

from collections.abc import Mapping
from math import sqrt

from memcore import components

WIDE = sqrt(8)  #: factor of memories of instructions and counters
TILE_LEAKAGE = 2.590e-3  #: W, of a tile without its cores

#: The components whose accesses are counted: the energy of one access is that of the tables.
_ENERGY = {
    "crossbar": "puma_crossbar",
    "dac": "puma_dac_1b",
    "sample_hold": "puma_sample_hold",
    "shift_add": "puma_shift_add",
    "input_register_read": "puma_input_register_read",
    "input_register_write": "puma_input_register_write",
    "output_register": "puma_output_register",
    "activation": "puma_activation",
    "alu": "puma_alu_other",
    "data_memory": "puma_data_memory",
    "receive_buffer": "puma_receive_buffer",
    "edram": "puma_edram",
    "edram_controller": "puma_edram_controller",
    "edram_counters": "puma_edram_counters",
    "bus": "puma_bus",
    "router": "puma_router",
}

_CORE = {
    "puma_dac_1b": 22 * 128,
    "puma_sample_hold": 4 * 128,
    "puma_shift_add": 4,
    "puma_adc_8b": 4,
    "puma_input_register_read": 6,
    "puma_output_register": 6,
    "puma_instruction_memory": WIDE,
    "puma_data_memory": 1,
    "puma_alu_other": 1,
    "puma_activation": 1,
}
_TILE = {
    "puma_edram_counters": 2 * WIDE,
    "puma_bus": 1,
    "puma_edram_controller": 2,
    "puma_receive_buffer": 1,
    "puma_edram": 1,
}


def energy(name: str) -> float:
    """J, of one access."""
    scale = WIDE if name == "edram_counters" else 1.0
    return scale * components[_ENERGY[name]].need("energy")


def core_leakage() -> float:
    """W, of a core with its two MVMUs."""
    return sum(count * components[name].need("leakage") for name, count in _CORE.items())


def core_area() -> float:
    """m^2, of a core with its two MVMUs."""
    sample_hold = components["isaac_sample_hold"].need("area")
    parts = {**_CORE, "puma_sample_hold": 0, "puma_crossbar": 64, "puma_edram_controller": 2.25}
    return 4 * 128 * sample_hold + _areas(parts)


def tile_area(cores: int = 8) -> float:
    """m^2, of a tile of so many cores."""
    return cores * core_area() + _areas(_TILE)


def node_area(tiles: int = 168) -> float:
    """m^2, of a node with its routers and its link."""
    return tiles * tile_area() + _areas({"puma_router": tiles / 4, "isaac_link": 1})


def _areas(parts: Mapping[str, float]) -> float:
    return sum(count * components[name].need("area") for name, count in parts.items())
