"""What every layer promises, in each of its trials."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.contracts.layer import Layer, Operand
from memcore.errors import NoEffectWarning, PluginLoadError
from memcore.nn.conversion import revert_
from memcore.nn.kinds import class_name
from memcore.nn.verbs import age, program
from memcore.nn.walk import qualified
from memcore.registry.verify import verify
from memcore.report.diagnosis import diagnose
from memcore.report.summary import summary
from memcore.report.yields import yield_report
from memcore.testing.cases import compiled, global_random_state
from memcore.testing.layer_case import SPREAD, Fading, Holder, LayerCase, Ohmic

#: Ways of reading in which the arrays compute exactly what they hold.
_IDEAL: tuple[dict[str, Any], ...] = (
    {},
    {"bias": "mapped"},
    {"nonidealities": [Ohmic()]},
    {"nonidealities": [Ohmic()], "bias": "mapped"},
)
#: The ways in which memcore multiplies at once, and array by array.
_BOTH: tuple[dict[str, Any], ...] = (_IDEAL[0], _IDEAL[2])
#: A way in which everything about the arrays is used.
_REAL: dict[str, Any] = {
    "device": SPREAD,
    "nonidealities": [Fading()],
    "dac": "uniform",
    "adc": "uniform",
}


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
            _require_equal(typed, "outputs", found, wanted, tolerance, way)


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
            _require_equal(typed, f"gradients of {name}", found[name], gradient, 1e-6, way)


def _gradients(case: LayerCase, model: nn.Module) -> dict[str, Tensor]:
    x = case.inputs[0].clone()
    if x.is_floating_point():
        x.requires_grad_()
    y = model(x)
    weights = torch.linspace(0.5, 1.5, y.numel(), dtype=y.dtype)
    (weights * y.square()).sum().backward()
    every = {"the input": x, **dict(model.named_parameters())}
    return {name: each.grad for name, each in every.items() if each.grad is not None}


def _require_equal(
    case: LayerCase, what: str, found: Tensor, wanted: Tensor, tolerance: float, way: Any
) -> None:
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
            f"{what} are off by {100 * error:.3g} % on ideal arrays{_named(way)}",
            "compare forward with that of the digital module, bias and dtype included",
        )


def _named(way: dict[str, Any]) -> str:
    settings = ", ".join(f"{key}={value!r}" for key, value in way.items())
    return f" with {settings}" if settings else ""


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
            if torch.equal(case.outputs(model), before):
                case.fail(
                    f"outputs stay the same when the cells of matrix {name!r} are erased",
                    f"multiply with self.read({name!r}, x) instead of the parameter",
                )


def check_ages_and_is_written_again(case: LayerCase) -> None:
    """`memcore.age` changes the outputs, `memcore.program` brings them back."""
    model = case.convert(nonidealities=[Fading()])
    fresh = case.outputs(model)
    age(model, seconds=1.0)
    aged = case.outputs(model)
    program(model)
    if torch.equal(aged, fresh) or not torch.equal(case.outputs(model), fresh):
        case.fail(
            "outputs do not follow memcore.age and memcore.program",
            "compute with self.read at every call and keep no result of it",
        )


def check_trained_parameters_reach_the_cells(case: LayerCase) -> None:
    """`memcore.program` writes the present parameters, and `revert_` takes them along."""
    model = case.convert()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(-0.5)
    program(model)
    found = case.outputs(model)
    wanted = case.outputs(revert_(model))
    _require_equal(case, "outputs after training", found, wanted, 1e-4, {})


def check_converters_are_calibrated(case: LayerCase) -> None:
    """`memcore.calibrate` reaches the DAC and the ADC of every matrix."""
    model = case.convert(dac="uniform", adc="uniform")
    for name, matrix in case.matrices(model).items():
        for port in ("input", "output"):
            if not bool(getattr(matrix.crossbar, port).range.isfinite().all()):
                case.fail(
                    f"the {port} of matrix {name!r} has no range after memcore.calibrate",
                    f"let forward call self.read({name!r}, x) whatever the mode",
                )


def check_reports_list_its_matrices(case: LayerCase) -> None:
    """`memcore.summary`, `yield_report` and `diagnose` work and name every matrix."""
    model = case.convert(**_REAL)
    age(model, seconds=1.0)
    names = [qualified("inner", name) for name in case.matrices(model)]
    listed = {
        "memcore.summary": [each.name for each in summary(model).layers],
        "yield_report": [each.name for each in yield_report(model).layers],
    }
    for report, found in listed.items():
        if found != names:
            case.fail(f"{report} lists {found}", f"expected {names}")
    targets = case.outputs(case.holder())
    loader = [(case.inputs[0], targets)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # this check tells it in its own words
        budget = diagnose(model, loader, _closeness)
    if not budget.ideal >= budget.actual or not all(effect.acts for effect in budget.effects):
        idle = [effect.name for effect in budget.effects if not effect.acts]
        case.fail(
            f"memcore.diagnose finds {budget.ideal:.3g} without and {budget.actual:.3g} with "
            f"effects, and no trace of {idle}",
            "let of() build the same layer again from the digital module",
        )


def _closeness(outputs: Tensor, targets: Tensor) -> float:
    return -float((outputs - targets).square().mean())


def check_goes_back(case: LayerCase) -> None:
    """`memcore.revert_` gives the digital module with the same parameters and outputs."""
    digital = case.holder()
    wanted = case.outputs(digital)
    model = case.convert(digital)
    before = dict(model.inner.named_parameters())
    after = revert_(model).inner
    assert isinstance(after, nn.Module)
    kept = dict(after.named_parameters())
    same = kept.keys() == before.keys() and all(kept[name] is before[name] for name in before)
    if type(after) is not type(case.module) or not same or after.training:
        case.fail(
            f"revert_ gives a {type(after).__name__} with parameters {sorted(kept)}, training="
            f"{after.training}, for a layer with {sorted(before)}, training=False",
            "call super().__init__(module) and let the parameters be those of the module",
        )
    if not torch.equal(case.outputs(model), wanted):
        case.fail("after revert_ outputs differ", "leave the digital module as it was")


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


def check_state_dict_loads(case: LayerCase) -> None:
    """The state of one chip makes another one equal, with the parameters named as before."""
    one, other = case.convert(**_REAL), case.convert(seed=1, **_REAL)
    age(one, seconds=1.0)
    state = one.state_dict()
    missing = [name for name, _ in case.holder().named_parameters() if name not in state]
    if missing:
        case.fail(
            f"the state has no {', '.join(missing)}",
            "keep the parameters under the names that the digital module has for them",
        )
    other.load_state_dict(state)
    if not torch.equal(case.outputs(one), case.outputs(other)):
        case.fail(
            "a chip with the state of another one has other outputs",
            "keep what forward uses in parameters, buffers and matrices",
        )


def check_copies_and_pickles(case: LayerCase) -> None:
    """A deep copy and a pickled layer compute the same."""
    model = case.convert(**_REAL)
    wanted = case.outputs(model)
    for how, again in (("copied", copy.deepcopy), ("pickled", _through_pickle)):
        try:
            found = case.outputs(again(model))
        except Exception as error:
            case.fail(
                f"it cannot be {how}: {type(error).__name__}: {error}",
                "define its classes at the top of a module and keep no lambdas or open files",
            )
        if not torch.equal(found, wanted):
            case.fail(f"{how}, it has other outputs", "keep no state outside the module")


def _through_pickle(model: Holder) -> Any:
    return pickle.loads(pickle.dumps(model))


def check_same_seed_same_chip(case: LayerCase) -> None:
    """Two chips with one seed are equal, two seeds give two chips, global generators stay."""
    before = global_random_state()
    one, same, other = (case.convert(seed=seed, **_REAL) for seed in (3, 3, 4))
    outputs = [case.outputs(each) for each in (one, same, other)]
    if global_random_state() != before:
        case.fail(
            "randomness outside the stream of the chip",
            "draw nothing in a layer; what is random about cells is in the matrices",
        )
    if not torch.equal(outputs[0], outputs[1]) or torch.equal(outputs[0], outputs[2]):
        case.fail(
            "two chips with one seed differ, or two seeds give one chip",
            "build every matrix with the `build` that of() is handed",
        )


def check_hooks_survive(case: LayerCase) -> None:
    """Hooks of the digital module are called by the layer, and by the module that comes back."""
    digital = case.holder()
    digital.inner.register_forward_hook(_Counter())
    model = case.convert(digital)
    hooks = list(model.inner._forward_hooks.values())
    counter = hooks[0] if hooks and isinstance(hooks[0], _Counter) else _Counter()
    case.outputs(model)
    once = counter.calls
    case.outputs(revert_(model))
    if (once, counter.calls) != (1, 2):
        case.fail(
            f"a forward hook is called {once} times by the layer and "
            f"{counter.calls - once} times after revert_",
            "call super().__init__(module), which takes the hooks over",
        )


class _Counter:
    """A hook that counts; shared by copies, as `memcore.convert` makes them of networks."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs, output
        self.calls += 1


