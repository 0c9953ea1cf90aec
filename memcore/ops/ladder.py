"""Ladders: all word lines or all bit lines of crossbars, solved exactly in a time of O(nodes)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ShapeError
from memcore.ops import _ladder_reference
from memcore.ops._library import address, large_pages
from memcore.ops.checks import require_dense, require_same_device, require_same_dtype

_HAS_KERNEL = native.cpu() is not None


def has_kernel(like: Tensor) -> bool:
    """Whether the native kernel runs for tensors on the device of `like`."""
    return _HAS_KERNEL and like.device.type == "cpu"


def _check(shunt: Tensor | None, segments: Tensor, far: Tensor, dim: int) -> tuple[int, ...]:
    """Refuse what does not fit the segments; return the leading dimensions of all together."""
    require_dense(shunt, far)
    cells = tuple(segments.shape[-2:])
    others: dict[str, tuple[Tensor, tuple[int, ...]]] = {"far": (far, (cells[1 + dim],))}
    if shunt is not None:
        others["shunt"] = (shunt, cells)
    leading: dict[str, tuple[int, ...]] = {"segments": segments.shape[:-2]}
    for name, (tensor, shape) in others.items():
        require_same_dtype(name, tensor, "segments", segments)
        require_same_device(name, tensor, "segments", segments)
        at = tensor.dim() - len(shape)
        if at < 0 or tuple(tensor.shape[at:]) not in {shape, (1,) * len(shape)}:
            wanted = ", ".join(map(str, shape))
            raise ShapeError(f"{name} has shape {list(tensor.shape)}; expected [..., {wanted}]")
        leading[name] = tensor.shape[:at]
    return broadcast_leading(leading)


def broadcast_leading(leading: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """The leading dimensions of several tensors together.

    Raises:
        ShapeError: they do not broadcast.
    """
    try:
        return np.broadcast_shapes(*leading.values())
    except ValueError:
        listed = ", ".join(f"{list(shape)} of {name}" for name, shape in leading.items())
        raise ShapeError(f"leading dimensions are {listed}; expected ones that broadcast") from None


@dataclass(frozen=True, kw_only=True, eq=False)
class Ladders:
    """Lines from an end at 0 V over segments to nodes, each with a shunt to a voltage of its own.

    `solve` is (L + G)^-1 G, where L are the segments and G the shunts; for lines without shunts it
    is L^-1. No resistance is inverted: 0 is exact, at both ends too. The kernel runs on the CPU,
    the PyTorch reference elsewhere. There are no gradients.

    Attributes:
        lead: leading dimensions of the arrays.
        cells: numbers of rows and columns.
        dim: dimension along the lines, -1 for word lines, -2 for bit lines.
        near_last: whether the near end is behind the last column or row.
        shunt: shunts in S, [..., rows, cols]; None for none.
        factors: what the elimination leaves: [arrays, numbers] of the kernel, [2, ..., nodes,
            lines] of the reference.
        by_kernel: whether the kernel made the factors.
    """

    lead: tuple[int, ...]
    cells: tuple[int, int]
    dim: int
    near_last: bool
    shunt: Tensor | None
    factors: Tensor
    by_kernel: bool

    @classmethod
    def of(
        cls,
        shunt: Tensor | None,
        segments: Tensor,
        far: Tensor | None = None,
        *,
        dim: int,
        near_last: bool = False,
    ) -> Self:
        """Eliminate the nodes, from the far end on.

        Args:
            shunt: shunts G in S, [..., rows, cols], at least 0; None for none.
            segments: resistance in front of each node as seen from the near end in ohm, [..., rows,
                cols].
            far: resistance between the last nodes and second ends at 0 V in ohm, [..., lines],
                infinite where there is none; None if all far ends are open.
            dim: dimension along the lines.
            near_last: whether the near end is behind the last column or row.
        """
        require_dense(segments)
        if segments.dtype not in (torch.float32, torch.float64):
            raise ArgumentTypeError(f"segments is {segments.dtype}; expected float32 or float64")
        if segments.dim() < 2:
            raise ShapeError(
                f"segments has shape {list(segments.shape)}; expected [..., rows, cols]"
            )
        if far is None:
            far = segments.new_full((1,), torch.inf)
        lead = _check(shunt, segments, far, dim)
        cells = (segments.shape[-2], segments.shape[-1])
        segments = segments.expand(*lead, *cells)
        far = far.expand(*lead, cells[1 + dim])
        by_kernel = has_kernel(segments)
        lines = cls(
            lead=lead,
            cells=cells,
            dim=dim,
            near_last=near_last,
            shunt=shunt,
            factors=torch.empty(0, device="cpu"),
            by_kernel=by_kernel,
        )
        factor = lines._kernel_factors if by_kernel else lines._reference_factors
        return cls(**{**vars(lines), "factors": factor(segments, far)})

    def solve(self, inputs: Tensor, *, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return node voltages and G inputs times voltages.

        Args:
            inputs: voltages behind the shunts in V or, without shunts, currents into the nodes in
                A; [..., rows, cols]. Leading dimensions broadcast.
            out: contiguous memory for the voltages, if the kernel runs; other than the inputs.

        Returns:
            V [..., rows, cols], and W [..., 1, 1] in float64.
        """
        require_dense(inputs)
        require_same_dtype("inputs", inputs, "a segment", self.factors)
        require_same_device("inputs", inputs, "a segment", self.factors)
        if inputs.shape[-2:] != self.cells:
            wanted = f"[..., {self.cells[0]}, {self.cells[1]}]"
            raise ShapeError(f"inputs has shape {list(inputs.shape)}; expected {wanted}")
        broadcast_leading({"inputs": inputs.shape[:-2], "the lines": self.lead})
        if 0 in self.cells:
            batch = np.broadcast_shapes(inputs.shape[:-2], self.lead)
            voltages = inputs.new_empty((*batch, *self.cells)) if out is None else out
            energy = inputs.new_zeros((*batch, 1, 1), dtype=torch.float64)
            return voltages, energy
        if self.by_kernel:
            return self._kernel_solve(inputs, out)
        currents = inputs if self.shunt is None else inputs * self.shunt
        voltages, energy = _ladder_reference.solve(self._turned(currents), self.factors)
        voltages = voltages.mT.contiguous() if self.dim == -1 else voltages
        return voltages.flip(self.dim) if self.near_last else voltages, energy.double()

    def _turned(self, x: Tensor) -> Tensor:
        """Turn [..., rows, cols] to [..., nodes, lines] with the near end first."""
        x = x.flip(self.dim) if self.near_last else x
        return x.mT.contiguous() if self.dim == -1 else x

    def _reference_factors(self, segments: Tensor, far: Tensor) -> Tensor:
        shunt = segments.new_zeros(()) if self.shunt is None else self.shunt
        shunt = self._turned(shunt.expand(*self.lead, *self.cells))
        return _ladder_reference.factor(shunt, self._turned(segments), far)

    def _kernel(self, name: str, dtype: torch.dtype) -> Callable[..., Any]:
        kind = "double" if dtype == torch.float64 else "float"
        return cast(Callable[..., Any], getattr(native.cpu(), f"ladder_{name}_{kind}"))

    def _kernel_factors(self, segments: Tensor, far: Tensor) -> Tensor:
        segments, far, shunt = segments.contiguous(), far.contiguous(), self.shunt
        if shunt is not None:
            shunt = shunt.expand(*self.lead, *self.cells).contiguous()
        arrays, dtype = math.prod(self.lead), segments.dtype
        across = self.dim == -2
        size = self._kernel("size", dtype)(*self.cells, across)
        out = large_pages(segments.new_empty(arrays, size))
        inputs = [address(each) for each in (shunt, segments, far)]
        lines = (arrays, *self.cells, across, self.near_last)
        self._kernel("factor", dtype)(*lines, *inputs, out.data_ptr())
        return out

    def _kernel_solve(self, inputs: Tensor, out: Tensor | None) -> tuple[Tensor, Tensor]:
        batch = tuple(inputs.shape[:-2])
        if batch[len(batch) - len(self.lead) :] != self.lead:
            batch = np.broadcast_shapes(batch, self.lead)
            inputs = inputs.expand(*batch, *self.cells)
        inputs = inputs.contiguous()
        arrays, each, factors = self._arrays(batch)
        voltages = large_pages(torch.empty_like(inputs)) if out is None else out
        energy = torch.empty((*batch, 1, 1), dtype=torch.float64, device="cpu")
        lines = (arrays, *self.cells, self.dim == -2, self.near_last, each)
        addresses = [tensor.data_ptr() for tensor in (factors, inputs, voltages, energy)]
        self._kernel("solve", inputs.dtype)(*lines, *addresses)
        return voltages, energy

    def _arrays(self, batch: tuple[int, ...]) -> tuple[int, int, Tensor]:
        """The number of arrays, the number of inputs of each, and the factors in that order."""
        lead = (1,) * (len(batch) - len(self.lead)) + self.lead
        same = len(lead)
        while same > 0 and lead[same - 1] == 1:
            same -= 1
        if lead[:same] == batch[:same]:
            return math.prod(lead[:same]), math.prod(batch[same:]), self.factors
        spread = self.factors.view(*lead, self.factors.shape[-1]).expand(*batch, -1).flatten(0, -2)
        return math.prod(batch), 1, spread.contiguous()
