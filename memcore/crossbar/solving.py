"""What stands behind the effects of some cells as a circuit, and all its voltages."""

from torch import Tensor

from memcore import _check
from memcore.circuit.array import ArrayCircuit
from memcore.circuit.drive import Drive
from memcore.circuit.solution import Solution
from memcore.crossbar.cells import Cells
from memcore.crossbar.given import drive_of
from memcore.crossbar.product import require_circuit
from memcore.errors import ArgumentTypeError


def circuit_behind(cells: Cells) -> ArrayCircuit:
    """What multiplies the voltages, as a circuit.

    Raises:
        ConfigError: there is no circuit behind an effect.
    """
    return require_circuit(cells.effects.product, cells.conductance.double(), cells.config.effects)


def solved(cells: Cells, v: Tensor | Drive) -> Solution:
    """The circuit at voltages of its word lines or at any drive, see `Crossbar.solve`."""
    if not isinstance(v, Tensor | Drive):
        raise ArgumentTypeError(
            f"v is a {type(v).__name__}; expected a tensor of V, or a Drive: use torch.as_tensor"
        )
    if isinstance(v, Tensor):
        _check.tensor("v", v, "[..., rows]", "V", any_real=True)
    circuit = circuit_behind(cells)
    lines = drive_of(v, cells.tiling, len(circuit.g)) if isinstance(v, Tensor) else v
    solution = circuit.solve(lines)
    return solution[..., 0] if len(circuit.g) == 1 else solution
