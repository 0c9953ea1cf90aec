"""What every layer promises of what it computes, in each of its trials."""

import copy
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Layer, Operand
from memcore.errors import PluginLoadError, StaleCellsWarning
from memcore.nn.kinds import class_name
from memcore.registry.verify import verify
from memcore.testing.cases import compiled
from memcore.testing.layer_case import LayerCase, Ohmic, named, require_equal

#: Ways of reading in which the arrays compute exactly what they hold.
_IDEAL: tuple[dict[str, Any], ...] = (
    {},
    {"bias": "mapped"},
    {"nonidealities": [Ohmic()]},
    {"nonidealities": [Ohmic()], "bias": "mapped"},
)
#: The ways in which memcore multiplies at once, and array by array.
_BOTH: tuple[dict[str, Any], ...] = (_IDEAL[0], _IDEAL[2])


def check_fulfils_its_contract(case: LayerCase) -> None:
    """It says what it replaces, and defines `operands` and `forward`."""
    try:
        verify(case.layer, "layers", case.layer.__name__)
    except PluginLoadError as error:
        raise AssertionError(str(error)) from None


def check_accepts_its_trials(case: LayerCase) -> None:
    """A trial is of a class that it replaces, and `refuses` says "" of it."""
    names = [each if isinstance(each, str) else class_name(each) for each in case.layer.replaces]
    if class_name(type(case.module)) not in names:
        case.fail(
            f"it replaces {', '.join(names)}, but a trial is of {class_name(type(case.module))}",
            "try what it replaces",
        )
    refused = case.layer.refuses(case.module)
    if refused != "":
        case.fail(
            f"refuses returns {refused!r} for a trial",
            'return "" for what can be converted, and else why not, as text',
        )


def check_operands_have_names_and_shapes(case: LayerCase) -> None:
    """Operands are [groups, outputs, inputs], with the same names at every call."""
    layer = case.layer(copy.deepcopy(case.module))
    first, second = layer.operands(), layer.operands()
    if list(first) != list(second) or not first:
        case.fail(
            f"operands are named {list(first)}, then {list(second)}",
            "return the same names in the same order at every call, at least one",
        )
    for name, (weight, bias) in first.items():
        if weight.dim() != 3:
            case.fail(
                f"the weight of operand {name!r} has shape {tuple(weight.shape)}",
                "return [groups, outputs, inputs]; weight.unsqueeze(0) is one group",
            )
        outputs = weight.shape[0] * weight.shape[1]
        if bias is not None and tuple(bias.shape) != (outputs,):
            case.fail(
                f"the bias of operand {name!r} has shape {tuple(bias.shape)}",
                f"return {(outputs,)}, one for each output of each group, or None",
            )
    built = list(case.matrices(case.convert()))
    if built != list(first):
        case.fail(f"of builds matrices {built}", f"build one for each operand: {list(first)}")


def check_equals_the_digital_module(case: LayerCase) -> None:
    """With ideal arrays, outputs are those of the digital module in float32 and float64."""
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.float64, 1e-6)):
        typed = case.of_dtype(dtype)
        wanted = typed.outputs(typed.holder(dtype))
        for way in _IDEAL:
            found = typed.outputs(typed.convert(typed.holder(dtype), **way))
            require_equal(typed, "outputs", found, wanted, tolerance, way)


def check_gradients_are_those_of_the_digital_module(case: LayerCase) -> None:
    """With ideal arrays, so are the gradients of inputs and parameters."""
    typed = case.of_dtype(torch.float64)
    wanted = _gradients(typed, typed.holder(torch.float64))
    for way in _IDEAL:
        found = _gradients(typed, typed.convert(typed.holder(torch.float64), **way))
        if found.keys() != wanted.keys():
            lost = ", ".join(sorted(wanted.keys() ^ found.keys()))
            typed.fail(
                f"only one of the digital module and the layer has gradients of {lost}",
                "let the parameters of the layer be those of the module, and use self.read",
            )
        for name, gradient in wanted.items():
            require_equal(typed, f"gradients of {name}", found[name], gradient, 1e-6, way)


def _gradients(case: LayerCase, model: nn.Module) -> dict[str, Tensor]:
    x = case.inputs[0].clone()
    if x.is_floating_point():
        x.requires_grad_()
    _loss(model(x)).backward()  # type: ignore[no-untyped-call]
    every = {"the input": x, **dict(model.named_parameters())}
    return {name: each.grad for name, each in every.items() if each.grad is not None}


def _loss(y: Tensor) -> Tensor:
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype)
    return (weights * y.square()).sum()


def check_works_in_bfloat16(case: LayerCase) -> None:
    """With ideal arrays, outputs in bfloat16 are near those of the digital module."""
    typed = case.of_dtype(torch.bfloat16)
    wanted = typed.outputs(typed.holder(torch.bfloat16))
    for way in _BOTH:
        found = typed.outputs(typed.convert(typed.holder(torch.bfloat16), **way))
        require_equal(typed, "outputs in bfloat16", found, wanted, 0.05, way)


