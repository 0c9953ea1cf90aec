"""One tile of MNSIM: how long each of its parts is busy for a position, its powers and areas."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2, prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from memcore import Component, ConfigError, LayerWork, components
from memcore_plugins.costs._mnsim import space, window
from memcore_plugins.costs._mnsim_parts import power, powers

if TYPE_CHECKING:
    from memcore_plugins.costs.mnsim import Mnsim

_READ = 3.16  #: ns, of an array of one row of 8192 cells
_WORD, _WORD_BITS = 20.0, 64  #: ns for a word of the buffer
_INSIDE, _BETWEEN = 1024.0, 20.0  #: bits a ns on links inside of a tile and between tiles
_POOL = 100.0  #: ns of a pooling unit of nine inputs of 64 channels


@dataclass(frozen=True)
class Mapped:
    """A layer on arrays: PEs, tiles, PEs of a tile, used rows and columns, channels of an array."""

    pes: int
    tiles: int
    most: int
    row: int
    col: int
    channels: int


@dataclass(frozen=True)
class Tile:
    """Times in ns, powers in W, energies in nJ, areas in m^2."""

    model: "Mnsim"
    adc: Component
    dac: Component

    @classmethod
    def of(cls, model: "Mnsim") -> "Tile":
        """The tile of a machine, with converters that fit it."""
        adc, dac = model.converters
        if not adc.bits or not dac.bits:
            raise ConfigError(
                f"{adc.name!r} or {dac.name!r} has no number of bits; expected an ADC and a DAC"
            )
        return cls(model, adc, dac)

    @cached_property
    def ratios(self) -> tuple[int, int]:
        """Word lines that share a DAC, bit lines that share an ADC."""
        m = self.model
        return ceil(m.sub_array_rows / m.dacs), ceil(m.array[1] / m.adcs)

    @property
    def subs(self) -> int:
        """Sub-arrays of an array."""
        return ceil(self.model.array[0] / self.model.sub_array_rows)

    def _terms(self, at: Mapped) -> dict[str, float]:
        """Busy time for one position of what does not depend on the position."""
        m, adc, dac = self.model, self.adc, self.dac
        clock, size = 1e9 / m.frequency, prod(m.array) / 8192
        bits, dac_bits = int(adc.need("bits")), int(dac.need("bits"))
        cycles = ceil(at.row / (m.dacs * self.subs)) * ceil(at.col / m.adcs)
        n = ceil(m.activation_bits / dac_bits) * cycles
        levels = ceil(log2(at.most))
        carried = (m.joins * (bits + levels) - levels * (levels + 1) / 2) * at.col
        shared, columns = self.ratios
        return {
            "array": n * (_READ + 1e-3 * (2e-4 * size**2 + 5e-6 * size + 4e-14)),
            "dac": n * (dac_bits + 2) * 1e9 / dac.need("rate"),
            "adc": n * (bits + 2 if bits > 1 else 1) * 1e9 / adc.need("rate"),
            "demux": n * _octal(shared) * 0.27933,
            "mux": n * _octal(columns) * 0.032744,
            "input_register": clock * (cycles + n),
            "shift_register": clock * n,
            "output_register": clock * ceil(at.col / m.adcs),
            "joint": clock * levels,
            "link": carried / _INSIDE,
            "output_write": _words((bits + levels) * at.col * at.most / 8),
            "output_read": _words(at.col * m.activation_bits * at.most / 8),
        }

    def _inputs(self, layer: LayerWork, at: Mapped | None) -> NDArray[np.float64]:
        """Times of writing and of reading the input buffer, [2, positions]."""
        bits = self.model.activation_bits
        if not layer.size:
            assert at is not None
            return np.full((2, layer.positions), _words(at.row * bits / 8))
        channels = layer.channels if at is None else at.channels
        (kh, kw), (sh, sw), (ph, pw) = window(layer)
        ph, pw = (0, 0) if at is None else (ph, pw)
        width = space(layer.size)[1]
        new = np.full(space(layer.out_size), float(sh * sw))
        new[0] = sw * kh
        new[:, 0] = sh * max(kw - pw, 0)
        new[0, 0] = max(kh - ph, 0) * max(kw - pw, 0)
        if not self.model.pipelined:
            new[:] = sw
            new[:, 0] = width * (sh - 1) + (kw - pw)
            new[0, 0] = width * (kh - ph - 1) + (kw - pw)
        old = np.full_like(new, sw * kh)
        old[:, 0] = kh * kw
        return np.stack([_words(channels * bits / 8 * each).ravel() for each in (new, old)])

    def lasting(
        self, layer: LayerWork, at: Mapped | None, travel: tuple[int, int]
    ) -> NDArray[np.float64]:
        """How long each position takes."""
        bits = self.model.activation_bits
        inside, out = travel
        if layer.kind == "sum":
            m = len(layer.sources)
            moved = out * layer.channels * bits / _BETWEEN
            return np.full(layer.positions, 10 + moved + 2 * _words(m * bits * layer.channels / 8))
        before: NDArray[np.float64] = self._inputs(layer, at).sum(0)
        if at is None:
            moved = out * layer.channels * bits / _BETWEEN
            words = 3 * _words(layer.channels * bits / 8)
            return before + float(words + self._pooling(layer) + moved)
        merged = inside * (2 + at.col * at.most * bits / _BETWEEN)
        moved = out * layer.cols * layer.groups * bits / _BETWEEN
        return before + float(sum(self._terms(at).values()) + merged + moved)

    def _pooling(self, layer: LayerWork) -> float:
        return _POOL * ceil(layer.channels / 64) * ceil(prod(layer.kernel) / 9)

    def energies(
        self, layer: LayerWork, at: Mapped | None
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Energy and busy time of each part of one tile for all positions of one input."""
        writes, reads = self._inputs(layer, at).sum(1)
        read, write = (power(f"mnsim_buffer_{name}") for name in ("read", "write"))
        if at is None:
            busy = {"pooling": layer.positions * self._pooling(layer)}
            moved = layer.positions * _words(layer.channels * self.model.activation_bits / 8)
            unit = components["mnsim_pooling"].need("power")
            energy = {"pooling": unit * busy["pooling"]}
            energy["buffers"] = read * (reads + moved) + write * (writes + moved)
            return energy, {**busy, "buffers": reads + writes + 3 * moved}
        times = {name: layer.positions * time for name, time in self._terms(at).items()}
        reads, writes = reads + times.pop("output_read"), writes + times.pop("output_write")
        watts = powers(self, at)
        energy = {name: watts.get(name, 0.0) * time for name, time in times.items()}
        energy["buffers"] = (at.most + 1) * (read * reads + write * writes)
        return energy, {**times, "buffers": reads + writes}


def _words(size: Any) -> Any:
    """Time of moving so many bytes through a buffer, word by word."""
    return _WORD * np.ceil(8 * size / _WORD_BITS)


def _octal(ratio: int) -> int:
    return 1 + len(f"{ratio:o}")
