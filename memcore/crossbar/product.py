"""What multiplies the voltages: the matrix and the circuit of a product, where it has one."""

import copy
import dataclasses
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, Self, TypeVar

import torch
from torch import Tensor, nn

from memcore.circuit.array import ArrayCircuit
from memcore.circuit.drive import Drive
from memcore.circuit.laid import joined_law, joined_series
from memcore.circuit.laws import CellLaw, Ohmic
from memcore.circuit.series import SeriesElement
from memcore.contracts.effect import NonIdeality
from memcore.contracts.layout import Layout
from memcore.contracts.product import Product
from memcore.contracts.records import Stage
from memcore.contracts.wires import Wires
from memcore.crossbar.transforms import is_transformed
from memcore.errors import ConfigError, ConversionError, NoEffectWarning
from memcore.registry.specs import provided_name

#: Currents of single cells that are solved together, 32 MB of float64 in each tensor.
_AT_ONCE = 1 << 22
_OHMIC = Ohmic()


P = ParamSpec("P")
R = TypeVar("R")
#: Iterations, whose number depends on the values, are no part of a graph.
_uncompiled: Callable[[Callable[P, R]], Callable[P, R]] = torch.compiler.disable


class CircuitProduct(Product):
    """The currents of a circuit that is not linear, solved for each vector."""

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and is_transformed(v, g):
            raise ConversionError(
                "a circuit that is solved by iteration was called under a transform of torch.func, "
                "which follows no iteration; expected a plain call, as of model(x) with a batch in "
                "place of vmap, or a network without transistors and selectors"
            )
        if v.requires_grad and torch.is_grad_enabled():
            warnings.warn(
                "the voltages require gradients, which cells that are not ohmic are solved "
                "without; expected v.detach(), or ohmic cells: their currents, and "
                "memcore.effective_conductance(g, wires), have gradients",
                NoEffectWarning,
                stacklevel=2,
            )
        if v.is_meta or g.is_meta:
            return v.new_empty(len(v), g.shape[1], g.shape[3], device="meta")
        at_once = max(1, _AT_ONCE // g[0].numel())
        some = [g] if len(g) == 1 else torch.split(g, at_once)
        volts = torch.split(v, at_once)
        every = some * len(volts) if len(some) == 1 else some
        # As a decorator it would import all of torch._dynamo, which takes as long as torch does.
        solved = _uncompiled(self._solved) if torch.compiler.is_compiling() else self._solved
        with torch.no_grad():  # which has been said
            return torch.cat([solved(v, g) for v, g in zip(volts, every, strict=True)])

    def _solved(self, v: Tensor, g: Tensor) -> Tensor:
        circuit = self.circuit(g[0] if len(g) == 1 else g)
        assert circuit is not None
        # Parts that share word lines are driven together; those of one array come one by one.
        lines = v[:, : v.shape[1] // circuit.layout.parts]
        current = circuit.solve(Drive.read(lines)).current
        return circuit.layout.separate(current.unsqueeze(-2)).squeeze(-2)


class Solved(CircuitProduct):
    """Cells that are not ohmic, with or without wires.

    Args:
        wires: resistances; None for wires without.
        law: current of a cell for its voltage.
        series: transistor or selector in series with each cell; None for none.
    """

    def __init__(
        self,
        wires: Wires | None = None,
        law: CellLaw = _OHMIC,
        series: SeriesElement | None = None,
    ) -> None:
        super().__init__()
        self.wires, self.law, self.series = wires, law, series

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Parameters of the elements go where the module goes."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in ("wires", "law", "series"):
            setattr(self, name, _applied(getattr(self, name), fn))
        return self

    def circuit(self, g: Tensor) -> ArrayCircuit:
        return ArrayCircuit(g=g, wires=self.wires, law=self.law, series=self.series)


def _applied(element: Any, fn: Callable[[Tensor], Tensor]) -> Any:
    """A dataclass with a function applied to its tensors; anything else as it is."""
    if not dataclasses.is_dataclass(element) or isinstance(element, type):
        return element
    tensors = {
        field.name: fn(value)
        for field in dataclasses.fields(element)
        if isinstance(value := getattr(element, field.name), Tensor)
    }
    moved = copy.copy(element)
    for name, value in tensors.items():
        object.__setattr__(moved, name, value)  # checked before, and not to be looked at on meta
    return moved


class Joined(CircuitProduct):
    """Products that bring different things to the circuits of the same cells.

    Args:
        products: what effects have bound; each has a circuit.
    """

    def __init__(self, products: Iterable[Product]) -> None:
        super().__init__()
        self.products = nn.ModuleList(products)

    def stay(self, before: Product) -> None:
        if isinstance(before, Joined) and len(before.products) == len(self.products):
            for product, known in zip(self.products, before.products, strict=True):
                assert isinstance(product, Product)
                assert isinstance(known, Product)
                product.stay(known)

    def circuit(self, g: Tensor) -> ArrayCircuit:
        every = [circuit_of(product, g) for product in self.products]
        circuits = [circuit for circuit in every if circuit is not None]
        # Only wires know where the lines lie.
        base = next((circuit for circuit in circuits if circuit.wires is not None), circuits[0])
        law = next((c.law for c in circuits if not isinstance(c.law, Ohmic)), base.law)
        series = next((c.series for c in circuits if c.series is not None), None)
        if base.layout.parts > 1:
            pairs, shape = Layout(parts=base.layout.parts), g.shape[-3:]
            law = joined_law(law, pairs, shape)
            series = None if series is None else joined_series(series, pairs, shape)
        return dataclasses.replace(base, law=law, series=series)


def joined(products: Mapping[str, nn.Module]) -> nn.Module | None:
    """What multiplies the voltages where effects have bound these products; None for none.

    Raises:
        ConfigError: there are several, and one has no circuit.
    """
    if len(products) <= 1:
        return next(iter(products.values()), None)
    circuits = []
    for name, product in products.items():
        if not isinstance(product, Product) or type(product).circuit is Product.circuit:
            raise ConfigError(
                f"bind() of {name!r} returned {type(product).__name__} without a circuit, though "
                "it brings something to one; expected a memcore.Product with circuit(g)"
            )
        circuits.append(product)
    return Joined(circuits)


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
