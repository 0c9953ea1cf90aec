"""`tune`: digital factors of the outputs, found by least squares on typical inputs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Layer
from memcore.crossbar.crossbar import Crossbar
from memcore.crossbar.plan import ReadPlan
from memcore.crossbar.readers import AnyReader
from memcore.crossbar.readers.phases import drive
from memcore.errors import ConfigError
from memcore.nn.compensation import Scope, name_in, require_choice
from memcore.nn.feeding import Batches, Forward, batches, run
from memcore.nn.matrix import Matrix
from memcore.nn.verbs import evaluating
from memcore.nn.walk import named_matrices

#: What stands around the reader of arrays for a while, if anything does.
Around = Callable[[AnyReader, ReadPlan], nn.Module] | None


@torch.no_grad()
def tune(
    model: nn.Module, inputs: Batches, *, per: Scope = "column", forward: Forward | None = None
) -> None:
    """Scale the outputs of all matrices so that they are nearest to their digital product.

    The network runs once on typical inputs. For each matrix, what its arrays read is compared with
    the exact product of the same inputs with the weights as they should be; the factor with the
    least squared error multiplies its outputs digitally, behind the ADCs, until it is found anew
    or the cells are written again. Errors that a column has in common, such as losses in wires,
    a gain of an ADC or drift, are taken back; those of single cells are not.

    It multiplies what `compensate` found before; `compensate` replaces it. It costs the reads of
    one pass, which use no read numbers up and which `memcore.counting` does not count.

    Args:
        model: a converted network, whose converters have their ranges.
        inputs: a batch, or an iterable of batches, as for `memcore.calibrate`.
        per: one factor for each `"column"`, that is, each output, or for each `"layer"` (strictly,
            each of its matrices).
        forward: `forward(model, batch)`, where the network is called in another way.

    Raises:
        ConfigError: an argument does not fit, there are no inputs, or converters have no range yet.
        ConversionError: there is no memristive layer.

    Examples:
        >>> config = memcore.CrossbarConfig(device="ideal", nonidealities=["ir_drop"])
        >>> mem = memcore.convert(nn.Linear(3, 2), config)
        >>> memcore.tune(mem, torch.randn(64, 3))
    """
    require_choice("per", per, ("layer", "column"))
    fits: dict[Matrix, _Fit] = {}
    for name, (layer, matrix) in named_matrices(model).items():
        if not matrix.crossbar.is_set:
            raise ConfigError(
                f"converters of {name or 'the model'} have no range yet; expected ranges: call "
                "memcore.calibrate(model, inputs) first"
            )
        if matrix not in fits:
            fits[matrix] = _Fit(layer, matrix)
    count = 0
    with evaluating(model), _watched(fits):
        for batch in batches(model, inputs, forward):
            run(model, batch, forward)
            count += 1
    if not count:
        raise ConfigError("there are no inputs to tune on; expected at least one batch")
    for matrix, fit in fits.items():
        before, factor = matrix.crossbar.cells.correction, fit.factor(per)
        matrix.crossbar.correct(factor if before is None else before * factor)


class _Fit:
    """Sums over the reads of one matrix from which its factors follow."""

    def __init__(self, layer: Layer, matrix: Matrix) -> None:
        operand = layer.present()[name_in(layer, matrix)]
        self._weight = matrix.packed_of(operand)
        self._constant = matrix.crossbar.constant
        zero = torch.zeros(self._weight.shape[1], dtype=torch.float64, device=operand.weight.device)
        self._crossed, self._squares = zero, zero.clone()

    def around(self, reader: AnyReader, plan: ReadPlan) -> nn.Module:
        """The reader, of which every read is looked at."""
        del plan
        return _Compared(reader, self.add)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Take note of some inputs [n, groups, inputs] and what was read, [n, groups, outputs]."""
        wanted = torch.einsum("ngk,gok->ngo", drive(x, self._constant), self._weight).double()
        read = y.double()
        self._crossed += (wanted * read).sum((0, 1))
        self._squares += read.square().sum((0, 1))

    def factor(self, per: Scope) -> Tensor:
        """What the outputs are multiplied by, [] or [cols]; 1 where nothing was read."""
        crossed, squares = self._crossed, self._squares
        if per == "layer":
            crossed, squares = crossed.sum(), squares.sum()
        safe = torch.where(squares > 0, squares, 1.0)
        return torch.where(squares > 0, crossed / safe, 1.0).to(self._weight.dtype)


class _Compared(nn.Module):
    def __init__(self, reader: AnyReader, add: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.reader, self._add = reader, add

    @property
    def folded(self) -> Tensor:
        return self.reader.folded

    def forward(self, x: Tensor, reads: Tensor, lines: Tensor | None = None) -> Tensor:
        y: Tensor = self.reader(x, reads, lines)
        self._add(x, y)
        return y


@contextmanager
def _watched(fits: dict[Matrix, _Fit]) -> Iterator[None]:
    """Every read of the matrices is looked at while the block runs."""
    before: list[tuple[Crossbar, Around, Tensor]] = []
    try:
        for matrix, fit in fits.items():
            crossbar = matrix.crossbar
            before.append((crossbar, crossbar.around, crossbar.reads.clone()))
            crossbar.watch(fit.around)
        yield
    finally:
        for crossbar, around, reads in before:
            crossbar.watch(around)
            crossbar.reads.copy_(reads)
