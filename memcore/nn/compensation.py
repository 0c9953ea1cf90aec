"""`compensate`: a digital factor against drift, found by reading known inputs."""

from typing import Literal

import torch
from torch import Tensor, nn

from memcore import _check
from memcore._text import shown
from memcore.contracts.layer import Layer
from memcore.crossbar.crossbar import Crossbar
from memcore.errors import ConfigError
from memcore.nn.matrix import Matrix
from memcore.nn.verbs import evaluating
from memcore.nn.walk import named_matrices

_LEAST = 1e-4  #: mean output below which a factor would only amplify noise, network units

Scope = Literal["layer", "column"]
Reference = Literal["programmed", "exact"]


@torch.no_grad()
def compensate(
    model: nn.Module,
    *,
    per: Scope = "layer",
    probes: int = 16,
    reference: Reference = "programmed",
) -> None:
    """Scale the outputs of all matrices by what drift has taken from them since programming.

    Random inputs, always the same ones of a chip, are applied and the mean magnitude of the outputs
    is compared with a reference; the quotient is a digital factor behind the ADCs, in use until it
    is found anew or the cells are written again. Joshi et al., "Accurate deep neural network
    inference using computational phase-change memory", Nat. Commun. 11:2473 (2020), have one factor
    for each layer.

    It costs `probes` reads of each matrix, twice as many if the reference is read too, all of which
    `memcore.counting` counts.

    Args:
        model: a converted network.
        per: one factor for each `"layer"` (strictly, each of its matrices) or each `"column"`,
            that is, each output.
        probes: number of random inputs.
        reference: what the outputs are compared with: the same inputs read right after writing
            (`"programmed"`), or their `"exact"` digital product, which has no noise and costs no
            read, and with which errors of writing are scaled away too.

    Raises:
        ConfigError: an argument does not fit, or converters have no range yet.
        ConversionError: there is no memristive layer.

    Examples:
        >>> config = memcore.CrossbarConfig(device="ideal", nonidealities=["drift"])
        >>> mem = memcore.convert(nn.Linear(3, 2), config)
        >>> memcore.age(mem, seconds=3600.0)
        >>> memcore.compensate(mem)
    """
    require_choice("per", per, ("layer", "column"))
    require_choice("reference", reference, ("programmed", "exact"))
    probes = _check.integer("probes", probes, at_least=1)
    with evaluating(model):
        done = set()
        for name, (layer, matrix) in named_matrices(model).items():
            if matrix in done:
                continue
            done.add(matrix)
            if not matrix.crossbar.is_set:
                raise ConfigError(
                    f"converters of {name or 'the model'} have no range yet; expected ranges: call "
                    "memcore.calibrate(model, inputs) first"
                )
            operand = layer.present()[name_in(layer, matrix)]
            weight = matrix.packed_of(operand) if reference == "exact" else None
            matrix.crossbar.correct(_factor(matrix.crossbar, per, probes, weight))


def _factor(crossbar: Crossbar, per: Scope, probes: int, weight: Tensor | None) -> Tensor:
    """What the outputs are multiplied by, [] or [cols]."""
    x = _probes(crossbar, probes)
    crossbar.correct(None)
    if weight is None:
        now = crossbar.cells.clock.segments
        try:
            crossbar.set_clock(now * now.new_tensor([1.0, 0.0, 1.0, 0.0]))  # right after writing
            before = crossbar(x)
        finally:
            crossbar.set_clock(now)
    else:
        before = torch.einsum("ngk,gok->ngo", crossbar.driven(x), weight)
    after = crossbar(x)
    dims = (0, 1, 2) if per == "layer" else (0, 1)
    was, now = (y.abs().mean(dims).clamp(min=_LEAST) for y in (before, after))
    factor: Tensor = was / now
    return factor


def _probes(crossbar: Crossbar, count: int) -> Tensor:
    """Inputs [count, groups, rows], uniform in the range of the DAC, or in [-1, 1]."""
    like, t = crossbar.folded, crossbar.tiling
    shape = (count, t.groups, t.rows - crossbar.constant)
    share = crossbar.cells.random.child("compensation").uniform(shape, device=like.device)
    low, high = crossbar.input.range[0].tolist()
    if not low < high:  # no DAC
        low, high = -1.0, 1.0
    x: Tensor = low + (high - low) * share
    return x.to(like.dtype)


def name_in(layer: Layer, matrix: Matrix) -> str:
    """What a layer calls one of its matrices."""
    return next(name for name, each in layer.matrices.items() if each is matrix)


def require_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse what is none of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{name}={shown(value)}; expected one of {choices}")
