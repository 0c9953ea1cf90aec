"""Powers and areas of the parts of a tile of MNSIM."""

import warnings
from collections.abc import Iterable
from math import ceil, prod
from typing import TYPE_CHECKING

from memcore import LayerWork, MemcoreWarning, components

if TYPE_CHECKING:
    from memcore_plugins.costs._mnsim import Mapped
    from memcore_plugins.costs._mnsim_tile import Tile

_K45 = (45 / 65) ** 2  #: registers and joins were synthesised at 65 nm and scaled to 45 nm
_CELL = 0.1 * 0.15**2 * (0.67 / 1e6 + 0.33 / 1e4)  #: W, mean of a cell at 0.15 V
_BUFFER = 2048  #: bytes, of the buffers of the tables
#: Transistors of a multiplexer by its largest ratio.
_MUX = ((2, 8), (4, 24), (8, 72), (16, 216), (32, 648))


def powers(tile: "Tile", at: "Mapped") -> dict[str, float]:
    """W, of each part of a tile that works on a layer."""
    shared, columns = tile.ratios
    rows, cols = at.most * ceil(at.row / shared), at.most * ceil(at.col / columns)
    return {
        "array": at.most * 2 * at.row * at.col * _CELL / (shared * columns),
        "dac": rows * tile.dac.need("power"),
        "demux": rows * _transistors(shared) * power("mnsim_mux_transistor"),
        "input_register": rows * _K45 * power("mnsim_register"),
        "adc": cols * tile.adc.need("power"),
        "mux": cols * _transistors(columns) * power("mnsim_mux_transistor"),
        "shift_register": cols * power("mnsim_shift_register"),
        "output_register": cols * _K45 * power("mnsim_register"),
        "joint": (at.most - 1) * ceil(at.col / columns) * _K45 * power("mnsim_joint_8b"),
    }


def areas(tile: "Tile") -> dict[str, float]:
    """m^2, of each part of a tile, pooling unit included."""
    m, subs = tile.model, tile.subs
    pes, dacs, adcs = m.pes_per_tile, m.dacs * subs, m.adcs * subs
    shared, columns = tile.ratios
    cells = prod(m.array) * _area("mnsim_rram") + m.array[0] * _area("mnsim_row_driver")
    transistor = _area("mnsim_mux_transistor")
    return {
        "array": pes * 2 * cells,
        "dac": pes * dacs * tile.dac.need("area"),
        "adc": pes * adcs * tile.adc.need("area"),
        "demux": pes * dacs * _transistors(shared) * transistor,
        "mux": pes * adcs * _transistors(columns) * transistor,
        "shift_register": pes * adcs * _area("mnsim_shift_register"),
        "input_register": pes * dacs * _K45 * _area("mnsim_register"),
        "output_register": pes * adcs * _K45 * _area("mnsim_register"),
        "joint": (pes - 1) * adcs * _K45 * _area("mnsim_joint_8b"),
        "pooling": _area("mnsim_pooling"),
        "buffers": (pes + 1) * _area("mnsim_buffer_read"),
    }


def _transistors(ratio: int) -> int:
    """Transistors of a multiplexer."""
    return next((n for most, n in _MUX if ratio <= most), 1944)


def _area(name: str) -> float:
    return components[name].need("area")


def power(name: str) -> float:
    """W, of a component while it works: of a memory, with leakage."""
    component = components[name]
    if component.power is not None:
        return component.power
    return component.need("energy") / component.need("latency") + component.need("leakage")


def warn_of_larger_buffers(mapped: "Iterable[tuple[LayerWork, Mapped]]", bits: int) -> None:
    """Say for which layers MNSIM would take larger buffers than those that the tables have.

    Args:
        mapped: layers with weights, and where they lie.
        bits: bits of an input.
    """
    for layer, at in mapped:
        across = layer.size[-1] * layer.kernel[-1] if layer.size else 1
        taken = across * layer.channels * bits / 8 / at.pes
        given = 2 * layer.cols * layer.groups * bits / 8 / at.tiles
        if max(taken, given) > _BUFFER:
            warnings.warn(
                f"layer {layer.name!r} moves {max(taken, given) / 1024:.3g} KB at a time through "
                f"its buffers, and those of the tables hold {_BUFFER // 1024} KB: larger ones "
                "take more energy and area than this report says",
                MemcoreWarning,
                stacklevel=2,
            )
