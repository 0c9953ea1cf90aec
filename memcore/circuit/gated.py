"""Circuits of cells whose gates are lines: currents depend on potentials, not on voltages alone."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from memcore.circuit.cell import root
from memcore.circuit.damping import HALVINGS, chosen, largest, ratio
from memcore.circuit.drive import Drive
from memcore.circuit.gmres import gmres
from memcore.circuit.inputs import shape_of
from memcore.circuit.laws import CellLaw
from memcore.circuit.losses import Lines, lines_of
from memcore.circuit.series import GatedElement, SeriesElement, gated
from memcore.circuit.solution import Solution, require_start
from memcore.circuit.terminals import Terminals
from memcore.contracts.wires import Wires


@dataclass(frozen=True, kw_only=True, eq=False)
class GatedCell:
    """Cells of a memristor at the word line and an element with a gate at the bit line.

    Attributes:
        law: current-voltage law of the memristors.
        element: element between memristor and bit line.
        g: conductances in S.
    """

    law: CellLaw
    element: GatedElement
    g: Tensor

    def at(self, word: Tensor, bit: Tensor, guess: Tensor) -> "GatedPoint":
        """The operating point at potentials of the nodes in V, from a voltage nearby."""
        dtype = self.g.dtype

        def memristor(device: Tensor) -> tuple[Tensor, Tensor]:
            current, slope = self.law.current(device, self.g), self.law.slope(device, self.g)
            return current.to(dtype), slope.to(dtype)

        def excess(device: Tensor) -> tuple[Tensor, Tensor]:
            current, slope = memristor(device)
            through = self.element.between(word - device, bit)
            return current - through.current.to(dtype), slope + through.upper.to(dtype)

        device = root(excess, word - bit, guess)
        current, slope = memristor(device)
        through = self.element.between(word - device, bit)
        upper, lower = through.upper.to(dtype), through.lower.to(dtype)
        # The flatter of the two is less sensitive to the rounding of its voltage.
        current = torch.where(slope <= upper, current, through.current.to(dtype))
        share = slope / torch.where(slope + upper == 0, 1, slope + upper)
        return GatedPoint(device=device, current=current, word=share * upper, bit=share * lower)


@dataclass(frozen=True, kw_only=True, eq=False)
class GatedPoint:
    """Operating points: voltages of memristors, currents, and what they gain with the potentials.

    `word` is dI/dV of the word-line node, `bit` that of the bit-line node with its sign turned;
    both are at least 0.
    """

    device: Tensor
    current: Tensor
    word: Tensor
    bit: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class _State:
    """Potentials of all nodes and of floating lines, and the errors of the equations."""

    word: Tensor
    bit: Tensor
    potential: Tensor | None
    point: GatedPoint
    loss_word: Tensor
    loss_bit: Tensor
    excess: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class GatedCircuit:
    """The equations w + K_w c - s_w - p_w = 0, b - K_b c - s_b - p_b = 0, and B^T c = 0.

    Potentials w and b of the nodes are what is looked for, with c = c(w, b) in each cell.
    """

    shape: tuple[int, ...]  # [..., rows, cols], of all vectors and arrays
    cell: GatedCell
    lines: Lines
    ends: Terminals

    @classmethod
    def of(
        cls, g: Tensor, wires: Wires, drive: Drive, law: CellLaw, series: SeriesElement | None
    ) -> Self:
        shape = shape_of(g, wires, drive, law, series)
        ends, element = Terminals.of(g, drive, shape), gated(series)
        assert element is not None
        opened = (None, None) if ends.floating is None else (ends.floating.word, ends.floating.bit)
        lines = lines_of(g, wires, *opened)
        return cls(
            shape=shape, cell=GatedCell(law=law, element=element, g=g), lines=lines, ends=ends
        )

    def solve(self, start: Solution | None, bound: float, iterations: int) -> Solution:
        """By Newton's method, damped until the equations are closer to being met."""
        state = self._begin() if start is None else self._near(start)
        count, going = 0, self.residual(state) > bound
        while count < iterations and bool(going.any()):
            state, moved = self._advance(state, bound, going)
            count += 1
            if not bool(moved.any()):
                break
            going = self.residual(state) > bound  # not those that are NaN
        return self._solution(state, count, bound)

    def residual(self, state: _State) -> Tensor:
        """The residual as in `Solution.residual`, [...]."""
        ends, point = self.ends, state.point
        voltage = torch.maximum(ends.word.abs().amax(-1), ends.bit.abs().amax(-1))
        noise = ends.rounding(state.potential)[..., None, None]
        word, bit = state.loss_word.abs(), state.loss_bit.abs()
        missing = torch.maximum(
            largest(point.word * (word - noise).clamp(min=0)),
            largest(point.bit * (bit - noise).clamp(min=0)),
        )
        if state.excess is not None and ends.floating is not None:
            rounding = ends.floating.total(torch.maximum(point.word, point.bit) * noise).abs()
            missing = torch.maximum(missing, (state.excess.abs() - rounding).clamp(min=0).amax(-1))
        lost = torch.maximum(largest(word), largest(bit))
        return torch.maximum(ratio(lost, voltage), ratio(missing, largest(point.current)))

    def _begin(self) -> _State:
        """The state without losses along wires, floating lines at 0 V."""
        *batch, rows, cols = self.shape
        zero = self.cell.g.new_zeros(self.shape)
        potential = None if self.ends.floating is None else zero.new_zeros((*batch, rows + cols))
        word, bit = zero + self.ends.word[..., None], zero + self.ends.bit[..., None, :]
        return self._at(word, bit, zero, potential)

    def _near(self, known: Solution) -> _State:
        require_start(known, self.shape)
        known = known.to(self.cell.g.dtype)
        current, potential = known.cell_current, None
        if self.ends.floating is not None:
            word = (known.word_line + self.lines.word.drop(current))[..., 0]
            bit = (known.bit_line - self.lines.bit.drop(current))[..., 0, :]
            *batch, rows, cols = self.shape
            potential = torch.cat([word, bit], -1).expand(*batch, rows + cols)
        fields = (known.word_line, known.bit_line, known.device_voltage)
        word, bit, device = (each.expand(self.shape) for each in fields)
        return self._at(word, bit, device, potential)

    def _at(self, word: Tensor, bit: Tensor, guess: Tensor, potential: Tensor | None) -> _State:
        point = self.cell.at(word, bit, guess)
        of_word, of_bit = self.ends.potentials(potential)
        floating, current = self.ends.floating, point.current
        return _State(
            word=word,
            bit=bit,
            potential=potential,
            point=point,
            loss_word=word + self.lines.word.drop(current) - of_word[..., None],
            loss_bit=bit - self.lines.bit.drop(current) - of_bit[..., None, :],
            excess=None if floating is None else floating.total(current),
        )

    def _advance(self, state: _State, bound: float, going: Tensor) -> tuple[_State, Tensor]:
        """One step, and which vectors it has brought closer."""
        residual = self.residual(state)
        wanted = (0.1 * residual).clamp(max=1e-2)
        wanted = torch.maximum(wanted, 0.1 * bound / residual.clamp(min=bound, max=1))
        word, bit, potential = self._step(state, torch.where(going, wanted, torch.inf))
        worst = self._merit(state, state)
        length, moved = torch.ones_like(worst), torch.zeros_like(going)
        best = state
        for _ in range(HALVINGS):
            part = torch.where(going & ~moved, length, 0)
            cells = part[..., None, None]
            floats = None
            if potential is not None and best.potential is not None:
                floats = best.potential + part[..., None] * potential
            tried = self._at(
                best.word + cells * word, best.bit + cells * bit, best.point.device, floats
            )
            closer = self._merit(tried, state) < (1 - 1e-4 * length) * worst
            closer = closer & going & ~moved
            best, moved = chosen(closer, tried, best), moved | closer
            if bool((moved == going).all()):
                break
            length = length / 2
        return best, moved

    def _merit(self, state: _State, scale: _State) -> Tensor:
        merit = (state.loss_word.square() + state.loss_bit.square()).sum((-2, -1))
        if state.excess is not None and self.ends.floating is not None:
            slope = torch.maximum(scale.point.word, scale.point.bit)
            line = self.ends.floating.total(slope).abs().clamp(min=1e-30)
            merit = merit + (state.excess / line).square().sum(-1)
        return merit.sqrt()

    def _step(self, state: _State, tolerance: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The changes of the potentials of nodes and floating lines that Newton's method takes.

        With a and e what currents gain with the potentials of word and bit lines, the changes dc
        of the currents follow from (1 + a K_w + e K_b) dc - a p_w + e p_b = -a F_w + e F_b and
        B^T dc = -B^T c.
        """
        a, e = state.point.word, state.point.bit
        system = _System(a, e, self.lines, self.ends)
        right = e * state.loss_bit - a * state.loss_word
        change, potential = system.solve(right, state.excess, tolerance)
        word = -state.loss_word - self.lines.word.drop(change)
        bit = -state.loss_bit + self.lines.bit.drop(change)
        if potential is not None:
            of_word, of_bit = self.ends.shared(potential)
            word, bit = word + of_word[..., None], bit + of_bit[..., None, :]
        return word, bit, potential

    def _solution(self, state: _State, iterations: int, bound: float) -> Solution:
        current, residual = state.point.current, self.residual(state)
        word, bit = self.ends.potentials(state.potential)
        return Solution(
            word_line=word[..., :, None] - self.lines.word.drop(current),
            bit_line=bit[..., None, :] + self.lines.bit.drop(current),
            cell_current=current,
            device_voltage=state.point.device,
            iterations=iterations,
            residual=residual,
            converged=residual <= bound,
        )


class _System:
    """The linear equations of a Newton step, with a and e in S."""

    def __init__(self, a: Tensor, e: Tensor, lines: Lines, ends: Terminals) -> None:
        self.a, self.e, self.lines, self.ends = a, e, lines, ends
        self.scale = 1 + a * lines.word.own + e * lines.bit.own
        self.factor = None if ends.floating is None else self._factor()

    def solve(
        self, right: Tensor, excess: Tensor | None, tolerance: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Changes of the currents in A, and of the potentials of floating lines in V."""
        if excess is None and self.lines.ideal:
            return right, None
        both = right.flatten(-2)
        both = both if excess is None else torch.cat([both, -excess], -1)
        return self._rough(gmres(self._matrix, both, tolerance[..., None]))

    def _matrix(self, x: Tensor) -> Tensor:
        """The equations, for unknowns that the preconditioner turns into changes."""
        change, potential = self._rough(x)
        image = change + self.a * self.lines.word.drop(change)
        image = image + self.e * self.lines.bit.drop(change)
        if potential is None or self.ends.floating is None:
            return image.flatten(-2)
        image = image - self._charge(potential)
        return torch.cat([image.flatten(-2), self.ends.floating.total(change)], -1)

    def _rough(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The solution if cells lost the voltage of their own currents only."""
        rows, cols = self.a.shape[-2:]
        right, total = x[..., : rows * cols], x[..., rows * cols :]
        right = right.reshape(*x.shape[:-1], rows, cols)
        if self.ends.floating is None or self.factor is None:
            return right / self.scale, None
        missing = total - self.ends.floating.total(right / self.scale)
        potential = torch.linalg.lu_solve(*self.factor, missing[..., None])[..., 0]
        return (right + self._charge(potential)) / self.scale, potential

    def _charge(self, potential: Tensor) -> Tensor:
        """What potentials of floating lines add to the currents, in A."""
        word, bit = self.ends.shared(potential)
        return self.a * word[..., None] - self.e * bit[..., None, :]

    def _factor(self) -> tuple[Tensor, Tensor]:
        """The factors of the matrix from potentials to the sums of currents."""
        floating = self.ends.floating
        assert floating is not None
        word, bit, rows = floating.word, floating.bit, self.a.shape[-2]
        a, e = self.a / self.scale, self.e / self.scale
        crossed = word[..., None] & bit[..., None, :]
        diagonal = torch.cat([torch.where(word, a.sum(-1), 0), torch.where(bit, e.sum(-2), 0)], -1)
        # Lines that hang together and on nothing else would make it singular.
        diagonal = diagonal * (1 + 4 * torch.finfo(a.dtype).eps)
        matrix = torch.diag_embed(torch.where(diagonal == 0, 1, diagonal))
        matrix[..., :rows, rows:] = torch.where(crossed, -e, 0)
        matrix[..., rows:, :rows] = torch.where(crossed, -a, 0).mT
        factor, pivots = torch.linalg.lu_factor_ex(matrix)[:2]
        return factor, pivots
