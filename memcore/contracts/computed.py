"""Weights that are computed from parameters: by parametrizations, or by hooks before a call."""

from typing import TypeVar, cast

from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

M = TypeVar("M", bound=nn.Module)
#: Hooks of torch that compute a weight before each call of a module.
COMPUTE_WEIGHTS = (WeightNorm, SpectralNorm, BasePruningMethod)


def is_computed(module: nn.Module, name: str) -> bool:
    """Whether torch computes a tensor of a module from parameters, in a way that memcore knows."""
    hooks = module._forward_pre_hooks.values()
    return is_parametrized(module, name) or (
        name in vars(module) and any(isinstance(hook, COMPUTE_WEIGHTS) for hook in hooks)
    )


def computing_as(cls: type[M], parametrized: type[nn.Module]) -> type[M]:
    """The same class, but with the tensors that a parametrized class computes.

    `torch.nn.utils.parametrize` gives each parametrized module a class of its own, whose
    properties compute the tensors. They work for any module that has the parametrizations.
    """
    computed = {
        name: each for name, each in vars(parametrized).items() if isinstance(each, property)
    }
    namespace = {"__module__": cls.__module__, "__doc__": cls.__doc__, **computed}
    return cast(type[M], type(cls.__name__, (cls,), namespace))


def follow(module: nn.Module, layer: nn.Module) -> None:
    """Let a digital module compute what its layer computes, parametrized meanwhile or no more."""
    here, there = ("parametrizations" in each._modules for each in (module, layer))
    if here and not there:
        del module._modules["parametrizations"]
        module.__class__ = type(module).__bases__[0]
    elif there and not here:
        module.parametrizations = layer.parametrizations
        module.__class__ = computing_as(type(module), type(layer))
