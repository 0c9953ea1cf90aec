"""How linear converters are: INL, DNL and effective bits of each instance."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from memcore._text import aligned
from memcore.contracts.forms import UniformLevels
from memcore.contracts.transfer import Thresholds, Transfer
from memcore.errors import ArgumentTypeError, ConfigError

#: Points of the sine and, for each code, of the ramp that converters are tried with.
_SINE, _RAMP = 1 << 13, 64
#: Values that are converted together.
_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Linearity:
    """The errors of each converter of a form, in least significant bits (LSB), float64.

    INL and DNL are those of the thresholds between codes against the straight line through the
    first and the last one (IEEE 1241), offset and gain those of that line. `str()` is a table.

    Attributes:
        inl: integral non-linearity of each threshold, [instances, codes - 1].
        dnl: differential non-linearity of each code between two others, [instances, codes - 2];
            -1 for a code that is missing.
        offset: of the first threshold, LSB, [instances].
        gain: relative error of the width of all codes, [instances].
        enob: effective number of bits with a sine of full scale, noise included, [instances].
    """

    inl: Tensor
    dnl: Tensor
    offset: Tensor
    gain: Tensor
    enob: Tensor

    @property
    def missing(self) -> Tensor:
        """Codes that never come out, [instances]."""
        return (self.dnl <= -1 + 1e-9).sum(-1)

    def __str__(self) -> str:
        inl, dnl = self.inl.abs().amax(-1), self.dnl.abs().amax(-1)
        columns = {
            "INL": inl,
            "DNL": dnl,
            "offset": self.offset,
            "gain": self.gain,
            "ENOB": self.enob,
            "missing": self.missing.double(),
        }
        head = (f"of {len(inl)} converters", "lowest", "median", "highest")
        rows = [
            (name, *(f"{float(v):.4g}" for v in (x.min(), x.median(), x.max())))
            for name, x in columns.items()
        ]
        return "\n".join(aligned([head, *rows]))


@torch.no_grad()
def linearity(form: nn.Module) -> Linearity:
    """The linearity of the converters that a form stands for.

    Args:
        form: what `Converter.bind` returned, a `Transfer` or `UniformLevels`. A converted layer has
            it as `crossbar.output.form`, with several lanes as one of its `forms`.

    Raises:
        ArgumentTypeError: it is another form.
        ConfigError: it has fewer than four codes.
    """
    if isinstance(form, UniformLevels):
        form = _thresholds(form)
    if not isinstance(form, Transfer):
        raise ArgumentTypeError(
            f"the form is a {type(form).__name__}; expected a memcore.Transfer or UniformLevels: "
            "that of a converted layer is layer.crossbar.output.form, and where lanes have their "
            "own, each of form.forms"
        )
    if len(form.values) < 4:
        raise ConfigError(f"the form has {len(form.values)} codes; expected 4 or more")
    values = form.values.double()
    lsb = (values[-1] - values[0]) / (len(values) - 1)
    edges = _edges(form, values)
    ideal = (values[0] + 0.5 * lsb).item()
    first, last = edges[:, :1], edges[:, -1:]
    width = (last - first) / (edges.shape[1] - 1)
    line = first + width * torch.arange(edges.shape[1], device="cpu").to(edges)
    return Linearity(
        inl=(edges - line) / width,
        dnl=edges.diff(dim=1) / width - 1,
        offset=(first[:, 0] - ideal) / lsb,
        gain=width[:, 0] / lsb - 1,
        enob=_enob(form, values, lsb),
    )


def _thresholds(form: UniformLevels) -> Thresholds:
    if form.step.numel() != 1:
        raise ConfigError("the form has a step for each column; expected one step")
    codes = torch.arange(form.lo, form.hi + 1, dtype=torch.float64, device=form.step.device)
    step = form.step.double()
    edges = (codes[1:] - 0.5) * step + form.offset
    return Thresholds(edges[None], codes * step + form.offset)


def _edges(form: Transfer, values: Tensor) -> Tensor:
    """Thresholds of each instance, [instances, codes - 1]: exact, or from a ramp by code density.

    With a ramp, code k begins where as many points have passed as have a lower code.
    """
    if isinstance(form, Thresholds):
        return form.edges.double()
    margin = 0.5 * (values[-1] - values[0])
    low, high = values[0] - margin, values[-1] + margin
    points = 2 * _RAMP * len(values)
    ramp = low + (high - low) * (torch.arange(points, device="cpu").to(values) + 0.5) / points
    edges = []
    for some in torch.split(_instances(form), _chunk(points)):
        code = form.code(ramp[:, None].to(form.values), some[None])
        counts = torch.zeros(len(values), len(some), dtype=torch.float64, device=values.device)
        counts.scatter_add_(0, code, torch.ones_like(code, dtype=torch.float64))
        below = counts.cumsum(0)[:-1].T
        edges.append(low + (high - low) * below / points)
    return torch.cat(edges)


def _enob(form: Transfer, values: Tensor, lsb: Tensor) -> Tensor:
    """Effective bits, [instances]: what a sine of full scale leaves beside the fitted sine."""
    phase = 2 * math.pi * (torch.arange(_SINE, device="cpu").to(values) + 0.5) / _SINE
    middle, swing = (values[0] + values[-1]) / 2, (values[-1] - values[0] + lsb) / 2
    wave = torch.stack([phase.sin(), phase.cos()])
    x = middle + swing * wave[0]
    found = []
    for some in torch.split(_instances(form), _chunk(_SINE)):
        y = values[form.code(x[:, None].to(form.values), some[None])]
        y = y - y.mean(0)
        shares = 2 / _SINE * wave @ y  # sine and cosine are orthogonal
        noise = form.noise.double().square()
        rest = (y - wave.T @ shares).square().mean(0) + (noise[some] if noise.dim() else noise)
        ratio = shares.square().sum(0) / 2 / rest
        found.append((10 * ratio.log10() - 10 * math.log10(1.5)) / (20 * math.log10(2)))
    return torch.cat(found)


def _instances(form: Transfer) -> Tensor:
    return torch.arange(form.instances, device=form.values.device)


def _chunk(points: int) -> int:
    return max(1, _AT_ONCE // points)
