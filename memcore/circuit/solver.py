"""Newton's method for the circuit of a crossbar."""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from memcore._text import shown
from memcore.circuit.cell import Cell, OperatingPoint
from memcore.circuit.currents import TOLERANCE, check_iteration
from memcore.circuit.damping import HALVINGS, chosen, largest, ratio
from memcore.circuit.drive import Drive
from memcore.circuit.gated import GatedCircuit
from memcore.circuit.gradients import warn_of_gradients
from memcore.circuit.inputs import require_rising, shape_of
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.losses import Lines, lines_of
from memcore.circuit.newton_step import Floating, step
from memcore.circuit.ohmic import OhmicCircuit
from memcore.circuit.series import SeriesElement, gated
from memcore.circuit.shared import Shared, worthwhile
from memcore.circuit.solution import Solution, require_start
from memcore.circuit.terminals import Terminals
from memcore.contracts.wires import Wires
from memcore.errors import ConfigError, ConvergenceError

_OHMIC = Ohmic()
#: Of the tolerance that a kernel is asked for, whose residual is another one.
_SHARE = 0.1


def solve(
    g: Tensor,
    wires: Wires,
    drive: Drive,
    *,
    law: CellLaw = _OHMIC,
    series: SeriesElement | None = None,
    tolerance: float | None = None,
    iterations: int = 100,
    strict: bool = True,
    start: Solution | None = None,
) -> Solution:
    """Find the voltages and currents of a crossbar at rest.

    All follows from the cell currents c: with s what is applied, K what wires lose, and p the
    potentials of floating lines, the voltages across cells are u = s + B p - K c, c is what the law
    gives for u, and the currents of a floating line add up to nothing. Newton's method solves for
    u and p; it is damped until the equations are closer to being met, for each vector by itself.
    No array is factorised, only single lines; an iteration takes O(rows x cols) for a vector, with
    a dense system of the floating lines where there are any.

    Ohmic cells need no iteration: where several vectors, or floating lines, are on the same array
    of `g`, it is eliminated once for all of them; one vector on a small array is found by a kernel
    that iterates between word and bit lines. The equations are checked as always.

    Resistances of 0 are exact. There are no gradients: a warning names inputs that require some.

    Args:
        g: conductances [..., rows, cols] in siemens, at least 0, float32 or float64.
        wires: resistances.
        drive: voltages at the ends of the lines; its leading dimensions, those of `g` and those of
            parameters of `law` and `series` broadcast.
        law: current-voltage law of the memristors.
        series: element in series with the memristor of each cell, None for none.
        tolerance: largest `Solution.residual`; None for 1e-10, or 1e-5 in float32.
        iterations: largest number of iterations of Newton's method.
        strict: whether a solution that has not converged is an error rather than returned.
        start: solution of a similar circuit from which to start; None to start from cells without
            current.

    Raises:
        ConvergenceError: the tolerance is not met and `strict`.
        ConfigError: a shape, a dtype or an object does not fit, a voltage is not finite, or no line
            has a potential, or the current of the law falls with the voltage.
        ArgumentTypeError: `g` is no tensor of float32 or float64, or `wires` is something else.
        ConfigError: a conductance is negative or not finite.
    """
    check_iteration(tolerance, iterations)
    if not isinstance(strict, bool):
        raise ConfigError(f"strict={shown(strict)}; expected True or False")
    warn_of_gradients("solve", g=g, wires=wires, drive=drive, law=law, series=series)
    with torch.no_grad():
        circuit = _circuit_of(g, wires, drive, law, series)
        bound = TOLERANCE[g.dtype] if tolerance is None else tolerance
        solution = None
        if start is None:
            solution = _eliminated(circuit, g, wires, bound) or _iterated(circuit, g, bound)
        if solution is None or not bool(solution.converged.all()):
            solution = circuit.solve(solution or start, bound, iterations)
    if strict and not bool(solution.converged.all()):
        raise ConvergenceError(_unmet(solution, bound))
    return solution


def _circuit_of(
    g: Tensor, wires: Wires, drive: Drive, law: CellLaw, series: SeriesElement | None
) -> "_Circuit | GatedCircuit":
    """The equations of a circuit, once all of it is known to fit."""
    kind = _Circuit if gated(series) is None else GatedCircuit
    circuit = kind.of(g, wires, drive, law, series)
    require_rising(law, g, circuit.shape, circuit.ends.span)
    return circuit


def _eliminated(
    circuit: "_Circuit | GatedCircuit", g: Tensor, wires: Wires, bound: float
) -> Solution | None:
    """The solution of ohmic cells without an iteration; None where that is not the shorter way."""
    if not isinstance(circuit, _Circuit) or not circuit.linear or circuit.lines.ideal:
        return None
    if not worthwhile(g, wires, circuit.ends, circuit.shape):
        return None
    return circuit.eliminated(Shared.of(g, wires, circuit.shape), bound)


