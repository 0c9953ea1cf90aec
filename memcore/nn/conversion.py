"""From a digital network to a memristive one and back."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from memcore._text import shown
from memcore.contracts.layer import Layer, Operand
from memcore.crossbar.config import CrossbarConfig
from memcore.crossbar.unused import warn_of_unused
from memcore.errors import (
    ConfigError,
    ConversionError,
    NoEffectWarning,
    PartialConversionWarning,
    warn,
)
from memcore.nn.adapters import ADAPTER, adapters
from memcore.nn.calibration import calibrate
from memcore.nn.feeding import Batches
from memcore.nn.folding import fold_batch_norms
from memcore.nn.kinds import (
    class_name,
    digital_class,
    kind_of,
    kinds,
    no_form,
    replaced_by,
    why_not,
)
from memcore.nn.loading import Arrival, Weights
from memcore.nn.matrix import Matrix
from memcore.nn.walk import (
    layers,
    named_matrices,
    qualified,
    replace_module,
    require_module,
    weights_of,
)
from memcore.nn.whole_states import refuse_as_a_whole, refuse_by_layers
from memcore.random import Stream
from memcore.registry.hooks import Hooks, call
from memcore.registry.instances import layers as registry
from memcore.registry.instances import manager

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
    fold_batch_norm: bool = False,
) -> nn.Module:
    """A memristive copy of a network; the original is left alone.

    Args:
        model: any module; those of its layers are converted that something in `memcore.layers`
            replaces.
        config: for all layers, or a mapping from a glob on the qualified name to a config, of
            which the first match counts.
        filter_fn: `filter_fn(module, name)`; a layer for which it is false stays digital.
        seed: the virtual chip: the same seed gives the same devices.
        calibration: typical inputs of the network, which set the ranges of the converters.
        fold_batch_norm: whether a batch norm right behind a layer that is converted becomes part
            of its weights and bias, with its running statistics. The network then computes what it
            did in evaluation, in training too, and `revert_` gives the folded weights.

    Raises:
        ConversionError: nothing was converted, or the model is memristive already.
        ConfigError: the configuration does not fit, or nothing can be learnt from `calibration`.

    Examples:
        >>> mem = convert(nn.Linear(3, 2), CrossbarConfig(device="vteam"))
        >>> mem(torch.zeros(1, 3)).shape
        torch.Size([1, 2])
    """
    arrival = Arrival(require_module(model), None, None)
    copied = _copied(model)
    return _convert(copied, config, filter_fn, seed, calibration, fold_batch_norm, arrival)


@torch.inference_mode(False)
def convert_(
    model: nn.Module,
    config: Configs,
    *,
    filter_fn: Filter | None = None,
    seed: int = 0,
    calibration: Batches | None = None,
    fold_batch_norm: bool = False,
    weights: Weights | None = None,
    device: torch.device | str | None = None,
) -> nn.Module:
    """As `convert`, but in place, layer by layer: needs no second copy of the network.

    Args:
        model: as for `convert`; with `weights`, its parameters may be on the device `meta`.
        config: as for `convert`.
        filter_fn: as for `convert`.
        seed: as for `convert`.
        calibration: as for `convert`.
        fold_batch_norm: as for `convert`.
        weights: where the network takes its values from, those of a layer right before that is
            converted: a folder of safetensors files, with or without an index, the index, one
            file, or a mapping from names to tensors, which become its parameters.
        device: where parameters and arrays are to be, each layer moving there before it is
            converted; None for where they are.

    Raises:
        ConversionError: as for `convert`, or the weights are those of another network.
        ConfigError: as for `convert`, or the weights cannot be read.
    """
    if kind_of(require_module(model)) is not None:
        raise ConversionError(
            f"a {type(model).__name__} cannot replace itself in place; "
            "use model = memcore.convert(model, config)"
        )
    arrival = Arrival(model, weights, device)
    return _convert(model, config, filter_fn, seed, calibration, fold_batch_norm, arrival)


def _copied(model: nn.Module) -> nn.Module:
    memo: dict[int, Any] = {
        id(value): value.detach().clone()  # computed before each call, so it need not be the same
        for module in require_module(model).modules()
        for value in vars(module).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    try:
        return copy.deepcopy(model, memo)
    except RuntimeError as error:
        raise ConversionError(
            f"the network cannot be copied: {error}; expected parameters, not tensors computed "
            "from them, or memcore.convert_, which copies nothing"
        ) from error


def revert_(model: nn.Module) -> nn.Module:
    """Put the digital layers back, with the present `weight` and `bias`; returns the model."""
    if isinstance(model, Layer):
        return model.digital()
    for name, layer in layers(model).items():
        replace_module(model, name, layer.digital())
    refuse_by_layers(model)
    return model


def _convert(
    model: nn.Module,
    config: Configs,
    filter_fn: Filter | None,
    seed: int,
    calibration: Batches | None,
    fold_batch_norm: bool,
    arrival: Arrival,
) -> nn.Module:
    if layers(model):
        raise ConversionError(
            "the model has memristive layers already; call memcore.revert_(model) first"
        )
    if filter_fn is not None and not callable(filter_fn):
        raise ConfigError(f"filter_fn={shown(filter_fn)}; expected a function (module, name)")
    choose = _chooser(model, config)
    _require_shapes(model, choose, filter_fn)
    if fold_batch_norm:
        _require_values(model)
        model = fold_batch_norms(
            model,
            lambda module, name: (
                choose(name) is not None and (filter_fn is None or filter_fn(module, name))
            ),
        )
    model, digital = _replaced(model, choose, filter_fn, Stream(seed), arrival)
    refuse_as_a_whole(model)
    _warn_of_unused(model)
    call(manager(), Hooks.memcore_model_converted, model=model, report=digital)
    if filter_fn is None and isinstance(config, CrossbarConfig):
        _warn_of_what_stayed(model, digital)
    if calibration is not None:
        calibrate(model, calibration)
    return model


def _replaced(
    model: nn.Module,
    choose: Callable[[str], CrossbarConfig | None],
    filter_fn: Filter | None,
    stream: Stream,
    arrival: Arrival,
) -> tuple[nn.Module, dict[str, str]]:
    """The network with its layers on crossbars, and why the others stayed digital."""
    known, is_adapter = cache(kinds), adapters(model)
    made: dict[nn.Module, nn.Module] = {}
    digital: dict[str, str] = {}
    inside = None  # the names below a module that was replaced as a whole
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if inside is not None and name.startswith(inside):
            continue
        if module not in made:
            form: Layer | str = ADAPTER
            if not is_adapter(name):
                form = _memristive_form(
                    module, name, choose(name), filter_fn, stream, known, arrival
                )
            if isinstance(form, str):
                arrival.bring(module, name, whole=False)
                if any(True for _ in module.parameters(recurse=False)):
                    digital[name] = form
                continue
            made[module] = form
        model = replace_module(model, name, made[module])
        inside = f"{name}." if name else ""
    if not made:
        raise ConversionError(_nothing_converted(digital))
    return model, digital


def _require_shapes(
    model: nn.Module, choose: Callable[[str], CrossbarConfig | None], filter_fn: Filter | None
) -> None:
    """Refuse modules to convert that learn their shapes from their first input."""
    for name, module in model.named_modules():
        if not any(is_lazy(each) for each in module.parameters(recurse=False)):
            continue
        if choose(name) is not None and (filter_fn is None or filter_fn(module, name)):
            raise ConversionError(
                f"{name or 'the model'} is a {type(module).__name__} that has no shapes yet; "
                "expected a network that has seen an input: call model(inputs) once, then convert "
                "it"
            )


def _require_values(model: nn.Module) -> None:
    """Refuse to fold what has no values yet."""
    if any(each.is_meta for each in model.parameters()):
        raise ConversionError(
            "batch norms are folded before the layers take their values from weights; expected a "
            "network that has its values, or no fold_batch_norm"
        )


def _memristive_form(
    module: nn.Module,
    name: str,
    config: CrossbarConfig | None,
    filter_fn: Filter | None,
    stream: Stream,
    known: Callable[[tuple[str, ...]], Mapping[str, type[Layer]]],
    arrival: Arrival,
) -> Layer | str:
    """What takes the place of a module, or why it stays digital."""
    if config is None:
        return "no config for this name"
    if filter_fn is not None and not filter_fn(module, name):
        return "left out by filter_fn"
    kind = known(config.layers).get(class_name(digital_class(module)))
    if kind is None:
        return no_form(module)
    refused = why_not(module, kind)
    if refused:
        return refused
    arrival.bring(module, name, whole=True)
    if not kind.needs_dac:
        config = config.replace(dac=None)
    return kind.of(module, partial(_matrix, name, config, stream.child(name)))


def _matrix(
    layer: str,
    config: CrossbarConfig,
    stream: Stream,
    name: str,
    operand: Operand,
    parts: tuple[int, ...] = (),
) -> Matrix:
    random = stream if name == "weight" else stream.child(name)
    return Matrix(operand, config, random, qualified(layer, name), parts)


def _warn_of_unused(model: nn.Module) -> None:
    """Say once for each config which of its settings change nothing."""
    used = [matrix.crossbar.config for _, matrix in named_matrices(model).values()]
    for config in {id(config): config for config in used}.values():
        warn_of_unused(config)
    _warn_of_unpacked(model)
    asked = dict.fromkeys(name for config in used for name in config.layers)
    of_these = tuple(registry[name] for name in asked)
    if asked and not any(isinstance(layer, of_these) for layer in layers(model).values()):
        modules = [module.rpartition(".")[2] for kind in of_these for module in replaced_by(kind)]
        warn(
            f"layers={list(asked)} replaced no module; expected a network with "
            f"{', '.join(dict.fromkeys(modules))}, or a configuration that asks for none of them",
            NoEffectWarning,
        )


def _warn_of_unpacked(model: nn.Module) -> None:
    """Say that no arrays are shared by groups, where that was asked for."""
    crossbars = [matrix.crossbar for _, matrix in named_matrices(model).values()]
    asked = [each for each in crossbars if each.config.groups == "packed"]
    if asked and all(each.packing.count == 1 for each in asked):
        warn(
            "groups='packed' changes nothing: no array holds two groups of a convolution; expected "
            "grouped convolutions whose groups are smaller than half a tile, and than half of "
            "rows_at_once, or no groups",
            NoEffectWarning,
        )


def _warn_of_what_stayed(model: nn.Module, digital: Mapping[str, str]) -> None:
    """Say that most of a network stayed digital, where nobody asked for that."""
    whole, on_crossbars = weights_of(model)
    if 2 * on_crossbars >= whole:
        return
    reasons = Counter(digital.values())
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(4))
    warn(
        f"{100 * on_crossbars / whole:.3g} % of the weights are on crossbars, the others stayed "
        f"digital: {listed}; expected layers that memcore.layers replaces, or a filter_fn that "
        "leaves the others out on purpose",
        PartialConversionWarning,
    )


def _nothing_converted(digital: Mapping[str, str]) -> str:
    convertible = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in kinds()))
    lines = [f"nothing was converted; expected at least one of {convertible}"]
    lines += [f"  {name or '(the model)'}: {reason}" for name, reason in digital.items()]
    return "\n".join(lines)


def _chooser(model: nn.Module, config: Configs) -> Callable[[str], CrossbarConfig | None]:
    """Which config a name gets."""
    if isinstance(config, CrossbarConfig):
        return lambda _: config
    if not isinstance(config, Mapping):
        raise ConfigError(
            f"config is {shown(config)}; expected a CrossbarConfig or a mapping from name patterns"
        )
    if "device" in config:
        whole = CrossbarConfig.from_mapping(config)
        return lambda _: whole
    for pattern, value in config.items():
        if not isinstance(pattern, str):
            raise ConfigError(f"config has the key {shown(pattern)}; expected a pattern of names")
        if not isinstance(value, CrossbarConfig):
            raise ConfigError(f"config[{pattern!r}] is {shown(value)}; expected a CrossbarConfig")
        if not any(fnmatchcase(name, pattern) for name, _ in model.named_modules()):
            names = ", ".join(name for name, m in model.named_modules() if kind_of(m) is not None)
            raise ConfigError(f"config[{pattern!r}] fits no module; there are {names}")
    return lambda name: next((c for p, c in config.items() if fnmatchcase(name, p)), None)
