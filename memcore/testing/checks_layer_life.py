"""What every layer promises of its life on arrays: writing, ageing, reports, copies, going back."""

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memcore.crossbar.calibrated import Calibrated
from memcore.errors import NoEffectWarning, SaturationWarning
from memcore.nn.conversion import revert_
from memcore.nn.verbs import age, program
from memcore.nn.walk import qualified
from memcore.report.diagnosis import diagnose
from memcore.report.summary import summary
from memcore.report.yields import yield_report
from memcore.testing.cases import global_random_state
from memcore.testing.layer_case import SPREAD, Fading, Holder, LayerCase, require_equal

#: A way in which everything about the arrays is used.
_REAL: dict[str, Any] = {
    "device": SPREAD,
    "nonidealities": [Fading()],
    "dac": "uniform",
    "adc": "uniform",
}


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
    require_equal(case, "outputs after training", found, wanted, 1e-4, {})


def check_converters_are_calibrated(case: LayerCase) -> None:
    """`memcore.calibrate` reaches the DAC and the ADC of every matrix."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoEffectWarning)  # said below, by the name of the matrix
        model = case.convert(dac="uniform", adc="uniform")
    for name, matrix in case.matrices(model).items():
        for port in ("input", "output"):
            converter: Calibrated = getattr(matrix.crossbar, port)
            if converter.converter is not None and not converter.is_ready:
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
        warnings.simplefilter("ignore", SaturationWarning)  # of matrices behind aged ones
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


CHECKS: tuple[Callable[[LayerCase], None], ...] = (
    check_ages_and_is_written_again,
    check_trained_parameters_reach_the_cells,
    check_converters_are_calibrated,
    check_reports_list_its_matrices,
    check_goes_back,
    check_state_dict_loads,
    check_copies_and_pickles,
    check_same_seed_same_chip,
    check_hooks_survive,
)