def _iterated(circuit: "_Circuit | GatedCircuit", g: Tensor, bound: float) -> Solution | None:
    """The solution of ohmic cells of arrays with a vector each, by a kernel; None without one."""
    if not isinstance(circuit, _Circuit) or not circuit.linear or circuit.floating is not None:
        return None
    cells = g.reshape(-1, *g.shape[-2:])
    ohmic = OhmicCircuit.between(g, circuit.lines) if tuple(g.shape) == circuit.shape else None
    if ohmic is None or ohmic.wires.arrays not in (1, len(cells)):
        return None
    ends = (circuit.ends.word, g.shape[:-1]), (circuit.ends.bit, (*g.shape[:-2], g.shape[-1]))
    volts = [each.expand(shape).reshape(len(cells), -1) for each, shape in ends]
    across = ohmic.wires.solve(cells, *volts, tolerance=_SHARE * bound).voltage
    return circuit.known(across.view(g.shape), None, bound)


def _unmet(solution: Solution, bound: float) -> str:
    wrong = int((~solution.converged).sum())
    vectors = f"{wrong} of {solution.residual.numel()} vectors"
    if bool(solution.residual.isnan().any()):
        return (
            f"the residual of {vectors} is NaN after {solution.iterations} iterations: the law, "
            "what is in series or the start gives currents or voltages that are not finite"
        )
    return (
        f"the residual of {vectors} is up to {float(solution.residual.max()):.1e} after "
        f"{solution.iterations} iterations; expected at most {bound:.1e}: allow more iterations or "
        "a larger tolerance, use float64, or take what there is with strict=False"
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _State:
    """Operating points, U + R I, potentials p of floating lines, and errors of the equations."""

    point: OperatingPoint
    x: Tensor
    potential: Tensor | None
    loss: Tensor
    excess: Tensor | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Circuit:
    """The equations F = u + K c - s - B p = 0 in V and h = B^T c = 0 in A."""

    shape: tuple[int, ...]  # [..., rows, cols], of all vectors and arrays
    cell: Cell
    lines: Lines
    ends: Terminals

    @classmethod
    def of(
        cls, g: Tensor, wires: Wires, drive: Drive, law: CellLaw, series: SeriesElement | None
    ) -> Self:
        shape = shape_of(g, wires, drive, law, series)
        ends = Terminals.of(g, drive, shape)
        opened = (None, None) if ends.floating is None else (ends.floating.word, ends.floating.bit)
        lines = lines_of(g, wires, *opened)
        cell = Cell(law=law, series=series, g=g, own=lines.own)
        return cls(shape=shape, cell=cell, lines=lines, ends=ends)

    @property
    def linear(self) -> bool:
        """Whether all cells are ohmic."""
        return self.cell.series is None and isinstance(self.cell.law, Ohmic)

    def eliminated(self, shared: Shared, bound: float) -> Solution:
        """By one elimination of each array, for all vectors together."""
        potential = shared.potential(self.ends)
        return self.known(shared.voltages(self.ends, potential), potential, bound)

    def known(self, across: Tensor, potential: Tensor | None, bound: float) -> Solution:
        """With known voltages of ohmic cells, and potentials of floating lines."""
        current, slope = self.cell.g * across, self.cell.g.expand(self.shape)
        point = OperatingPoint(voltage=across, device=across, current=current, slope=slope)
        word, bit = self._nodes(current, potential)
        loss = (word - bit).sub_(across)
        excess = None if self.floating is None else self.floating.total(current)
        state = _State(point=point, x=across, potential=potential, loss=loss, excess=excess)
        residual = self.residual(state)
        return Solution(
            word_line=word,
            bit_line=bit,
            cell_current=current,
            device_voltage=across,
            iterations=0,
            residual=residual,
            converged=residual <= bound,
        )

    def solve(self, start: Solution | None, bound: float, iterations: int) -> Solution:
        """By Newton's method, damped until the equations are closer to being met."""
        begin = self.start() if start is None else self.near(start)
        state, count = _newton(self, begin, bound, iterations)
        residual = self.residual(state)
        return self.solution(state, count, residual, residual <= bound)

    @property
    def floating(self) -> Floating | None:
        """The floating lines."""
        return self.ends.floating

    @cached_property
    def applied(self) -> Tensor:
        """The applied voltages, s in the equations."""
        return self.ends.word[..., :, None] - self.ends.bit[..., None, :]

    def start(self) -> _State:
        """The state without currents, so that the first step has the slopes at 0 V."""
        zero = self.cell.g.new_zeros(self.shape)
        *batch, rows, cols = self.shape
        potential = None if self.floating is None else zero.new_zeros((*batch, rows + cols))
        return self.at(zero, zero, potential)

    def near(self, known: Solution) -> _State:
        """The state with the voltages and currents of a solution."""
        require_start(known, self.shape)
        shape = self.shape
        known = known.to(self.cell.g.dtype)
        device, current = known.device_voltage, known.cell_current
        x = known.cell_voltage + self.cell.own * current
        driven = largest(self.applied)[..., None, None] > 0  # else nothing but rest is near
        x, device = (torch.where(driven, each, 0).expand(shape) for each in (x, device))
        potential = None
        if self.floating is not None:
            word = (known.word_line + self.lines.word.drop(current))[..., 0]
            bit = (known.bit_line - self.lines.bit.drop(current))[..., 0, :]
            potential = torch.where(driven[..., 0], torch.cat([word, bit], -1), 0)
        return self.at(x, device, potential)

    def at(self, x: Tensor, guess: Tensor, potential: Tensor | None) -> _State:
        """The state with U + R I = `x`."""
        point = self.cell.at(x, guess)
        loss = point.voltage + self.lines.drop(point.current) - self.applied
        excess = None
        if self.floating is not None and potential is not None:
            loss = loss - self.floating.spread(potential)
            excess = self.floating.total(point.current)
        return _State(point=point, x=x, potential=potential, loss=loss, excess=excess)

    def residual(self, state: _State) -> Tensor:
        """The residual as in `Solution.residual`, [...]."""
        voltage = largest(self.applied)
        current, slope = state.point.current, state.point.slope
        # Where no current can flow, that of rounded voltages is all there is.
        noise = self.ends.rounding(state.potential)[..., None, None]
        missing = state.loss.abs().sub_(noise).clamp_(min=0).mul_(slope).amax((-2, -1))
        if state.excess is not None and self.floating is not None:
            rounding = self.floating.total(slope * noise).abs()
            excess = (state.excess.abs() - rounding).clamp(min=0)
            missing = torch.maximum(missing, excess.amax(-1))
        parts = (ratio(largest(state.loss), voltage), ratio(missing, largest(current)))
        return torch.maximum(*parts)

    def solution(
        self, state: _State, iterations: int, residual: Tensor, converged: Tensor
    ) -> Solution:
        current = state.point.current
        word, bit = self._nodes(current, state.potential)
        return Solution(
            word_line=word,
            bit_line=bit,
            cell_current=current,
            device_voltage=state.point.device,
            iterations=iterations,
            residual=residual,
            converged=converged,
        )

    def _nodes(self, current: Tensor, potential: Tensor | None) -> tuple[Tensor, Tensor]:
        """The voltages of the nodes of word lines and of bit lines, for the currents of cells."""
        word, bit = self.ends.potentials(potential)
        # In place: new memory takes longer than its use.
        of_word = self.lines.word.drop(current).neg_().add_(word[..., :, None])
        return of_word, self.lines.bit.drop(current).add_(bit[..., None, :])


def _newton(circuit: _Circuit, state: _State, bound: float, iterations: int) -> tuple[_State, int]:
    for count in range(iterations):
        residual = circuit.residual(state)
        going = residual > bound  # not those that are NaN
        if not bool(going.any()):
            return state, count
        # No more digits than the step deserves: its error is of second order.
        wanted = residual.new_tensor(0.0) if circuit.linear else (0.1 * residual).clamp(max=1e-2)
        # Without currents yet, the residual is infinite.
        wanted = torch.maximum(wanted, 0.1 * bound / residual.clamp(min=bound, max=1))
        wanted = torch.where(going, wanted, torch.inf)[..., None, None]
        slope, loss, excess = state.point.slope, state.loss, state.excess
        change = step(slope, circuit.lines, circuit.floating, loss, excess, wanted)
        state, moved = _damped(circuit, state, change, going)
        if not bool(moved.any()):
            return state, count + 1
    return state, iterations


def _damped(
    circuit: _Circuit, state: _State, change: tuple[Tensor, Tensor | None], going: Tensor
) -> tuple[_State, Tensor]:
    """The first of half as long steps that meets the equations better; which vectors found one."""
    direction = (1 + circuit.cell.own * state.point.slope) * change[0]
    weight = _weight(circuit, state)
    worst = _merit(state, weight)
    length, moved = torch.ones_like(worst), torch.zeros_like(going)
    for _ in range(HALVINGS):
        tried = torch.where(going & ~moved, length, 0)
        potential = state.potential
        if potential is not None and change[1] is not None:
            potential = potential + tried[..., None] * change[1]
        x = state.x + tried[..., None, None] * direction
        candidate = circuit.at(x, state.point.device, potential)
        better = going & ~moved & (_merit(candidate, weight) < (1 - 1e-4 * length) * worst)
        state = chosen(better, candidate, state)
        moved = moved | better
        if bool((moved == going).all()):
            break
        length = length / 2
    return state, moved


def _weight(circuit: _Circuit, state: _State) -> Tensor | None:
    """The resistances by which the excess currents of lines count as voltages, in ohm."""
    if circuit.floating is None:
        return None
    return circuit.floating.total(state.point.slope).abs().clamp(min=1e-30).reciprocal()


def _merit(state: _State, weight: Tensor | None) -> Tensor:
    merit = state.loss.square().sum((-2, -1))
    if weight is not None and state.excess is not None:
        merit = merit + (weight * state.excess).square().sum(-1)
    return merit.sqrt()
