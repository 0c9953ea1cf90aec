"""Which layer of `memcore.layers` takes the place of which module."""

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from memcore.contracts.computed import is_computed
from memcore.contracts.layer import Layer
from memcore.errors import MemcoreWarning, PluginShadowWarning, RegistryError
from memcore.registry.instances import layers as registry
from memcore.registry.scan import THIS_PROCESS, Provider


def kinds(asked: Sequence[str] = ()) -> dict[str, type[Layer]]:
    """From the qualified name of a module class to the layer that takes its place.

    What this process registered comes before what comes with memcore, which comes before what
    other packages bring.

    Args:
        asked: names of layers that come before all others, the first of them first; those that
            replace modules on request only are left out unless they are here.
    """
    known: dict[str, type[Layer]] = {}
    by: dict[str, Provider] = {}
    for layer in (registry[name] for name in asked):
        for module in replaced_by(layer):
            known.setdefault(module, layer)
    for provider in sorted(registry.providers(), key=_rank):
        layer = _loaded(provider)
        if layer is None or layer.on_request:
            continue
        for name in replaced_by(layer):
            if name not in known:
                known[name], by[name] = layer, provider
            elif name in by and by[name].distribution != THIS_PROCESS and known[name] is not layer:
                warnings.warn(
                    f"{provider} replaces {name}, as {by[name]} does, which is taken; expected one "
                    f"of the two: memcore.layers.register({provider.name!r}, "
                    f'memcore.layers["{provider.qualified}"]) takes the other one',
                    PluginShadowWarning,
                    stacklevel=3,
                )
    return known


def kind_of(module: nn.Module) -> type[Layer] | None:
    """The layer that takes the place of a module; subclasses may compute anything, so none does."""
    return kinds().get(class_name(digital_class(module)))


def digital_class(module: nn.Module) -> type[nn.Module]:
    """The class of a module, that of before where it was parametrized."""
    cls: type[nn.Module] = type_before_parametrizations(module)
    return cls


def no_form(module: nn.Module) -> str:
    """Why nothing takes the place of a module: there is no such layer, or nobody asked for it."""
    cls = digital_class(module)
    name, kind = class_name(cls), cls.__name__
    for provider in sorted(registry.providers(), key=_rank):
        layer = _loaded(provider)
        if layer is not None and layer.on_request and name in replaced_by(layer):
            return f"{kind} is converted on request only, by layers=[{provider.name!r}]"
    known = kinds()
    base = next((each.__name__ for each in cls.__mro__[1:] if class_name(each) in known), None)
    other = "" if base is None else f", which may compute something else than {base}"
    return f"no memristive form of {kind}{other}"


def replaced_by(layer: type[Layer]) -> list[str]:
    """The qualified names of the classes that a layer replaces."""
    return [each if isinstance(each, str) else class_name(each) for each in layer.replaces]


def class_name(cls: type) -> str:
    """Module and name of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _rank(provider: Provider) -> tuple[int, str, str]:
    order = 0 if provider.distribution == THIS_PROCESS else 1 if provider.is_bundled else 2
    return order, provider.distribution, provider.name


def _loaded(provider: Provider) -> type[Layer] | None:
    here = provider.distribution == THIS_PROCESS
    try:
        layer: type[Layer] = registry[provider.name if here else provider.qualified]
    except RegistryError as error:
        warnings.warn(f"layer {provider.name!r} is not used: {error}", MemcoreWarning, stacklevel=4)
        return None
    return layer


def why_not(module: nn.Module, kind: type[Layer]) -> str:
    """Why a layer does not take the place of a module that it replaces; "" if it does."""
    return _unfit(module) or kind.refuses(module)


def _unfit(module: nn.Module) -> str:
    """Why no layer could hold the weights of a module."""
    if (
        "weight" not in module._parameters
        and not is_computed(module, "weight")
        and hasattr(module, "weight")
    ):
        return "its weight is no parameter; torch.nn.utils.parametrize computes weights from some"
    for name, parameter in module._parameters.items():
        if parameter is None:
            continue
        if name.startswith("weight") and not parameter.numel():
            shape = list(parameter.shape)
            return f"its {name} has shape {shape}, so there is nothing to hold"
        if parameter.is_complex():
            return f"its {name} is complex; conductances are real"
        if parameter.dtype is torch.float16:
            return "float16 is too coarse for conductances in S; use bfloat16 or float32"
    return ""
