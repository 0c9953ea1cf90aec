"""`Crossbar`: the arrays of one matrix, and how they are read.

A read takes one of three ways, decided when the arrays change, never per call:

* exact: without an ADC and without effects at a read, one product with the folded matrix;
* tiled: with a uniform ADC, one fused kernel that multiplies, converts and adds tile by tile;
* electrical: anything else, with the currents of every tile or of every bit line in memory.
"""

from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore.circuit import CellLaw, Drive, SeriesElement, Solution
from memcore.contracts.wires import Wires
from memcore.crossbar.calibrated import Port, warn_uncalibrated
from memcore.crossbar.cells import Arrays
from memcore.crossbar.circuit import ArrayCircuit
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.effects import sensitivity
from memcore.crossbar.fused import Fused
from memcore.crossbar.given import AsGiven, AsTold, GivenCircuit, check, warn_of_gradients, window
from memcore.errors import ConfigError
from memcore.ops.surrogate import for_training
from memcore.random import ReadStream, Stream
from memcore.registry.specs import PluginSpec


class Crossbar(Arrays):
    """Arrays of conductances that multiply: `Crossbar(g) @ v`.

    Currents have gradients with respect to the voltages if the cells are ohmic. There are none with
    respect to conductances and wires: `effective_conductance` has them.

    Args:
        conductance: [rows, cols] S; rows are word lines, columns bit lines.
        device: what the cells are, for effects that ask; an ideal one by default.
        nonidealities: names, mappings or instances.
        wires: their resistances; none by default.
        law: current of a cell for its voltage, from `memcore.circuit`; ohmic by default. Parameters
            of single cells broadcast to [arrays, rows, cols], and so do those of `series`.
        series: transistor or selector in series with each cell, from `memcore.circuit`.
        tile: word and bit lines of one array; None for a single array.
        dac: converter of the voltages.
        adc: converter of the currents of each array.
        temperature: K.
        seed: the virtual chip.

    Raises:
        ConfigError: conductances are not finite, negative, or not a matrix; or another argument
            does not fit.

    Warns:
        NoEffectWarning: conductances or parameters require gradients.

    Examples:
        >>> g = torch.tensor([[1e-4, 2e-5], [1e-5, 8e-5]])
        >>> Crossbar(g) @ torch.tensor([0.2, 0.1])
        tensor([2.1000e-05, 1.2000e-05])
    """

    reads: Tensor
    folded: Tensor
    matrices: Tensor | None
    settled: Tensor | None
    effective: Tensor | None

    def __init__(
        self,
        conductance: Tensor,
        *,
        device: PluginSpec | None = None,
        nonidealities: Sequence[PluginSpec] = (),
        wires: Wires | None = None,
        law: CellLaw | None = None,
        series: SeriesElement | None = None,
        tile: tuple[int, int] | None = None,
        dac: PluginSpec | None = None,
        adc: PluginSpec | None = None,
        temperature: float = 300.0,
        seed: int = 0,
    ) -> None:
        check(conductance)
        plain = wires is None and law is None and series is None
        given = Wires() if wires is None else wires
        circuit = GivenCircuit(wires=given, law=law, series=series)
        warn_of_gradients(conductance, circuit)
        conductance = conductance.detach()
        config = CrossbarConfig(
            device=window(conductance) if device is None else device,
            mapper=AsGiven(),
            programmer=AsTold(),
            nonidealities=(*nonidealities, *([] if plain else [circuit])),
            tile=tile,
            dac=dac,
            adc=adc,
            read_voltage=1.0,
            temperature=temperature,
        )
        self._setup(conductance.unsqueeze(0), config, Stream(seed), "", False)

    @classmethod
    def of_weight(
        cls,
        weight: Tensor,
        config: CrossbarConfig,
        random: Stream,
        *,
        name: str = "",
        constant: bool = False,
    ) -> Self:
        """Arrays that hold `weight` [groups, rows, cols] as `config` says.

        Args:
            weight: rows are inputs, columns outputs.
            config: device, mapping, converters, effects.
            random: the layer's stream.
            name: the layer's qualified name, for messages.
            constant: the last row is driven by a constant input of 1, past the DAC.
        """
        crossbar = cls.__new__(cls)
        crossbar._setup(weight, config, random, name, constant)
        return crossbar

    @for_training
    def _setup(
        self, weight: Tensor, config: CrossbarConfig, random: Stream, name: str, constant: bool
    ) -> None:
        self._begin(config, random, name, weight.device)
        self.constant = constant
        self._observing: str | None = None
        self.register_buffer("reads", weight.new_zeros((), dtype=torch.int64))
        ctx = self.context
        self.input = Port(config.dac, ctx.child("dac"), weight)
        self.output = Port(config.adc, ctx.child("adc"), weight)
        self._store(weight)

    # Deriving ------------------------------------------------------------------------------

    @for_training
    def refresh(self) -> None:
        """Derive from conductances and ranges what a forward pass uses."""
        settled = self.conductance
        effective = self.pipeline.effective(settled)
        parts = self.tiling.join(effective)
        matrices = self._per_output(parts)
        net = self.config.mapper.combine(parts) if self._by_column else matrices[0]
        self._derive("folded", (net * self.gain).transpose(1, 2).contiguous())
        products = self.pipeline.is_product and not self.is_exact
        self._derive("matrices", matrices if products else None)
        electrical = not self.pipeline.is_product
        self._derive("settled", settled if electrical else None)
        self._derive("effective", effective if electrical else None)
        for index, (form, _) in enumerate(self.pipeline.noises if products else ()):
            variance = form.variance(settled).expand_as(settled)
            if effective is not settled:
                variance = variance * sensitivity(effective, settled).square()
            self._derive(f"variance_{index}", self.tiling.join(variance))
        self.input.bind()
        self.output.bind()
        self._fuse()

    def _derive(self, name: str, value: Tensor | None) -> None:
        self.register_buffer(name, value, persistent=False)

    def _fuse(self) -> None:
        """Prepare the fused kernel, if there is one for these converters and effects."""
        self._volts = self.input_scale
        #: Whether the next read is one product with the folded matrix.
        self.reads_exactly = self.is_exact and self.is_set
        self.fused: Fused | None = None
        adc, dac = self.output.levels, self.input.levels
        fits = dac is not None or self.input.form is None
        if adc is None or not fits or self.matrices is None or self.pipeline.is_stochastic:
            return
        scale = self.gain.new_ones(1) if self._by_column else self.gain
        if scale.numel() > 1:
            scale = scale.expand(self.tiling.groups, -1).flatten()
        volts, rows = self._volts, self.tiling.array_rows
        self.fused = Fused(
            self.matrices, volts, dac, adc, scale / volts, tile_rows=rows, constant=self.constant
        )

    # Reading -------------------------------------------------------------------------------

    @property
    def is_exact(self) -> bool:
        """Whether a read is one product with the folded matrix."""
        return self.config.adc is None and self.pipeline.is_exact

    @property
    def is_set(self) -> bool:
        """Whether every converter has its range, and none is looking for one."""
        return self.input.is_ready and self.output.is_ready and self._observing is None

    @property
    def input_scale(self) -> float:
        """V for an input of 1."""
        if isinstance(self.config.mapper, AsGiven):
            return 1.0
        largest = float(self.input.range.abs().max())
        return self.config.read_voltage / (largest if largest > 0 else 1.0)

    def __matmul__(self, voltage: Tensor) -> Tensor:
        """Currents [..., cols] A of voltages [..., rows] V."""
        rows, cols = self.tiling.rows, self.tiling.cols
        self._check_rows(voltage)
        current: Tensor = self(voltage.reshape(-1, 1, rows).to(self.folded.dtype))
        return current.view(*voltage.shape[:-1], cols)

    def solve(self, v: Tensor | Drive) -> Solution:
        """All node voltages and cell currents, see `memcore.circuit.solve`, in float64.

        Converters and noise are left out, and so are gradients; without line resistance cells see
        what is applied. Arrays are counted by parts, groups, tiles of rows, and tiles of columns.
        Parts that share word lines are one array: of two, its bit lines 2 j and 2 j + 1 are column
        j of each. Lines that `ir_drop` has sorted keep their numbers.

        Args:
            v: of the word lines, [..., rows] V, or [..., groups, rows] of several groups, with the
                bit lines at virtual ground; or any `memcore.circuit.Drive`, whose leading
                dimensions broadcast with [arrays].

        Returns:
            [..., arrays, rows, cols], without `arrays` if there is one only.

        Raises:
            ConfigError: a shape does not fit, or there is no circuit behind an effect.
            ConvergenceError: the circuit could not be solved.
        """
        if not isinstance(v, Tensor | Drive):
            raise ConfigError(f"v is a {type(v).__name__}; expected a tensor of V, or a Drive")
        circuit = self.circuit()
        solution = circuit.solve(circuit.read(v, self.tiling) if isinstance(v, Tensor) else v)
        return solution[..., 0] if len(circuit.g) == 1 else solution

    def circuit(self) -> ArrayCircuit:
        """What `solve` solves.

        Raises:
            ConfigError: there is no circuit behind an effect.
        """
        return ArrayCircuit.of(self.conductance, self.pipeline.product, self.config.effects)

    def _check_rows(self, v: Tensor) -> None:
        rows = self.tiling.rows
        if not isinstance(v, Tensor):
            raise ConfigError(
                f"v is a {type(v).__name__}; expected a tensor [..., {rows}] in V: use "
                "torch.as_tensor"
            )
        if not v.dim() or v.shape[-1] != rows:
            raise ConfigError(
                f"v has shape {tuple(v.shape)}, but g has {rows} rows; "
                f"expected v [..., {rows}] in V"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [n, groups, cols] of inputs [n, groups, rows]."""
        if self._observing is not None:
            self._check_typical(x)
            return self._observe(x)
        if not self.is_set:
            self._take_ranges(x)
        if self.fused is not None:
            return self._tiled(self.fused, x)
        if self.is_exact:
            return torch.einsum("ngk,gok->ngo", self.driven(self.input(x)), self.folded)
        y = self._decoded(self.output(self._currents(self.input(x))))
        if self.pipeline.is_stochastic:
            self.reads.add_(len(x))
        return y

    def driven(self, x: Tensor, constant: float = 1.0) -> Tensor:
        """Inputs with the constant one, if there is one."""
        return F.pad(x, (0, 1), value=constant) if self.constant else x

    def _tiled(self, fused: Fused, x: Tensor) -> Tensor:
        y: Tensor = fused(self.driven(x, fused.constant))
        if not self._by_column:
            return y
        parts = y.view(-1, self.tiling.groups, len(self.tiling.shared), self.tiling.cols)
        return self.config.mapper.combine(parts.movedim(2, 0)) * self.gain

    def _currents(self, x: Tensor) -> Tensor:
        """Currents before the ADC, [parts or 1, n, groups, row tiles, cols] A."""
        voltage = self.driven(x) * self._volts
        reads = self.reads + torch.arange(len(x), device=self.reads.device)
        if self.matrices is not None:
            return self._products(voltage, reads)
        assert self.settled is not None
        v = self.tiling.spread(voltage)
        lines = self.pipeline.currents(v, self.settled, reads, self.effective)
        return self._per_output(self.tiling.gather(lines))

    def _per_output(self, parts: Tensor) -> Tensor:
        """The values that an ADC sees: of each part, or of their analogue combination."""
        return parts if self._by_column else self.config.mapper.combine(parts).unsqueeze(0)

    @property
    def _by_column(self) -> bool:
        return self.config.adc is not None and self.config.adc_per == "column"

    def _products(self, voltage: Tensor, reads: Tensor) -> Tensor:
        assert self.matrices is not None
        v = self._cut(voltage, -1)
        current = torch.einsum("ngtk,pgtko->pngto", v, self._cut(self.matrices, -2))
        for index, (_, key) in enumerate(self.pipeline.noises):
            current = current + self._noise(v, getattr(self, f"variance_{index}"), key, reads)
        return current

    def _noise(self, v: Tensor, variance: Tensor, key: int, reads: Tensor) -> Tensor:
        """Noise of the currents, [parts or 1, n, groups, row tiles, cols] A.

        The sum of independent normal draws of the cells of a column is one normal draw with the
        summed variance: exact in distribution, with `rows` times fewer draws. A reference column
        is read once for all outputs of its array.
        """
        t = self.tiling
        noise = []
        for part, shared in enumerate(t.shared):
            step = t.data_cols if shared else 1
            cells = self._cut(variance[part, :, :, ::step], -2)
            sigma = torch.einsum("ngtk,gtko->ngto", v**2, cells).sqrt()
            draws = ReadStream(key + part, reads).normal(sigma.shape[1:]).to(v.dtype)
            noise.append((sigma * draws).repeat_interleave(step, -1)[..., : t.cols])
        return self._per_output(torch.stack(noise))

    def _cut(self, x: Tensor, dim: int) -> Tensor:
        """Tiles along the inputs; without an ADC nothing happens between them."""
        return x.unsqueeze(dim - 1) if self.config.adc is None else self.tiling.cut(x, dim)

    def _decoded(self, current: Tensor) -> Tensor:
        """Outputs [n, groups, cols] of the converted currents of every tile."""
        current = current.sum(3)
        net = self.config.mapper.combine(current) if self._by_column else current[0]
        return net * (self.gain / self._volts)

    # Calibrating ---------------------------------------------------------------------------

    @for_training
    def observe(self, port: str | None) -> None:
        """Let the next reads set the range of `"input"` or `"output"` anew; None ends it.

        Meanwhile converters without a range pass values unchanged and no read number is used up.
        """
        self._observing = port
        if port == "input":
            self.input.reset()
        if port is not None:
            self.output.reset()
        self.input.bind()
        self.output.bind()
        self._fuse()

    def _check_typical(self, x: Tensor) -> None:
        wrong = int((~x.isfinite()).sum())
        if wrong:
            raise ConfigError(
                f"layer {self.name!r} cannot be calibrated: {wrong} of {x.numel()} values at its "
                "inputs are NaN or infinite; expected finite ones"
            )

    @torch.no_grad()
    def _observe(self, x: Tensor) -> Tensor:
        if self._observing == "input":
            self.input.observe(x)
            self._volts = self.input_scale
        x = self.input(x)
        if self.is_exact:
            return torch.einsum("ngk,gok->ngo", self.driven(x), self.folded)
        current = self._currents(x)
        if self._observing == "output":
            self.output.observe(current)
        return self._decoded(self.output(current))

    def _take_ranges(self, x: Tensor) -> None:
        """Calibrate on the batch at hand."""
        warn_uncalibrated(len(x))
        for port in ("input", "output"):
            self.observe(port)
            self._observe(x)
        self.observe(None)
