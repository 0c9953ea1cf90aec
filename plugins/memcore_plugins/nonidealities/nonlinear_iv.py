"""Cells whose current is not proportional to the voltage."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from memcore import (
    ArrayInfo,
    ConfigError,
    Context,
    Distribution,
    NonIdeality,
    Parameter,
    Product,
    Stage,
    circuit,
    parameter,
)
from memcore.modelling import drawn
from memcore_plugins._tensor import as_tensor

#: Currents of single cells that are held at once, 64 MB of float32.
_CHUNK = 1 << 24

#: V, the read voltage of a CrossbarConfig that is not told any.
_USUAL = 0.2


@dataclass(frozen=True, kw_only=True)
class NonlinearIV(NonIdeality):
    """A curved current-voltage relation; the conductance is that at the read voltage V_r.

        sinh         I = G V_r sinh(V / v0) / sinh(V_r / v0)
        polynomial   I = G (V + c2 V^2 + c3 V^3 + ...) / (1 + c2 V_r + c3 V_r^2 + ...)

    So I(V_r) = G V_r by definition, and smaller inputs carry less than their share (more, where a
    cubic term is negative). V_r is the read voltage of the `CrossbarConfig` unless given.

    sinh is hopping or tunnelling, as in the Stanford-PKU model (Guan, Yu, Wong, EDL 33:1405, 2012),
    from which v0 is; V - V^3/4 is the saturating example of a public simulator. Even terms make the
    current depend on the sign, as in Milo et al., IRPS (2021).

    As long as all cells have one curve, an array is one product, f(V) @ G. With a distribution
    of v0 each cell has its own, and a read costs as many exponentials as there are cells.
    """

    stage = Stage.MVM

    law: Literal["sinh", "polynomial"] = parameter("sinh", "1", "shape of I(V)")
    v0: Parameter = parameter(
        0.25, "V", "voltage scale of sinh; Stanford-PKU, release 1.0.0", at_least=1e-9
    )
    coefficients: tuple[float, ...] = parameter(
        (0.0, -0.25),
        "V^-1, V^-2, ...",
        "coefficients c2, c3, ... of the polynomial, relative to the first term",
    )
    read_voltage: float | None = parameter(
        None,
        "V",
        "voltage at which I = G V; None for that of the CrossbarConfig, 0.2 V without one",
        at_least=1e-9,
        at_most=1e3,
    )

    neutral: ClassVar = {"law": "polynomial", "coefficients": ()}

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "coefficients", tuple(self.coefficients))
        if self.law == "polynomial":
            self._require_passive()

    @property
    def _read_voltage(self) -> float:
        return _USUAL if self.read_voltage is None else self.read_voltage

    def _require_passive(self) -> None:
        volts = torch.linspace(-1, 1, 201, dtype=torch.float64, device="cpu") * self._read_voltage
        wrong = volts[_slope(volts, self.coefficients) <= 0]
        if len(wrong):
            raise ConfigError(
                f"NonlinearIV: coefficients={self.coefficients!r} let a cell deliver power at "
                f"{float(wrong[0]):.3g} V; expected V I > 0 up to read_voltage="
                f"{self._read_voltage!r}: lower the coefficients or the voltage"
            )

    def current(self, conductance: Tensor, voltage: Tensor) -> Tensor:
        """Current in A of cells with the nominal curve."""
        nominal = self.v0.nominal if isinstance(self.v0, Distribution) else self.v0
        volts: Tensor = self._curve(as_tensor(nominal, dtype=voltage.dtype))(voltage)
        return conductance * volts

    @property
    def half_bias_ratio(self) -> float:
        """K = I(V_r) / I(V_r / 2) of a nominal cell: 2 if ohmic, 2 cosh(V_r / 2 v0) for sinh."""
        volts = self._read_voltage * torch.tensor([1.0, 0.5], dtype=torch.float64, device="cpu")
        whole, half = self.current(torch.ones_like(volts), volts)
        return float(whole / half)

    @property
    def brings(self) -> frozenset[str]:
        return frozenset({"law"})

    def bind(self, array: ArrayInfo, ctx: Context) -> nn.Module:
        if self.read_voltage is None:
            return dataclasses.replace(self, read_voltage=array.read_voltage).bind(array, ctx)
        v0 = drawn(self.v0, "v0", array, ctx)
        if not v0.is_meta and not bool((v0 > 0).all()):
            raise ConfigError(
                f"NonlinearIV: v0={self.v0!r} draws values <= 0; give the distribution a min > 0"
            )
        curve = self._curve(v0)
        return _OneCurve(curve) if v0.dim() == 0 else _CurveOfEachCell(curve)

    def _curve(self, v0: Tensor) -> "_Sinh | _Polynomial":
        if self.law == "sinh":
            return _Sinh(v0, self._read_voltage)
        return _Polynomial(self.coefficients, self._read_voltage)


def _slope(v: Tensor, coefficients: Sequence[float]) -> Tensor:
    """`1 + c2 v + c3 v^2 + ...`, the current over g v."""
    slope = torch.zeros_like(v)
    for c in reversed(coefficients):
        slope = (slope + c) * v
    return 1 + slope


class _Polynomial(nn.Module):
    """The voltage at which an ohmic cell carries the same current."""

    def __init__(self, coefficients: Sequence[float], read_voltage: float) -> None:
        super().__init__()
        self.coefficients, self.read_voltage = tuple(coefficients), read_voltage
        at = torch.tensor(read_voltage, dtype=torch.float64, device="cpu")
        self.scale = 1 / float(_slope(at, self.coefficients))

    def forward(self, v: Tensor) -> Tensor:
        return self.scale * v * _slope(v, self.coefficients)

    def law(self) -> circuit.CellLaw:
        """The same curve; beyond the read voltage its tangent."""
        return circuit.Polynomial(
            coefficients=(1.0, *self.coefficients),
            read_voltage=self.read_voltage,
            limit=self.read_voltage,
        )


class _Sinh(nn.Module):
    """The voltage at which an ohmic cell carries the same current.

    sinh a / sinh b is exp(|a| - b) expm1(-2|a|) / expm1(-2b) with the sign of a: no overflow.
    """

    v0: Tensor

    def __init__(self, v0: Tensor, read_voltage: float) -> None:
        super().__init__()
        self.register_buffer("v0", v0)
        self.read_voltage = read_voltage

    def forward(self, v: Tensor) -> Tensor:
        v0 = self.v0.to(v.dtype)
        a, b = v.abs() / v0, self.read_voltage / v0
        ratio = (a - b).exp() * (-2 * a).expm1() / (-2 * b).expm1()
        return self.read_voltage * v.sign() * ratio

    def law(self) -> circuit.CellLaw:
        """The same curve."""
        return circuit.Sinh(v0=self.v0.double(), read_voltage=self.read_voltage)


class _Curved(Product):
    """Cells of one curve or of one each."""

    def __init__(self, curve: "_Sinh | _Polynomial") -> None:
        super().__init__()
        self.curve = curve

    def circuit(self, g: Tensor) -> circuit.ArrayCircuit:
        return circuit.ArrayCircuit(g=g, law=self.curve.law())


class _OneCurve(_Curved):
    """`f(V) @ G`."""

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        volts = self.curve(v)
        if len(g) == 1:
            return torch.bmm(volts.transpose(0, 1), g[0]).transpose(0, 1)
        return torch.einsum("nar,narc->nac", volts, g)


class _CurveOfEachCell(_Curved):
    """The currents of all cells, a few reads at a time, then their sums."""

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        size = max(1, _CHUNK // max(1, g[0].numel()))
        volts = torch.split(v.unsqueeze(-1), size)
        cells = torch.split(g, size) if len(g) > 1 else [g] * len(volts)
        lines = [(self.curve(v) * g).sum(-2) for v, g in zip(volts, cells, strict=True)]
        return torch.cat(lines)
