"""From a digital network to a memristive one and back; writing, ageing and calibrating it."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn

from memcore.config import CrossbarConfig
from memcore.errors import ConfigError, ConversionError, NoEffectWarning
from memcore.hooks import manager
from memcore.nn.layers import Conv, CrossbarLayer, Linear
from memcore.port import Port
from memcore.random import Stream

#: Which layer becomes which; subclasses may compute anything, so they are not converted.
LAYERS: dict[type[nn.Module], type[CrossbarLayer]] = {
    nn.Linear: Linear,
    nn.Conv1d: Conv,
    nn.Conv2d: Conv,
    nn.Conv3d: Conv,
}

Configs = CrossbarConfig | Mapping[str, Any]
Filter = Callable[[nn.Module, str], bool]
#: A batch, or batches; of a (inputs, targets) pair the inputs are taken.
Batches = Tensor | Iterable[Any]


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
    for name, layer in _memristive(model).items():
        replace_module(model, name, layer.digital())
    return model


def program(model: nn.Module) -> None:
    """Write all weights into their cells again.

    What a real rewrite draws anew is drawn anew; device-to-device differences and stuck cells
    stay. The clock of `age` starts again.
    """
    for layer in _unique(model):
        layer.program()


def age(
    model: nn.Module,
    *,
    seconds: float = 0.0,
    temperature: float | None = None,
    cycles: float = 0.0,
    reads: float = 0.0,
) -> None:
    """Let time pass since programming, on top of what has passed already.

    Args:
        model: a converted network.
        seconds: s; `program` starts them again.
        temperature: K, at which all this happens; that of the config by default. The network is
            read at the temperature of the config in any case.
        cycles: SET and RESET cycles of every cell, beside those of `program`, one each.
        reads: of every cell, beside those of the forward passes, which do not count here.

    Warns:
        NoEffectWarning: nothing that is configured changes with what passed, or ages at another
            pace at this temperature.

    Raises:
        ConfigError: a number is negative, infinite or NaN, or outside what a device's data cover.
    """
    layers = _unique(model)
    for layer in layers:
        layer.crossbar.age(seconds, temperature=temperature, cycles=cycles, reads=reads)
    clocks = {clock for layer in layers for clock in layer.crossbar.pipeline.clocks}
    for name, passed in (("seconds", seconds), ("cycles", cycles), ("reads", reads)):
        if passed and name not in clocks:
            what = "time" if name == "seconds" else f"the number of {name}"
            _warn(f"nothing that is configured changes with {what}; age({name}=...) had no effect")
    if temperature is not None:
        _warn_unless_felt(temperature, layers)


def _warn_unless_felt(temperature: float, layers: Sequence[CrossbarLayer]) -> None:
    elsewhere = [
        layer.crossbar for layer in layers if layer.crossbar.config.temperature != temperature
    ]
    if elsewhere and not any(each.pipeline.feels(temperature) for each in elsewhere):
        _warn(
            f"nothing that is configured ages at another pace at {temperature:g} K; "
            "age(temperature=...) had no effect",
            stacklevel=4,
        )


@torch.no_grad()
def calibrate(model: nn.Module, inputs: Batches) -> None:
    """Set the ranges of all converters from typical inputs of the network.

    First the DACs see their inputs, then, with these in use, the ADCs the currents: the order of
    the batches does not matter. Batch norm and dropout are as in evaluation, and no read number is
    used up.

    Args:
        model: a converted network.
        inputs: a batch, or an iterable of batches or of (inputs, targets) pairs.

    Raises:
        ConfigError: there are no inputs, or what reaches a layer is NaN or infinite.

    Warns:
        NoEffectWarning: no layer has a converter whose range is calibrated.
    """
    layers = _unique(model)
    waiting = [layer for layer in layers if _has_range(layer, "input", "output")]
    if not waiting:
        _warn("no layer has a converter with a range to calibrate; calibrate() had no effect")
        return
    batches = list(_batches(inputs))
    if all(isinstance(batch, Tensor) and not batch.numel() for batch in batches):
        raise ConfigError(
            f"there is nothing to calibrate with: {len(batches)} batches, and no input in any; "
            "expected typical inputs of the network"
        )
    training = {module: module.training for module in model.modules()}
    reads = [layer.crossbar.reads.clone() for layer in layers]
    model.eval()
    try:
        for port in ("input", "output"):
            if not any(_has_range(layer, port) for layer in waiting):
                continue
            for layer in waiting:
                layer.crossbar.observe(port)
            for batch in batches:
                model(batch)
    finally:
        for layer in waiting:
            layer.crossbar.observe(None)
        for layer, number in zip(layers, reads, strict=True):
            layer.crossbar.reads.copy_(number)
        for module, mode in training.items():
            module.training = mode


def crossbar_layers(model: nn.Module) -> dict[str, CrossbarLayer]:
    """The converted layers by qualified name.

    Raises:
        ConversionError: there are none.
    """
    found = _memristive(model)
    if not found:
        raise ConversionError(
            f"this {type(model).__name__} has no memristive layer; call memcore.convert first"
        )
    return found


def _convert(
    model: nn.Module,
    config: Configs,
    *,
    filter_fn: Filter | None,
    seed: int,
    calibration: Batches | None,
) -> nn.Module:
    if _memristive(model):
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


def _memristive(model: nn.Module) -> dict[str, CrossbarLayer]:
    named = model.named_modules(remove_duplicate=False)
    return {name: module for name, module in named if isinstance(module, CrossbarLayer)}


def _unique(model: nn.Module) -> list[CrossbarLayer]:
    return list(dict.fromkeys(crossbar_layers(model).values()))


def replace_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Put a module in the place of a qualified name; returns the root, itself if it has none."""
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model


def _has_range(layer: CrossbarLayer, *names: str) -> bool:
    """Whether a converter has a range to calibrate."""
    ports: list[Port] = [getattr(layer.crossbar, name) for name in names]
    return any(port.converter is not None and not port.is_fixed for port in ports)


def _batches(inputs: Batches) -> Iterator[Tensor]:
    for batch in [inputs] if isinstance(inputs, Tensor) else inputs:
        yield batch[0] if isinstance(batch, list | tuple) else batch


def _warn(message: str, stacklevel: int = 3) -> None:
    import warnings

    warnings.warn(message, NoEffectWarning, stacklevel=stacklevel)
