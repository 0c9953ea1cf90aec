"""A layer in one of its trials: digital, and converted in the ways that the checks need."""

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from memcore.contracts.distributions import Normal
from memcore.contracts.effect import NonIdeality
from memcore.contracts.layer import Layer
from memcore.contracts.product import Product
from memcore.contracts.records import Stage
from memcore.crossbar.config import CrossbarConfig
from memcore.nn.conversion import convert
from memcore.nn.matrix import Matrix
from memcore.nn.walk import matrices
from memcore.registry.instances import layers
from memcore.testing.cases import ReferenceDevice

#: The name under which a layer is registered while it is checked.
_NAME = "conformance"


class Holder(nn.Module):
    """A network of one module called `inner`.

    It takes the first argument and returns all outputs as one vector.

    Args:
        inner: the module.
        rest: its other arguments.
    """

    def __init__(self, inner: nn.Module, rest: tuple[Any, ...]) -> None:
        super().__init__()
        self.inner = inner
        self.rest = rest

    def forward(self, first: Tensor) -> Tensor:
        """All outputs, [n]."""
        return torch.cat([each.flatten() for each in _tensors(self.inner(first, *self.rest))])


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Iterable):
        for each in value:
            yield from _tensors(each)


def _of_dtype(value: Any, dtype: torch.dtype) -> Any:
    """An argument of a call in another precision."""
    if isinstance(value, tuple):
        return tuple(_of_dtype(each, dtype) for each in value)
    floats = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if floats else value


@dataclass(frozen=True, eq=False)
class LayerCase:
    """A layer class and one of its trials.

    Args:
        layer: the class that is checked.
        module: a digital module that it replaces.
        inputs: the arguments of a call.
    """

    layer: type[Layer]
    module: nn.Module
    inputs: tuple[Any, ...]

    @classmethod
    def all_of(cls, layer: type[Layer]) -> list["LayerCase"]:
        """A case for each trial, with the same numbers every time."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            every = [(module.eval(), tuple(inputs)) for module, inputs in layer.trials()]
        return [cls(layer, module, inputs) for module, inputs in every]

    def __str__(self) -> str:
        module = " ".join(str(self.module).split())
        return f"{self.layer.__name__} of {module}"

    def fail(self, what: str, remedy: str) -> NoReturn:
        """Fail a check: who, what is wrong, what to do."""
        raise AssertionError(f"{self}: {what}; {remedy}")

    def holder(self, dtype: torch.dtype = torch.float32) -> Holder:
        """A network of a copy of the digital module."""
        return Holder(copy.deepcopy(self.module), self.inputs[1:]).to(dtype)

    def of_dtype(self, dtype: torch.dtype) -> "LayerCase":
        """The same with parameters and inputs of another precision."""
        inputs = tuple(_of_dtype(x, dtype) for x in self.inputs)
        return LayerCase(self.layer, copy.deepcopy(self.module).to(dtype), inputs)

    def convert(self, digital: nn.Module | None = None, *, seed: int = 0, **config: Any) -> Holder:
        """The network converted: on the reference device, with whatever else `config` says."""
        with registered(self.layer):
            asked = {"layers": (_NAME,)} if self.layer.on_request else {}
            settings = CrossbarConfig(
                **{"device": ReferenceDevice(), "tile": (8, 8), **asked, **config}
            )
            first = self.inputs[0] if settings.dac or settings.adc else None
            model = convert(
                self.holder() if digital is None else digital,
                settings,
                seed=seed,
                calibration=first,
            )
        if not isinstance(model, Holder) or not isinstance(model.inner, self.layer):
            self.fail(
                f"memcore.convert makes a {type(getattr(model, 'inner', model)).__name__} of it",
                f"let replaces name {type(self.module).__qualname__}",
            )
        return model

    def outputs(self, model: nn.Module) -> Tensor:
        """All outputs for the inputs, without gradients."""
        with torch.no_grad():
            y: Tensor = model(self.inputs[0].clone())
        return y

    def matrices(self, model: Holder) -> dict[str, Matrix]:
        """The matrices of the converted module by their names."""
        assert isinstance(model.inner, Layer)
        return matrices(model.inner)


def require_equal(
    case: LayerCase, what: str, found: Tensor, wanted: Tensor, tolerance: float, way: Any
) -> None:
    """Fail unless what came for a way of reading is what was wanted, relative to the largest."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        case.fail(
            f"{what} are {found.dtype} {tuple(found.shape)}, those of the digital module "
            f"{wanted.dtype} {tuple(wanted.shape)}",
            "return what the digital module returns",
        )
    scale = float(wanted.abs().max()) or 1.0
    error = float((found - wanted).abs().max()) / scale
    if not error <= tolerance:
        case.fail(
            f"{what} are off by {100 * error:.3g} % on ideal arrays{named(way)}",
            "compare forward with that of the digital module, bias and dtype included",
        )


def named(way: dict[str, Any]) -> str:
    """The settings of a way of reading, for messages."""
    settings = ", ".join(f"{key}={value!r}" for key, value in way.items())
    return f" with {settings}" if settings else ""


@contextmanager
def registered(layer: type[Layer]) -> Iterator[None]:
    """For a while, the layer is what takes the place of the modules that it replaces."""
    layers.register(_NAME, layer, replace=True)
    try:
        yield
    finally:
        layers.unregister(_NAME)


class _Ohm(Product):
    """Ohm's and Kirchhoff's laws, in a way of which memcore knows nothing."""

    def currents(self, v: Tensor, g: Tensor) -> Tensor:
        return (v.unsqueeze(-2) @ g).squeeze(-2)


@dataclass(frozen=True, kw_only=True)
class Ohmic(NonIdeality):
    """An effect that changes nothing, but makes memcore compute the currents of every array."""

    stage = Stage.MVM

    def bind(self, array: Any, ctx: Any) -> nn.Module:
        del array, ctx
        return _Ohm()


class _Fading(nn.Module):
    def forward(self, g: Tensor, seconds: Tensor) -> Tensor:
        """Conductances that fall by half in one second, from the lowest of the device on."""
        lowest = g.new_tensor(1e-5)
        return lowest + (g - lowest) * 0.5 ** seconds.to(g.dtype)


@dataclass(frozen=True, kw_only=True)
class Fading(NonIdeality):
    """An effect of time."""

    stage = Stage.AGE

    def bind(self, array: Any, ctx: Any) -> nn.Module:
        del array, ctx
        return _Fading()


#: Cells that differ from each other, so that two chips do.
SPREAD = ReferenceDevice(r_on=Normal(1e4, 500.0, min=5e3, max=2e4))