def check_takes_parameters_of_a_call(case: LayerCase) -> None:
    """`torch.func.functional_call` hands gradients to the parameters that it is given."""
    typed = case.of_dtype(torch.float64)
    model = typed.convert(typed.holder(torch.float64))
    x, wanted = typed.inputs[0], _gradients(typed, model)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return _loss(torch.func.functional_call(model, parameters, (x,)))

    given = {name: p.detach().clone() for name, p in model.named_parameters()}
    for name, gradient in torch.func.grad(loss)(given).items():
        if name in wanted:
            what = f"gradients of {name} given by torch.func.functional_call"
            require_equal(typed, what, gradient, wanted[name], 1e-6, {})


def check_every_matrix_is_read(case: LayerCase) -> None:
    """What the cells of each matrix hold decides the outputs, however they are read."""
    for way in _BOTH:
        for name in case.matrices(case.convert(**way)):
            model = case.convert(**way)
            before = case.outputs(model)
            assert isinstance(model.inner, Layer)
            weight, bias = model.inner.operands()[name]
            zero = Operand(torch.zeros_like(weight), None if bias is None else 0 * bias)
            with torch.no_grad():
                case.matrices(model)[name].program(zero)
            with warnings.catch_warnings():  # the parameters are not what was written, on purpose
                warnings.simplefilter("ignore", StaleCellsWarning)
                after = case.outputs(model)
            if torch.equal(after, before):
                case.fail(
                    f"outputs stay the same when the cells of matrix {name!r} are erased",
                    f"multiply with self.read({name!r}, x) instead of the parameter",
                )


def check_inputs_stay_as_they_are(case: LayerCase) -> None:
    """`memcore.convert` and reads change neither the digital network nor the inputs."""
    digital = case.holder()
    state = {name: value.clone() for name, value in digital.state_dict().items()}
    x = case.inputs[0].clone()
    version = x._version
    model = case.convert(digital)
    with torch.no_grad():
        model(x)
    after = digital.state_dict()
    changed = [name for name in state if not torch.equal(state[name], after[name])]
    if changed or x._version != version:
        case.fail(
            f"conversion and a read write into {', '.join(changed) or 'the input'}",
            "return new tensors; use x + y, not x += y",
        )


def check_wrong_inputs_are_refused(case: LayerCase) -> None:
    """Inputs of a shape that the digital module refuses are an error of the layer too."""
    for dim in range(case.inputs[0].dim()):
        wrong = torch.cat([case.inputs[0]] * 2, dim=dim)
        if _runs(case.holder(), wrong):
            continue
        for way in _BOTH:
            if _runs(case.convert(**way), wrong):
                case.fail(
                    f"an input of shape {list(wrong.shape)} gives outputs{named(way)}; the "
                    "digital module refuses it",
                    "raise memcore.ShapeError for inputs that do not fit",
                )


def _runs(model: nn.Module, x: Tensor) -> bool:
    try:
        with torch.no_grad():
            model(x)
    except Exception:
        return False
    return True


def _are_close(found: Tensor, wanted: Tensor) -> bool:
    largest = float(wanted.abs().max()) or 1.0
    return float((found - wanted).abs().max()) <= 1e-6 * largest


def check_compiles(case: LayerCase) -> None:
    """`torch.compile` traces it in one graph, with the same result up to rounding."""
    for way in (*_BOTH, {"dac": "uniform", "adc": "uniform"}):
        model = case.convert(**way)
        wanted = case.outputs(model)
        try:
            with torch.no_grad():
                found = compiled(model)(case.inputs[0])
        except Exception as error:
            case.fail(
                f"torch.compile cannot take it in one graph: {type(error).__name__}: "
                f"{str(error).splitlines()[0]}",
                "use tensor operations; no float(x), .item() or if on values of a tensor",
            )
        if not _are_close(found, wanted):
            case.fail("compiled, it has other outputs", "keep no Python state between calls")


def check_exports(case: LayerCase) -> None:
    """`torch.export` writes it down as a graph, with the same result."""
    model = case.convert()
    wanted = case.outputs(model)
    with torch.no_grad():
        try:
            found = torch.export.export(model, (case.inputs[0],)).module()(case.inputs[0])
        except Exception as error:
            case.fail(
                f"torch.export cannot write it down: {type(error).__name__}: "
                f"{str(error).strip().splitlines()[0]}",
                "use tensor operations; no float(x), .item() or if on values of a tensor",
            )
    require_equal(case, "outputs of the exported layer", found, wanted, 1e-6, {})


CHECKS: tuple[Callable[[LayerCase], None], ...] = (
    check_fulfils_its_contract,
    check_accepts_its_trials,
    check_operands_have_names_and_shapes,
    check_equals_the_digital_module,
    check_gradients_are_those_of_the_digital_module,
    check_works_in_bfloat16,
    check_takes_parameters_of_a_call,
    check_every_matrix_is_read,
    check_inputs_stay_as_they_are,
    check_wrong_inputs_are_refused,
    check_compiles,
    check_exports,
)
