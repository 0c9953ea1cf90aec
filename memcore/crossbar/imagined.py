"""`Imagined`: the cells of one step of a training, without arrays.

Where every cell is written and read for itself, it does not matter where it lies. Then a rehearsal
keeps the order of the weights: nothing is laid onto arrays, and nothing is taken off them again.
Cells have the distribution that they have on arrays, and draws of their own.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from memcore import native
from memcore.contracts.array import ArrayInfo
from memcore.contracts.forms import Affine, Gaussian
from memcore.contracts.mapper import Mapped, Part, Reference
from memcore.contracts.records import Context, Stage
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.effects import is_off
from memcore.crossbar.readers import InOrder, Unwritten
from memcore.crossbar.readers.periphery import Periphery
from memcore.crossbar.stepwise import Stepwise
from memcore.crossbar.surroundings import Surroundings
from memcore.ops._library import is_plain
from memcore.ops.rehearsal import Known, Writing, reference
from memcore.random import Stream


class Imagined(NamedTuple):
    """Cells in the order of the weights that were just written into them.

    Args:
        cells: what they hold, or how the weights become them.
        key: of the draws of a read.
        keeps: whether several reads are to come, for which cells had best be written at once.
    """

    cells: Known | Writing
    key: int
    keeps: bool = False

    @property
    def is_stochastic(self) -> bool:
        """Whether a read needs a number of its own."""
        cells = self.cells
        return cells.is_noisy if isinstance(cells, Writing) else cells.variance is not None

    def reader(self, around: Periphery) -> InOrder | Unwritten:
        """What reads them."""
        around = around.drawing(self.key)
        if isinstance(self.cells, Known):
            return InOrder(self.cells, around)
        return Unwritten(self.cells, around, keeps=self.keeps)


class Imagination:
    """Writes weights into cells that nobody keeps, in the order of the weights.

    Args:
        config: of what is rehearsed.
    """

    def __init__(self, config: CrossbarConfig) -> None:
        self._config = config
        effects = {name: each for name, each in config.effects.items() if not is_off(each)}
        self._effects = dict(sorted(effects.items(), key=lambda each: each[1].stage))
        self._stepwise = Stepwise(config, self._effects)
        self._around = Surroundings()
        contracts = (config.mapper, config.programmer, *effects.values())
        self._is_cellwise = (
            all(each is not None and each.cellwise for each in contracts)
            and not any(effect.needs_target for effect in effects.values())
            and config.adc_per == "output"
            and config.dac_per == "layer"
            and config.bound_management == "none"
            and not config.lanes
        )

    def cells(
        self, crossbar: Crossbar, matrix: Tensor, random: Stream, *, keeps: bool = False
    ) -> Imagined | None:
        """Cells into which a matrix was just written; None where it matters where they lie.

        Args:
            crossbar: the arrays.
            matrix: the weights, [groups, outputs, inputs].
            random: the stream of this step.
            keeps: whether several reads are to come.
        """
        if matrix.is_meta or not self._is_cellwise or not self.can_read(crossbar):
            return None
        ctx = self._context(matrix, random)
        writing = self._stepwise.writing(matrix, ctx)
        if writing is not None:
            return _of_writing(writing, crossbar, random.key_of("read"), keeps=keeps)
        mapped = self._mapped(matrix, ctx)
        if mapped is None:
            return None
        written = [self._written(part, n, ctx) for n, part in enumerate(mapped.parts)]
        parts = [each for each in written if each is not None]
        if len(parts) < len(written):
            return None
        gain = mapped.gain[0].reshape(-1).to(matrix.dtype)
        first = mapped.parts[0].sign
        net, noise = parts[0]
        net = first * net if first != 1 or _shares(net, matrix) else net
        for (g, variance), part in zip(parts[1:], mapped.parts[1:], strict=True):
            net.add_(g, alpha=part.sign)
            noise = None if noise is None or variance is None else noise.add_(variance)
        folded = net.mul_(gain.unsqueeze(1)).to(matrix.dtype)
        if not bool(torch.stack(folded.aminmax()).isfinite().all()):
            return None  # the arrays say what is wrong
        noise = None if noise is None else noise.to(matrix.dtype)
        return Imagined(Known(folded, noise, gain), random.key_of("read"))

    def can_read(self, crossbar: Crossbar) -> bool:
        """Whether the converters of the arrays, with their present ranges, read cells in order."""
        return self._around.of(crossbar) is not None

    def reader(self, crossbar: Crossbar, cells: Imagined) -> nn.Module | Unwritten:
        """What reads cells through the converters of the arrays."""
        around = self._around.of(crossbar)
        assert around is not None
        reader = cells.reader(around)
        return reader if crossbar.around is None else crossbar.around(reader, crossbar.plan)

    def _context(self, matrix: Tensor, random: Stream) -> Context:
        return Context(
            random=random,
            temperature=self._config.temperature,
            torch_device=matrix.device,
            dtype=torch.promote_types(matrix.dtype, torch.float32),
            tile=self._config.tile,
        )

    def _mapped(self, matrix: Tensor, ctx: Context) -> Mapped | None:
        """The parts that stand for the weights; None for lanes and references."""
        assert self._config.mapper is not None
        device = self._config.device.nominal()
        mapped = self._config.mapper.map(matrix.transpose(1, 2), device, ctx.child("mapper"))
        if mapped.lanes > 1 or mapped.gain.dim() > 2:
            return None
        has_references = any(isinstance(part, Reference) for part in mapped.parts)
        return None if has_references else mapped

    def _written(
        self, part: Part, number: int, ctx: Context
    ) -> tuple[Tensor, Tensor | None] | None:
        """Conductances [groups, outputs, inputs] of a part, and the variances of their reads.

        None if an effect of the read is more than white noise.
        """
        assert self._config.programmer is not None
        g = part.target.transpose(1, 2).contiguous()
        info = ArrayInfo(
            arrays=g.shape[0],
            rows=g.shape[1],
            cols=g.shape[2],
            device=self._config.device.sample(tuple(g.shape), ctx.child("device", number)),
            nominal=self._config.device.nominal(),
            read_voltage=self._config.read_voltage,
        )
        g = self._config.programmer.program(info, g, ctx.child("programmer", number)).conductance
        variance: Tensor | None = None
        for name, effect in self._effects.items():
            form = effect.bind(info, ctx.child(name, number))
            if effect.stage is Stage.PROGRAM and not isinstance(form, Gaussian):
                g = _applied(form, g)
            elif effect.stage is Stage.READ and type(form) is Gaussian:
                here = form.variance(g)
                variance = here if variance is None else variance.add_(here)
            else:
                return None
        return g, variance


def _of_writing(writing: Writing, crossbar: Crossbar, key: int, *, keeps: bool) -> Imagined | None:
    """Cells that the kernel writes while they are read, or that are written at once without it."""
    converts = crossbar.config.adc is None or crossbar.plan.groups_are_even
    if native.cpu() is not None and converts and is_plain(writing.weight):
        return Imagined(writing, key, keeps=keeps)
    known = reference(writing)
    return None if known is None else Imagined(known, key)


def _applied(form: nn.Module, g: Tensor) -> Tensor:
    """What a form makes of conductances; factors that were just drawn give their memory."""
    if type(form) is Affine and form.gain.shape == g.shape and form.gain.dtype == g.dtype:
        return form.gain.mul_(g).add_(form.offset)
    applied: Tensor = form(g)
    return applied


def _shares(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same memory, as where a mapper returns the weights."""
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
