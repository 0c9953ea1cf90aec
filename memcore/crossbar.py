"""`Crossbar`: the arrays of one matrix, written, disturbed, aged and read.

A read takes one of three ways, decided when the arrays change, never per call:

* exact: without an ADC and without effects at a read, one product with the folded matrix;
* tiled: with a uniform ADC, one fused kernel that multiplies, converts and adds tile by tile;
* electrical: anything else, with the currents of every tile or of every bit line in memory.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from memcore.array_circuit import ArrayCircuit
from memcore.as_given import AsGiven, AsTold, GivenCircuit, check, window
from memcore.circuit import CellLaw, Drive, SeriesElement, Solution
from memcore.clock import Clock
from memcore.config import CrossbarConfig, PluginSpec
from memcore.errors import ConfigError
from memcore.fused import Fused
from memcore.hooks import manager
from memcore.hookspecs import ArrayInfo
from memcore.ops.surrogate import for_training
from memcore.pipeline import Pipeline, sensitivity
from memcore.port import Port, warn_uncalibrated
from memcore.random import ReadStream, Stream
from memcore.records import Context, Programmed
from memcore.tiling import Tiling
from memcore.wires import Wires
from memcore.yields import ArrayYield


class Crossbar(nn.Module):
    """Arrays of conductances that multiply: `Crossbar(g) @ v`.

    Args:
        conductance: [rows, cols] S; rows are word lines, columns bit lines.
        device: what the cells are, for effects that ask; an ideal one by default.
        nonidealities: names, mappings or instances.
        wires: their resistances; none by default.
        law: current of a cell for its voltage, from `memcore.circuit`; ohmic by default.
        series: transistor or selector in series with each cell, from `memcore.circuit`.
        tile: word and bit lines of one array; None for a single array.
        dac: converter of the voltages.
        adc: converter of the currents of each array.
        temperature: K.
        seed: the virtual chip.

    Raises:
        ConfigError: conductances are not finite, negative, or not a matrix.

    Examples:
        >>> g = torch.tensor([[1e-4, 2e-5], [1e-5, 8e-5]])
        >>> Crossbar(g) @ torch.tensor([0.2, 0.1])
        tensor([2.1000e-05, 1.2000e-05])
    """

    programmed: Tensor
    before: Tensor | None
    gain: Tensor
    writes: Tensor
    reads: Tensor
    seed: Tensor
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
        circuit = GivenCircuit(wires=wires or Wires(), law=law, series=series)
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
        nn.Module.__init__(self)
        self.config = config
        self.name = name
        self.constant = constant
        self.random = random
        self.register_buffer("seed", torch.tensor(random.seed, device=weight.device))
        self._observing: str | None = None
        self.clock = Clock(weight.device)
        for count in ("writes", "reads"):
            self.register_buffer(count, weight.new_zeros((), dtype=torch.int64))
        ctx = self.context
        self.input = Port(config.dac, ctx.child("dac"), weight)
        self.output = Port(config.adc, ctx.child("adc"), weight)
        self._store(weight)
        self.register_load_state_dict_pre_hook(_shape_like_loaded)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_post_hook(_refresh_loaded)  # type: ignore[no-untyped-call]

    def _bind_effects(self, array: ArrayInfo) -> None:
        self.pipeline = Pipeline(self.config.effects, array, self.context).to(self.seed.device)

    # Writing -------------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """What plugins are handed."""
        return Context(
            random=self.random,
            temperature=self.config.temperature,
            writes=int(self.writes),
            torch_device=self.writes.device,
        )

    def array(self) -> ArrayInfo:
        """The physical arrays, their cells sampled (always the same cells)."""
        tiling = self.tiling
        shape = (tiling.arrays, tiling.array_rows, tiling.array_cols)
        device = self.config.device
        return ArrayInfo(
            arrays=shape[0],
            rows=shape[1],
            cols=shape[2],
            device=device.sample(shape, self.context.child("device")),
            nominal=device.nominal(),
            name=self.name,
            parts=tiling.full_parts,
        )

    @for_training
    def write(self, weight: Tensor) -> Programmed:
        """Program the arrays again, with new draws of what a rewrite draws anew."""
        present = None
        if self.config.programmer.incremental:
            present = self.pipeline.aged(self.programmed, self.clock)
        self.writes += 1
        self.clock.rewrite(self.config.temperature)
        return self._store(weight, present)

    @for_training
    def repeat(self, other: Self, weight: Tensor) -> Programmed:
        """Write as `other` was written last: with its draws, from what its cells were before."""
        self.writes.copy_(other.writes)
        return self._store(weight, other.before)

    def _map(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Target conductances [arrays, rows, cols] and the gain of the mapping."""
        device = self.config.device.nominal()
        mapped = self.config.mapper.map(weight.detach(), device, self.context.child("mapper"))
        shared = tuple(part.shape[-1] == 1 < weight.shape[-1] for part in mapped.targets)
        groups, rows, cols = weight.shape
        self.tiling = Tiling(groups, rows, cols, shared, self.config.tile)
        unused, _ = device.nominal_range()
        return self.tiling.split(mapped.targets, unused), mapped.gain

    def _store(self, weight: Tensor, present: Tensor | None = None) -> Programmed:
        target, gain = self._map(weight)
        ctx, array = self.context, self.array()
        self._bind_effects(array)
        array = self._to_write(array, None if present is None else present.to(target.dtype))
        self.register_buffer("before", array.present)
        programmed = self.config.programmer.program(array, target, ctx.child("programmer"))
        manager().hook.memcore_array_programmed(array=array, programmed=programmed)
        self.written = ArrayYield.of(programmed, target, array)
        g = programmed.conductance.expand(array.shape)
        g = Pipeline.written(g, self.config.effects, array, ctx)
        self.register_buffer("programmed", g.to(target.dtype).contiguous())
        self.register_buffer("gain", gain.to(target.dtype))
        self.refresh()
        return programmed

    def _to_write(self, array: ArrayInfo, present: Tensor | None) -> ArrayInfo:
        """With what programmers alone are told."""
        same = present is not None and present.shape == array.shape
        return dataclasses.replace(
            array,
            present=present if same and self.config.programmer.incremental else None,
            stuck=Pipeline.stuck(self.config.effects, array, self.context),
            noises=tuple(form for form, _ in self.pipeline.noises),
        )

    @for_training
    def age(
        self,
        seconds: float = 0.0,
        *,
        temperature: float | None = None,
        cycles: float = 0.0,
        reads: float = 0.0,
    ) -> None:
        """Let time pass on the simulated clock, see `memcore.age`."""
        at = self.config.temperature if temperature is None else temperature
        self.clock.advance(at, seconds=seconds, cycles=cycles, reads=reads)
        self.refresh()

    @property
    def seconds(self) -> Tensor:
        """How long ago the arrays were written, s."""
        return self.clock.seconds

    @property
    def conductance(self) -> Tensor:
        """What the cells conduct now, [arrays, rows, cols] S, without the noise of a read."""
        return self.pipeline.settled(self.programmed, self.clock).expand_as(self.programmed)

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

        Converters and noise are left out; without line resistance cells see what is applied.
        Arrays are counted by parts, groups, tiles of rows, and tiles of columns. Parts that share
        word lines are one array: of two, its bit lines 2 j and 2 j + 1 are column j of each. Lines
        that `ir_drop` has sorted keep their numbers.

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
        if not v.dim() or v.shape[-1] != rows:
            raise ConfigError(
                f"v has shape {tuple(v.shape)}, but g has {rows} rows; "
                f"expected v [..., {rows}] in V"
            )

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [n, groups, cols] of inputs [n, groups, rows]."""
        if self._observing is not None:
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

    def extra_repr(self) -> str:
        """Geometry, for `print(model)`."""
        return str(self.tiling)


def _shape_like_loaded(
    crossbar: Crossbar, state_dict: dict[str, Tensor], prefix: str, *rest: Any
) -> None:
    del rest
    if f"{prefix}programmed" in state_dict:  # another life may have begun with fresh cells
        kept = state_dict.get(f"{prefix}before")
        crossbar.before = None if kept is None else torch.empty_like(crossbar.programmed)


def _refresh_loaded(crossbar: Crossbar, keys: Any) -> None:
    del keys
    seed = int(crossbar.seed)
    if seed != crossbar.random.seed:  # the cells of another chip came, so draw as that chip does
        crossbar.random = Stream(seed, crossbar.random.path)
        crossbar._bind_effects(crossbar.array())
    crossbar.refresh()
