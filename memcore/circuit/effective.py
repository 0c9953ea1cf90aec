"""The matrix of a crossbar with line resistance."""

from torch import Tensor

from memcore.circuit.segments import canonical
from memcore.contracts.wires import Wires
from memcore.ops import effective_conductance as operator


def effective_conductance(g: Tensor, wires: Wires) -> Tensor:
    """Return the matrix that a crossbar of ohmic cells computes, its wires included.

    The currents of the bit lines are exactly `v @ A` for voltages `v` [..., rows] of the drivers.
    `A` costs O(n^3) operations for n x n cells and is needed once for each state of the cells.
    Columns that are subtracted from each other belong to one array if they share its word lines,
    but positive and negative parts must never be subtracted before: `A` is not linear in `g`.

    On CUDA, and without the native module, the PyTorch reference runs.

    Args:
        g: conductances [..., rows, cols] in siemens, at least 0, float32 or float64; rows are word
            lines, cols bit lines. Leading dimensions are arrays of their own.
        wires: resistances, on g's device if they are tensors.

    Returns:
        [..., rows, cols] in siemens, of g's dtype. Gradients with respect to `g` and tensors of
        `wires` are computed by the adjoint method; there are no second derivatives. Where a line
        is driven (sensed) at both ends and has no resistance at all, the derivatives with respect
        to its resistances do not exist, and what is returned for them means nothing.

    Raises:
        ArgumentTypeError: if dtypes differ or are not float32 or float64, or if `wires` is no
            `Wires`.
        ConfigError: if a shape or a device does not fit, or a conductance is negative, infinite or
            NaN.
    """
    straight, word, bit, flips = canonical(g, wires)
    ends = (wires.drive == "both", wires.sense_at == "both")
    out = operator.solve(_arrays(straight), _arrays(word), _arrays(bit), *ends).view(g.shape)
    return out.flip(flips) if flips else out


def _arrays(x: Tensor) -> Tensor:
    return x.flatten(0, -3) if x.dim() > 2 else x[None]
