"""What multiplies the voltages: the matrix and the circuit of a product, where it has one."""

import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from memcore.circuit.array import ArrayCircuit
from memcore.circuit.drive import Drive
from memcore.circuit.laws import CellLaw
from memcore.circuit.series import SeriesElement
from memcore.circuit.solver import solve
from memcore.contracts.effect import NonIdeality
from memcore.contracts.product import Product
from memcore.contracts.records import Stage
from memcore.contracts.wires import Wires
from memcore.errors import ConfigError, NoEffectWarning
from memcore.registry.specs import provided_name


class Solved(Product):
    """The currents of cells that are not ohmic, solved for each vector.

    Args:
        wires: resistances.
        law: current of a cell for its voltage.
        series: what is in series with each cell.
    """

    def __init__(self, wires: Wires, law: CellLaw, series: SeriesElement | None) -> None:
        super().__init__()
        self.wires, self.law, self.series = wires, law, series

    def circuit(self, g: Tensor) -> ArrayCircuit:
        return ArrayCircuit(g=g, wires=self.wires, law=self.law, series=self.series)

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        if v.requires_grad and torch.is_grad_enabled():
            warnings.warn(
                "the voltages require gradients, which cells that are not ohmic are solved "
                "without; expected v.detach(), or ohmic cells: their currents, and "
                "memcore.effective_conductance(g, wires), have gradients",
                NoEffectWarning,
                stacklevel=2,
            )
        wires, drive = self.wires.like(g), Drive.read(v)
        return solve(g, wires, drive, law=self.law, series=self.series).current


def circuit_of(product: nn.Module | None, g: Tensor) -> ArrayCircuit | None:
    """The circuit behind a product, for conductances [arrays, rows, cols] S; None if none is."""
    if product is None:
        return ArrayCircuit(g=g)
    return product.circuit(g) if isinstance(product, Product) else None


def require_circuit(
    product: nn.Module | None, g: Tensor, effects: Mapping[str, NonIdeality]
) -> ArrayCircuit:
    """The circuit behind a product.

    Raises:
        ConfigError: there is none.
    """
    circuit = circuit_of(product, g)
    if circuit is not None:
        return circuit
    computing = ((name, effect) for name, effect in effects.items() if effect.stage is Stage.MVM)
    name, effect = next(computing, ("an effect", None))
    exact = None if effect is None else effect.exact()
    if exact is None:
        raise ConfigError(
            f"{name!r} computes the currents in a way of its own: there is no circuit behind it; "
            "expected wires=, law=, series=, ir_drop, or a memcore.Product with a circuit(g)"
        )
    raise ConfigError(
        f"{name!r} is an approximation: there is no circuit behind it; expected what it "
        f"approximates, {provided_name(exact)!r} with the same resistances"
    )


def warn_of_approximate_wires(effects: Mapping[str, NonIdeality]) -> None:
    """Say which wires do not act while cells are written.

    Warns:
        NoEffectWarning: an effect approximates what wires do to reads.
    """
    approximate = [name for name, effect in effects.items() if effect.exact() is not None]
    if approximate:
        warnings.warn(
            f"while cells are written, the wires of {approximate[0]!r}, which approximates reads "
            "only, do not act; expected an ir_drop, or wires='none' of the programmer",
            NoEffectWarning,
            stacklevel=2,
        )
