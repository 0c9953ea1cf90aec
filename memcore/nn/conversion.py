"""From a digital network to a memristive one and back; writing, ageing and calibrating it."""

import copy
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from memcore.crossbar.config import CrossbarConfig
from memcore.errors import ConfigError, ConversionError
from memcore.nn.layers import Conv, CrossbarLayer, Linear
from memcore.nn.verbs import Batches, calibrate
from memcore.nn.walk import memristive_layers, replace_module
from memcore.random import Stream
from memcore.registry.instances import manager

#: Which layer becomes which; subclasses may compute anything, so they are not converted.
LAYERS: dict[type[nn.Module], type[CrossbarLayer]] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv,
    nn.Conv2d: Conv,
    nn.Conv3d: Conv,
}

Configs = CrossbarConfig | Mapping[str, Any]
Filter = Callable[[nn.Module, str], bool]


@torch.inference_mode(False)
def convert(
    model: nn.Module,
    config: Configs,
    *,
    filter_fn: Filter | None = None,
    seed: int = 0,
    calibration: Batches | None = None,
) -> nn.Module:
    """A memristive copy of a network; the original is left alone.

    Args:
        model: any module; its `Linear` and `Conv1d`, `Conv2d`, `Conv3d` are converted.
        config: for all layers, or a mapping from a glob on the qualified name to a config, of
            which the first match counts.
        filter_fn: `filter_fn(module, name)`; a layer for which it is false stays digital.
        seed: the virtual chip: the same seed gives the same devices.
        calibration: typical inputs of the network, which set the ranges of the converters.

    Raises:
        ConversionError: nothing was converted, or the model is memristive already.
        ConfigError: the configuration does not fit, or nothing can be learnt from `calibration`.

    Examples:
        >>> mem = convert(nn.Linear(3, 2), CrossbarConfig(device="vteam"))
        >>> mem(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """
    return _convert(
        copy.deepcopy(model), config, filter_fn=filter_fn, seed=seed, calibration=calibration
    )


@torch.inference_mode(False)
def convert_(
    model: nn.Module,
    config: Configs,
    *,
    filter_fn: Filter | None = None,
    seed: int = 0,
    calibration: Batches | None = None,
) -> nn.Module:
    """As `convert`, but in place, layer by layer: needs no second copy of the network."""
    if type(model) in LAYERS:
        raise ConversionError(
            f"a {type(model).__name__} cannot replace itself in place; "
            "use model = memcore.convert(model, config)"
        )
    return _convert(model, config, filter_fn=filter_fn, seed=seed, calibration=calibration)


def revert_(model: nn.Module) -> nn.Module:
    """Put the digital layers back, with the present `weight` and `bias`; returns the model."""
    if isinstance(model, CrossbarLayer):
        return model.digital()
    for name, layer in memristive_layers(model).items():
        replace_module(model, name, layer.digital())
    return model


def _convert(
    model: nn.Module,
    config: Configs,
    *,
    filter_fn: Filter | None,
    seed: int,
    calibration: Batches | None,
) -> nn.Module:
    if memristive_layers(model):
        raise ConversionError(
            "the model has memristive layers already; call memcore.revert_(model) first"
        )
    choose = _chooser(model, config)
    stream = Stream(seed)
    made: dict[nn.Module, nn.Module] = {}
    digital: dict[str, str] = {}
    inside = None  # the names below a module that was replaced as a whole
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if inside is not None and name.startswith(inside):
            continue
        if module not in made:
            form = _memristive_form(module, name, choose(name), filter_fn, stream)
            if isinstance(form, str):
                if any(True for _ in module.parameters(recurse=False)):
                    digital[name] = form
                continue
            made[module] = form
        model = replace_module(model, name, made[module])
        inside = f"{name}." if name else ""
    if not made:
        raise ConversionError(_nothing_converted(digital))
    manager().hook.memcore_model_converted(model=model, report=digital)
    if calibration is not None:
        calibrate(model, calibration)
    return model


def _memristive_form(
    module: nn.Module,
    name: str,
    config: CrossbarConfig | None,
    filter_fn: Filter | None,
    stream: Stream,
) -> nn.Module | str:
    """What takes the place of a module, or why it stays digital."""
    if config is None:
        return "no config for this name"
    if filter_fn is not None and not filter_fn(module, name):
        return "left out by filter_fn"
    foreign = manager().hook.memcore_convert_module(module=module, name=name, config=config)
    if foreign is not None:
        return foreign  # type: ignore[no-any-return]
    if type(module) not in LAYERS:
        return f"no memristive form of {type(module).__name__}"
    if "weight" not in module._parameters:
        return "its weight is computed, not a parameter"
    weight: nn.Parameter = module._parameters["weight"]  # type: ignore[assignment]
    if not weight.numel():
        return f"its weight has shape {list(weight.shape)}, so there is nothing to hold"
    if weight.dtype is torch.float16:
        return "float16 is too coarse for conductances in S; use bfloat16 or float32"
    return LAYERS[type(module)](module, config, stream.child(name), name)


def _nothing_converted(digital: Mapping[str, str]) -> str:
    convertible = ", ".join(layer.__name__ for layer in LAYERS)
    lines = [f"nothing was converted; expected at least one of {convertible}"]
    lines += [f"  {name or '(the model)'}: {reason}" for name, reason in digital.items()]
    return "\n".join(lines)


def _chooser(model: nn.Module, config: Configs) -> Callable[[str], CrossbarConfig | None]:
    """Which config a name gets."""
    if isinstance(config, CrossbarConfig):
        return lambda _: config
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"config is {config!r}; expected a CrossbarConfig or a mapping from name patterns"
        )
    if "device" in config:
        whole = CrossbarConfig.from_mapping(config)
        return lambda _: whole
    for pattern, value in config.items():
        if not isinstance(value, CrossbarConfig):
            raise ConfigError(f"config[{pattern!r}] is {value!r}; expected a CrossbarConfig")
        if not any(fnmatchcase(name, pattern) for name, _ in model.named_modules()):
            names = ", ".join(name for name, m in model.named_modules() if type(m) in LAYERS)
            raise ConfigError(f"config[{pattern!r}] fits no module; there are {names}")
    return lambda name: next((c for p, c in config.items() if fnmatchcase(name, p)), None)