def check_wrong_inputs_are_refused(case: LayerCase) -> None:
    """Inputs of a shape that the digital module refuses are an error of the layer too."""
    for dim in range(case.inputs[0].dim()):
        wrong = torch.cat([case.inputs[0]] * 2, dim=dim)
        if _runs(case.holder(), wrong):
            continue
        for way in _BOTH:
            if _runs(case.convert(**way), wrong):
                case.fail(
                    f"an input of shape {list(wrong.shape)} gives outputs{_named(way)}; the "
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


def check_compiles(case: LayerCase) -> None:
    """`torch.compile` traces it in one graph, with the same result."""
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
        if not torch.equal(found, wanted):
            case.fail("compiled, it has other outputs", "keep no Python state between calls")


CHECKS: tuple[Callable[[LayerCase], None], ...] = (
    check_fulfils_its_contract,
    check_accepts_its_trials,
    check_operands_have_names_and_shapes,
    check_equals_the_digital_module,
    check_gradients_are_those_of_the_digital_module,
    check_every_matrix_is_read,
    check_ages_and_is_written_again,
    check_trained_parameters_reach_the_cells,
    check_converters_are_calibrated,
    check_reports_list_its_matrices,
    check_goes_back,
    check_inputs_stay_as_they_are,
    check_state_dict_loads,
    check_copies_and_pickles,
    check_same_seed_same_chip,
    check_hooks_survive,
    check_wrong_inputs_are_refused,
    check_compiles,
)
