"""The effects of one layer's arrays, resolved once: a forward pass runs plain modules."""

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from memcore.contracts.array import ArrayInfo
from memcore.contracts.effect import NonIdeality
from memcore.contracts.forms import Affine, Aging, Count, Gaussian, Lookup, Steady, UniformLevels
from memcore.contracts.product import Product
from memcore.contracts.records import Context, Stage
from memcore.crossbar.clock import Clock
from memcore.crossbar.finite import require_finite
from memcore.crossbar.forming import formed
from memcore.crossbar.product import joined
from memcore.errors import ConfigError
from memcore.random import ReadStream

#: Forms that do the same to every read and take no stream.
_STEADY = (Affine, UniformLevels, Lookup, Steady)

#: Numbers that one chunk of a per-read computation may hold, 128 MB of float32.
_CHUNK = 1 << 25


class Effects(nn.Module):
    """Bound effects in the order of their stages, inside a stage as the user wrote them.

    Args:
        effects: by name, of any stage; those of `Stage.PROGRAM` act in `written` only, those
            whose parameters are neutral not at all.
        array: the physical arrays.
        ctx: the layer's context; each effect draws from the stream of its name.
    """

    stays: Tensor | None

    def __init__(self, effects: Mapping[str, NonIdeality], array: ArrayInfo, ctx: Context) -> None:
        super().__init__()
        bound: dict[Stage, list[nn.Module]] = {stage: [] for stage in Stage}
        products: dict[str, nn.Module] = {}
        #: Of the noise of all effects together, where only the sum of a line is drawn.
        self.noise_key = ctx.random.key_of("cells", "read")
        self._keys: dict[Stage, list[int]] = {Stage.READ: [], Stage.CURRENT: []}
        self._names: dict[Stage, list[str]] = {stage: [] for stage in Stage}
        #: Which ageing effects move cells that are stuck too.
        self._ages_stuck: list[bool] = []
        for name, effect in effects.items():
            if effect.stage is Stage.PROGRAM or is_off(effect):
                continue
            form = _checked(effect.bind(array, ctx.child(name)), name)
            bound[effect.stage].append(form)
            if effect.stage is Stage.MVM:
                products[name] = form
            self._names[effect.stage].append(name)
            if effect.stage is Stage.AGE:
                self._ages_stuck.append(effect.ages_stuck)
            if effect.stage in self._keys:
                self._keys[effect.stage].append(ctx.random.key_of(name, "read"))
        self.aging = nn.ModuleList(bound[Stage.AGE])
        stuck = None if all(self._ages_stuck) else array.stuck
        #: Which cells are stuck, if that makes a difference to ageing.
        self.register_buffer("stays", None if stuck is None else ~stuck.isnan(), persistent=False)
        self.reading = nn.ModuleList(bound[Stage.READ])
        self.product = joined(products)
        self.lines = nn.ModuleList(bound[Stage.CURRENT])
        self._steady = next(
            (i for i, form in enumerate(self.reading) if not isinstance(form, _STEADY)),
            len(self.reading),
        )
        gaussian = all(isinstance(form, Gaussian) for form, _ in self._reads())
        #: Whether a read needs a number of its own.
        self.is_stochastic = len(self.reading) > self._steady or len(self.lines) > 0
        #: Whether a read is a matrix product, up to Gaussian noise of the cells.
        self.is_product = gaussian and self.is_linear and not len(self.lines)
        #: Whether a read is a matrix product without noise.
        self.is_exact = self.is_product and not self.is_stochastic

    @property
    def is_nothing(self) -> bool:
        """Whether cells are read as they were written, however long ago."""
        acts = len(self.aging) or len(self.reading) or len(self.lines) or self.product is not None
        return not acts

    @property
    def each(self) -> "list[Effects]":
        """The effects of each kind of cells, of which there is one here."""
        return [self]

    @staticmethod
    def written(
        conductance: Tensor,
        effects: Mapping[str, NonIdeality],
        array: ArrayInfo,
        ctx: Context,
        out: Tensor | None = None,
    ) -> Tensor:
        """Conductances [arrays, rows, cols] S after the effects of `Stage.PROGRAM`.

        They may be put into `out`, if there is one.
        """
        forms = {
            name: _checked(effect.bind(array, ctx.child(name)), name)
            for name, effect in effects.items()
            if effect.stage is Stage.PROGRAM and not is_off(effect)
        }
        for name, form in forms.items():
            if isinstance(form, Gaussian):
                raise ConfigError(
                    f"{name!r} returns Gaussian at Stage.PROGRAM, where nothing is drawn anew; "
                    "draw from ctx.random in bind and return Affine(offset=...)"
                )
        return formed(conductance, forms, array.stuck, out)

    @staticmethod
    def stuck(effects: Mapping[str, NonIdeality], array: ArrayInfo, ctx: Context) -> Tensor | None:
        """What the cells conduct that no pulse moves; the last effect that names a cell wins."""
        found: Tensor | None = None
        for name, effect in effects.items():
            here = None if is_off(effect) else effect.stuck_cells(array, ctx.child(name))
            if here is not None:
                found = here if found is None else torch.where(here.isnan(), found, here)
        return found

    def settled(self, conductance: Tensor, clock: Clock) -> Tensor:
        """Conductances as every read finds them: aged, with the steady effects of a read."""
        seconds = clock.seconds
        _settle(self.reading, conductance, seconds)
        conductance = self.aged(conductance, clock)
        for form, name in list(zip(self.reading, self._names[Stage.READ], strict=True))[
            : self._steady
        ]:
            conductance = form(conductance)
            require_finite(conductance, name)
        _settle(self.lines, conductance, seconds)
        return conductance

    def aged(self, conductance: Tensor, clock: Clock) -> Tensor:
        """What the cells hold by now, whatever a read makes of it; stuck cells stay stuck."""
        named = zip(self.aging, self._ages_stuck, self._names[Stage.AGE], strict=True)
        for form, ages_stuck, name in named:
            if isinstance(form, Aging):
                aged = form(conductance, clock.elapsed(form.clock, form.acceleration))
            else:
                aged = form(conductance, clock.seconds)
            if self.stays is not None and not ages_stuck:
                aged = torch.where(self.stays, conductance, aged)
            require_finite(aged, name)
            conductance = aged
        return conductance

    @property
    def clocks(self) -> set[Count]:
        """What the ageing effects count."""
        return {form.clock if isinstance(form, Aging) else "seconds" for form in self.aging}

    def feels(self, temperature: Tensor) -> bool:
        """Whether anything ages at another pace at this temperature [1] in K."""
        paces = [form.acceleration(temperature) for form in self.aging if isinstance(form, Aging)]
        return any(bool((pace != 1).any()) for pace in paces)

    def effective(self, conductance: Tensor) -> Tensor:
        """What multiplies the voltages, for settled conductances [arrays, rows, cols] S."""
        product = self.product
        if isinstance(product, Product) and product.is_linear:
            matrix = product.matrix(conductance)
            require_finite(matrix, ", ".join(self._names[Stage.MVM]))
            return matrix
        return conductance

    @property
    def is_linear(self) -> bool:
        """Whether currents are linear in the voltages."""
        product = self.product
        return product is None or (isinstance(product, Product) and product.is_linear)

    @property
    def noises(self) -> list[Gaussian]:
        """Gaussian noise of each cell at each read."""
        return [form for form, _ in self._reads() if isinstance(form, Gaussian)]

    def variance(self, conductance: Tensor) -> Tensor | None:
        """Of the Gaussian noise of each cell at a read, S^2; None without any."""
        noises = self.noises
        return reduce(add, [form.variance(conductance) for form in noises]) if noises else None

    def seen(self, conductance: Tensor, number: int) -> Tensor:
        """What one look at each cell finds, with the noise of a read of cells.

        Args:
            conductance: settled, [arrays, rows, cols] S.
            number: of the read, which keys its noise.
        """
        reads = torch.tensor([number], device=conductance.device)
        return self._read(conductance, reads)[0].expand_as(conductance)

    def _read(self, conductance: Tensor, reads: Tensor) -> Tensor:
        """Conductances of each read, [1 or reads, arrays, rows, cols] S."""
        g = conductance.unsqueeze(0)
        for form, key in self._reads():
            g = form(g) if isinstance(form, _STEADY) else form(g, ReadStream(key, reads))
        return g

    def currents(
        self,
        voltage: Tensor,
        conductance: Tensor,
        reads: Tensor,
        effective: Tensor | None = None,
        group: int = 0,
    ) -> Tensor:
        """Bit-line currents [reads, arrays, cols] A, whatever the effects are.

        Args:
            voltage: word lines, [reads, arrays, rows] V.
            conductance: settled, [arrays, rows, cols] S.
            reads: the number of each read, int64 [reads].
            effective: what `effective` returned for the conductances, if it is at hand.
            group: which of the groups of word lines that are driven one after another; the bit
                lines have noise of their own in each.
        """
        if effective is None:
            effective = self.effective(conductance)
        if len(self.reading) == self._steady:
            return self._chunk(voltage, conductance, effective, reads, group)
        size = max(1, _CHUNK // conductance.numel())
        volts, numbers = torch.split(voltage, size), torch.split(reads, size)
        chunks = [
            self._chunk(v, conductance, effective, some, group)
            for v, some in zip(volts, numbers, strict=True)
        ]
        return torch.cat(chunks)

    def _chunk(
        self, voltage: Tensor, conductance: Tensor, effective: Tensor, reads: Tensor, group: int
    ) -> Tensor:
        g = self._read(conductance, reads)
        if self.product is not None and self.is_linear:
            g = effective + (g - conductance) * sensitivity(effective, conductance)
        current: Tensor
        if not self.is_linear:
            assert self.product is not None
            current = self.product(voltage, g)
        elif len(g) == 1:
            current = torch.bmm(voltage.transpose(0, 1), g[0]).transpose(0, 1)
        else:
            current = torch.einsum("nar,narc->nac", voltage, g)
        for form, key in zip(self.lines, self._keys[Stage.CURRENT], strict=True):
            steady = isinstance(form, _STEADY)
            current = form(current) if steady else form(current, ReadStream(key + group, reads))
        return current

    def _reads(self) -> Iterator[tuple[nn.Module, int]]:
        forms = list(self.reading)[self._steady :]
        return zip(forms, self._keys[Stage.READ][self._steady :], strict=True)


def sensitivity(effective: Tensor, conductance: Tensor) -> Tensor:
    """How much the matrix of an array changes with the conductance of each of its cells.

    The voltage lost before a cell and the current lost behind it both go with effective over
    conductance: the derivative for a cell that has its wires for itself. Where it shares them this
    is too small, at most by the part of the current that is lost.
    """
    return torch.where(conductance > 0, effective / conductance, 1.0).square()


def _settle(forms: nn.ModuleList, conductance: Tensor, seconds: Tensor) -> None:
    for form in forms:
        if isinstance(form, Gaussian):
            form.settle(conductance, seconds)


def is_off(effect: NonIdeality) -> bool:
    """Whether the parameters switch the effect off: then the arrays are read as without it."""
    values = {name: getattr(effect, name) for name in effect.neutral}
    if not values or any(isinstance(value, Tensor) for value in values.values()):
        return False
    return values == dict(effect.neutral)


def _checked(form: object, name: str) -> nn.Module:
    if not isinstance(form, nn.Module):
        raise ConfigError(
            f"bind() of {name!r} returned {form!r}; expected a form such as memcore.Affine, or an "
            "nn.Module"
        )
    return form
