"""`sensed_product`: products of two's complement numbers, bit by bit, through sensed sums."""

import torch
import torch.nn.functional as F
from torch import Tensor

from memcore import _check
from memcore._text import shown
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops.sensed_sums import sensed_sums
from memcore.random import ReadStream, Stream
from memcore.sensing.amplifier import require_rows
from memcore.sensing.table import SumTable


def sensed_product(
    x: Tensor,
    weight: Tensor,
    *,
    inputs: tuple[int, int],
    weights: tuple[int, int],
    rows: int,
    table: SumTable | None = None,
    stream: Stream | None = None,
    first: int = 0,
) -> Tensor:
    """The product of inputs and weights as summed bits, each sum sensed through a table.

    Both are written in two's complement, `q = round(v 2^F)` with I + F bits, saturated at the ends.
    For every bit of the input, every bit of the weight and every group of word lines, the
    sum is the number of rows in which both bits are 1; a digital adder puts the
    sensed sums together by their places. Where no word line is open the sum is 0. There are
    no gradients.

    Args:
        x: [n, inputs].
        weight: [inputs, outputs].
        inputs: integer bits, the sign among them, and fraction bits of the inputs.
        weights: integer bits, the sign among them, and fraction bits of the weights.
        rows: word lines that are open at once, at most; they are taken in order.
        table: what sums are sensed as; None for the sums themselves.
        stream: what sums are drawn from; the stream of seed 0 by default.
        first: number of the first read; each vector is one, and each read has draws of its own.

    Raises:
        ConfigError: an argument does not fit, or a sum is above those of the table.
    """
    rows = require_rows(rows)
    _require(x, weight)
    if table is not None and table.rows < min(rows, len(weight)):
        raise ConfigError(
            f"rows={rows}, but the table has sums of {table.rows} open lines; expected at most as "
            "many rows at once, or a table of more"
        )
    missing = -len(weight) % rows
    units = (len(weight) + missing) // rows
    planes = _bits(F.pad(weight, (0, 0, 0, missing)), _format("weights", weights))
    width = weight.shape[1]
    cells = planes.reshape(len(planes), units, rows, width).permute(1, 2, 0, 3).flatten(2)
    digits = _bits(F.pad(x, (0, missing)), _format("inputs", inputs))
    digits = digits.reshape(len(digits), len(x), 1, units, rows)
    stream = Stream(0) if stream is None else stream
    reads = torch.arange(first, first + len(x), device=x.device)
    total = x.new_zeros(len(x), 1, cells.shape[2])
    for bit, (opened, place) in enumerate(zip(digits, _places(inputs, x), strict=True)):
        draws = stream.child("bit", bit).at(reads)
        total = total + place * _sums(opened, cells.unsqueeze(0), table, draws).to(x.dtype)
    product: Tensor = torch.einsum(
        "nwo,w->no", total.view(len(x), len(planes), width), _places(weights, x)
    )
    return product


def _sums(bits: Tensor, cells: Tensor, table: SumTable | None, draws: ReadStream) -> Tensor:
    """Sums over all units, as told by a table or right, [n, 1, weight bits * outputs]."""
    if table is not None:
        return table.sums(bits, cells, draws)
    return sensed_sums(bits, cells, draws.reads, None, None, 0, bits.shape[-1], 1)


def _bits(values: Tensor, form: tuple[int, int]) -> Tensor:
    """Bits of numbers, the sign first, uint8 [bits, *shape]."""
    whole, fraction = form
    count = whole + fraction
    low, high = -(2 ** (count - 1)), 2 ** (count - 1) - 1
    code = (values.detach().double() * 2**fraction).round().clamp(low, high).long() % 2**count
    shifts = torch.arange(count - 1, -1, -1, device=values.device)
    bits: Tensor = (code >> shifts.view(-1, *[1] * values.dim())) & 1
    return bits.to(torch.uint8)


def _places(form: tuple[int, int], like: Tensor) -> Tensor:
    whole, fraction = form
    places = [2.0 ** (whole - 1 - b) for b in range(whole + fraction)]
    return like.new_tensor([-places[0], *places[1:]])


def _format(name: str, form: tuple[int, int]) -> tuple[int, int]:
    fits = isinstance(form, tuple | list) and len(form) == 2 and all(map(_check.is_integer, form))
    if not fits or form[0] < 1 or form[1] < 0 or not 2 <= sum(form) <= 24:
        raise ConfigError(
            f"{name}={shown(form)}; expected (integer bits >= 1 with the sign, fraction bits >= 0) "
            "of 2 to 24 bits together"
        )
    return int(form[0]), int(form[1])


def _require(x: Tensor, weight: Tensor) -> None:
    for name, value in (("x", x), ("weight", weight)):
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise ArgumentTypeError(f"{name} is {shown(value)}; expected a tensor of numbers")
        if value.dim() != 2 or not value.isfinite().all():
            raise ShapeError(
                f"{name} has shape {list(value.shape)}, or values that are infinite or NaN; "
                "expected a finite matrix"
            )
    if x.shape[1] != len(weight):
        raise ShapeError(f"x has {x.shape[1]} columns, but weight has {len(weight)} rows")
