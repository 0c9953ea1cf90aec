"""Conductances and circuits that are given rather than derived from weights and plugins."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore import _check
from memcore.circuit import CellLaw, Drive, OfDevice, Ohmic, SeriesElement
from memcore.circuit.per_cell import PerCell
from memcore.circuit.segments import require_siemens
from memcore.contracts.array import ArrayInfo
from memcore.contracts.device import Memristor
from memcore.contracts.effect import NonIdeality
from memcore.contracts.records import Context, Stage
from memcore.contracts.wires import Wires
from memcore.crossbar.product import Solved
from memcore.crossbar.tiling import Tiling
from memcore.crossbar.wired import Wired
from memcore.errors import ArgumentTypeError, ConfigError, NoEffectWarning, ShapeError, warn
from memcore.registry.instances import devices


@dataclass(frozen=True, kw_only=True)
class GivenCircuit(NonIdeality):
    """Wires with resistances of their own, and cells that need not be ohmic."""

    stage = Stage.MVM
    wires: Wires | None = None
    law: CellLaw | None = None
    series: SeriesElement | None = None

    def __post_init__(self) -> None:
        if self.wires is not None and not isinstance(self.wires, Wires):
            raise ConfigError(f"wires={self.wires!r}; expected memcore.Wires(word_line=..., ...)")
        _require_element("law", self.law, "Sinh(v0=0.25)", "u, g")
        _require_element("series", self.series, "Transistor(gate_line=1.5)", "u")

    @property
    def brings(self) -> frozenset[str]:
        named = {"wires": self.wires, "law": self.law, "series": self.series}
        return frozenset(name for name, each in named.items() if each is not None)

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        del ctx
        for element in (self.law, self.series):
            _require_shapes(element, array)
        if self.wires is not None and self.law is None and self.series is None:
            return Wired(self.wires, array)
        return Solved(self.wires, Ohmic() if self.law is None else self.law, self.series)


def window(conductance: Tensor) -> Memristor:
    """An ideal device whose window just holds the given conductances."""
    highest = float(conductance.max()) or 1.0
    lowest = min(max(float(conductance.min()), 1e-9 * highest), 0.5 * highest)
    device = devices["ideal"](r_on=1 / highest, r_off=1 / lowest)
    assert isinstance(device, Memristor)
    return device


def check(conductance: Tensor) -> None:
    """Refuse what is no matrix of conductances.

    Raises:
        ConfigError: it is not [rows, cols], or has entries that are negative, not finite or above
            1 S.
    """
    _check.tensor("conductance", conductance, "[rows, cols]", "S")
    if conductance.dim() != 2 or not conductance.numel():
        raise ConfigError(
            f"conductance has shape {tuple(conductance.shape)}; expected [rows, cols] in S"
        )
    require_siemens("conductance", conductance)


def warn_of_gradients(conductance: Tensor, circuit: GivenCircuit) -> None:
    """Say which tensors require gradients that nothing computes.

    Warns:
        NoEffectWarning: there are some.
    """
    elements = {"wires": circuit.wires, "law": circuit.law, "series": circuit.series}
    named = {
        f"{name}.{field}": value
        for name, element in elements.items()
        for field, value in getattr(element, "__dict__", {}).items()
    }
    every = {"conductance": conductance, **named}.items()
    wanting = [name for name, x in every if isinstance(x, Tensor) and x.requires_grad]
    if wanting and torch.is_grad_enabled():
        warn(
            f"gradients with respect to {', '.join(wanting)} are not computed: a Crossbar derives "
            "its matrix once; expected memcore.effective_conductance(g, wires), which has them, "
            "or detach()",
            NoEffectWarning,
        )


def _require_element(name: str, element: object, example: str, arguments: str) -> None:
    methods = (getattr(element, method, None) for method in ("current", "slope"))
    if element is None or (not isinstance(element, type) and all(map(callable, methods))):
        return
    raise ConfigError(
        f"{name}={element!r}; expected an object of memcore.circuit such as {example}, or one with "
        f"methods current({arguments}) and slope({arguments})"
    )


def _require_shapes(element: object, array: ArrayInfo) -> None:
    """Parameters of the elements of memcore.circuit fit the cells."""
    cells = (array.arrays, array.rows, array.cols)
    if not isinstance(element, OfDevice | PerCell):
        return
    for name, value in vars(element).items():
        if not isinstance(value, Tensor):
            continue
        shape = value.shape[isinstance(element, OfDevice) :]  # less the variables of a state
        try:
            torch.empty(shape, device="meta").expand(cells)
        except RuntimeError:
            raise ConfigError(
                f"{name} of {type(element).__name__} has shape {list(value.shape)}; expected "
                f"one that broadcasts to [arrays, rows, cols], here {list(cells)}, for cells as "
                "they lie on the arrays"
            ) from None


def check_rows(v: Tensor, rows: int) -> None:
    """Refuse what are no voltages of so many word lines.

    Raises:
        ConfigError: it is no tensor, or of another shape.
    """
    _check.tensor("v", v, f"[..., {rows}]", "V", any_real=True)
    if not v.dim() or v.shape[-1] != rows:
        raise ConfigError(
            f"v has shape {tuple(v.shape)}, but g has {rows} rows; expected v [..., {rows}] in V"
        )


def check_inputs(x: Tensor, groups: int, rows: int) -> None:
    """Refuse what are no inputs [n, groups, rows] of a crossbar.

    Raises:
        ArgumentTypeError: it is no tensor.
        ShapeError: its shape is another one.
    """
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(
            f"x is a {type(x).__name__}; expected a tensor of inputs: use torch.as_tensor(x)"
        )
    if x.dim() != 3 or tuple(x.shape[1:]) != (groups, rows):
        raise ShapeError(
            f"x has shape {list(x.shape)}; expected [n, {groups}, {rows}]: inputs of "
            "each group of word lines. For voltages [..., rows] in V use crossbar @ v"
        )


def check_weight(weight: Tensor) -> None:
    """Refuse what is no matrix of each group.

    Raises:
        ArgumentTypeError: it is no tensor.
        ShapeError: its shape is another one.
    """
    wanted = "a tensor [groups, rows, cols]"
    if not isinstance(weight, Tensor):
        raise ArgumentTypeError(f"weight is a {type(weight).__name__}; expected {wanted}")
    if weight.dim() != 3:
        raise ShapeError(f"weight has shape {list(weight.shape)}; expected {wanted}")


def drive_of(v: Tensor, tiling: Tiling, arrays: int) -> Drive:
    """Inputs [..., rows] V, with several groups [..., groups, rows], on the word lines of arrays.

    Args:
        v: voltages.
        tiling: where the lines of the matrix lie.
        arrays: physical arrays; fewer than parts have where parts share word lines.

    Raises:
        ConfigError: the shape does not fit.
    """
    groups, rows = tiling.groups, tiling.rows
    if v.shape[-1:] != (rows,) or (groups > 1 and v.shape[-2:-1] != (groups,)):
        wanted = f"[..., {groups}, {rows}]" if groups > 1 else f"[..., {rows}]"
        raise ConfigError(
            f"v has shape {tuple(v.shape)}, but g has {rows} rows; expected v {wanted} in V"
        )
    batch = v.shape[:-2] if groups > 1 else v.shape[:-1]
    # The parts that share word lines come first, each with all of its tiles.
    lines = tiling.spread(v.reshape(-1, groups, rows).double())[:, :arrays]
    return Drive.read(lines.reshape(*batch, *lines.shape[1:]))
