"""What becomes of the conductances of cells, form after form in one pass over memory.

The results are those of PyTorch's operations one by one, to the bit.
"""

import itertools
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from memcore import native
from memcore.ops._library import address, is_plain

Kind = Literal["affine", "levels", "inverse_levels", "held", "at_least"]
_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


class CellForm(NamedTuple):
    """What becomes of a conductance g.

    | kind | what |
    |---|---|
    | `affine` | `g a + b` |
    | `levels` | the nearest of the levels `a + b k / last`, k = 0, ..., last; `a` where b is 0 |
    | `inverse_levels` | the same of 1 / g |
    | `held` | `a`, but g where a is NaN |
    | `at_least` | g, but `a` where that is more |

    Args:
        kind: which of them.
        a: one number, or one for each cell.
        b: likewise; None where it is not used.
        last: as the table says.
    """

    kind: Kind
    a: Tensor
    b: Tensor | None = None
    last: float = 0.0


def through(g: Tensor, forms: Sequence[CellForm], out: Tensor | None = None) -> Tensor | None:
    """Conductances after all forms.

    Args:
        g: any shape.
        forms: one or more; parameters have one number, or the shape of g.
        out: where the result is put, of the shape of g; None for a new tensor.

    Returns:
        Of the shape of g; None where the kernel does not know them, or something becomes infinite
        or NaN on the way.
    """
    kernels = None if torch.compiler.is_compiling() else native.cpu()
    if kernels is None or not g.numel() or not all(_fits(g, form) for form in forms):
        return None
    row = [(_KINDS.index(f.kind), *_place(f.a), *_place(f.b)) for f in forms]
    integers = torch.tensor(row, dtype=torch.int64, device="cpu")
    floats = torch.tensor([form.last for form in forms], dtype=torch.float32, device="cpu")
    out = torch.empty_like(g) if out is None else out
    check = torch.empty(len(forms), device="cpu")
    places = (integers.data_ptr(), floats.data_ptr(), len(forms))
    kernels.cell_forms(g.data_ptr(), g.numel(), *places, out.data_ptr(), check.data_ptr())
    return out if not check.any() else None


def _fits(g: Tensor, form: CellForm) -> bool:
    given = [each for each in (form.a, form.b) if each is not None]
    sized = all(each.numel() == 1 or each.shape == g.shape for each in given)
    return sized and not g.requires_grad and all(map(is_plain, (g, *given)))


def _place(value: Tensor | None) -> tuple[int, int]:
    return address(value), 0 if value is None else value.numel()


def shared_out(draw: Tensor, shares: Sequence[tuple[float, Tensor]]) -> Tensor:
    """What cells are held at, of the uniform number of each; NaN for those that are not.

    Args:
        draw: any shape, in [0, 1); the result may take its memory.
        shares: the share of the cells that are held at each level, one number or one for each cell;
            together at most 1.
    """
    bounds = list(itertools.accumulate(share for share, _ in shares))
    levels = [level.to(draw) for _, level in shares]
    kernels = native.cpu()
    sized = all(each.numel() == 1 or each.shape == draw.shape for each in levels)
    if kernels is None or not sized or not all(map(is_plain, (draw, *levels))):
        return _shared_out_reference(draw, bounds, levels)
    integers = torch.tensor([_place(each) for each in levels], dtype=torch.int64, device="cpu")
    floats = torch.tensor(bounds, dtype=torch.float32, device="cpu")
    places = (integers.data_ptr(), floats.data_ptr(), len(levels))
    kernels.cell_shares(draw.data_ptr(), draw.numel(), *places)
    return draw


def _shared_out_reference(
    draw: Tensor, bounds: Sequence[float], levels: Sequence[Tensor]
) -> Tensor:
    held = torch.full_like(draw, torch.nan)
    for bound, level in zip(reversed(bounds), reversed(levels), strict=True):
        held = torch.where(draw < bound, level, held)
    return held


def errors(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The sum of squared differences, in double precision, and the largest magnitude of one.

    Args:
        x: any shape, at least one number.
        y: of the same shape.
    """
    kernels = native.cpu()
    if kernels is None or not (is_plain(x) and is_plain(y)):
        return _errors_reference(x, y)
    out = torch.empty(2, dtype=torch.float64, device="cpu")
    kernels.cell_errors(x.data_ptr(), y.data_ptr(), x.numel(), out.data_ptr())
    squares, largest = out.tolist()
    return squares, largest


#: Numbers whose double precision stays in the cache.
_BLOCK: Final = 1 << 15


def _errors_reference(x: Tensor, y: Tensor) -> tuple[float, float]:
    squares, largest = 0.0, 0.0
    blocks = (torch.split(each.reshape(-1), _BLOCK) for each in (x, y))
    for one, other in zip(*blocks, strict=True):
        difference = one - other
        squares += float(difference.double().square().sum())
        largest = max(largest, float(difference.abs().max()))
    return squares, largest
