"""The conformance kit of layers: each check passes a good layer and fails one that breaks it."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from memcore import Layer, Operand
from memcore.nn import Linear, take_ranges
from memcore.testing import checks_for, parametrize_with_checks


class LowRank(nn.Module):
    """y = U V x + b."""

    def __init__(self, inputs, rank, outputs):
        super().__init__()
        self.inner = nn.Parameter(torch.randn(rank, inputs))
        self.outer = nn.Parameter(torch.randn(outputs, rank))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x):
        return F.linear(F.linear(x, self.inner), self.outer, self.bias)


class Good(Layer):
    replaces = (LowRank,)

    @classmethod
    def trials(cls):
        return [(LowRank(6, 3, 5), (torch.randn(4, 6),))]

    def operands(self):
        return {
            "inner": Operand(self.inner.unsqueeze(0)),
            "outer": Operand(self.outer.unsqueeze(0), self.bias),
        }

    def forward(self, x):
        if x.shape[-1] != self.inner.shape[1]:
            raise ValueError(f"x has shape {list(x.shape)}")
        hidden = self.read("inner", x.reshape(-1, 1, x.shape[-1]))
        return self.read("outer", hidden).reshape(*x.shape[:-1], -1)


class Packed(nn.Module):
    """Two arguments and two results, as a gate has them."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 6))

    def forward(self, x, gate):
        y = F.linear(x, self.weight)
        return y * gate, (y,)


class PackedLayer(Layer):
    replaces = (Packed,)

    @classmethod
    def trials(cls):
        return [(Packed(), (torch.randn(4, 6), torch.rand(5)))]

    def operands(self):
        return {"weight": Operand(self.weight.unsqueeze(0))}

    def forward(self, x, gate):
        if x.shape[-1] != 6:
            raise ValueError(f"x has shape {list(x.shape)}")
        y = self.read("weight", x.unsqueeze(1)).squeeze(1)
        return y * gate, (y,)


class Unrolled(nn.Module):
    """A state that starts at zero and is multiplied together with each input."""

    def __init__(self):
        super().__init__()
        self.mixed = nn.Parameter(torch.randn(3, 5))

    def forward(self, x):
        state = x.new_zeros(x.shape[0], 3)
        for step in x.unbind(1):
            state = F.linear(torch.cat([step, state], 1), self.mixed).tanh()
        return state


class OneArrayForBoth(Layer):
    """As an author writes it whose layer reads often, in parts, and waits to be asked for."""

    replaces = (Unrolled,)
    on_request = True

    @classmethod
    def trials(cls):
        return [(Unrolled(), (torch.randn(4, 3, 2),))]

    def operands(self):
        return {"mixed": Operand(self.mixed.unsqueeze(0))}

    def input_parts(self, name):
        return (2, 3)

    def forward(self, x):
        take_ranges(self, x.shape[0], lambda: self.unrolled(x))
        return self.unrolled(x)

    def unrolled(self, x):
        product, state = self.product("mixed"), x.new_zeros(x.shape[0], 3)
        for step in x.unbind(1):
            state = product(torch.cat([step, state], 1).unsqueeze(1)).squeeze(1).tanh()
        return state


@parametrize_with_checks(Good, PackedLayer, OneArrayForBoth)
def test_good_layers_pass(check):
    check()


# -- sloppy layers ---------------------------------------------------------------------------------


def layer(**methods):
    """A layer that keeps every promise but those that `methods` break."""
    return type("Sloppy", (Good,), methods)


def operands(**changes):
    """Operands of which some are changed."""

    def sloppy(self):
        good = Good.operands(self)
        return {**good, **{name: change(good[name]) for name, change in changes.items()}}

    return sloppy


def counted_operands(self):
    self.calls = getattr(self, "calls", 0) + 1
    return {f"{name}{self.calls}": each for name, each in Good.operands(self).items()}


def spare(cls, module, build):
    made = Good.of.__func__(cls, module, build)
    made.matrices["spare"] = build("spare", Operand(torch.ones(1, 2, 2)))
    return made


def without_bias(self, x):
    return Good.forward(self, x) - self.bias


def single(self, x):
    return Good.forward(self, x).float()


def detached(self, x):
    return Good.forward(self, x.detach() + 0 * x)


def digital_half(self, x):
    if x.shape[-1] != 6:
        raise ValueError
    return self.read("outer", F.linear(x, self.inner).unsqueeze(1)).squeeze(1)


def remembering(self, x):
    if not hasattr(self, "kept"):
        self.kept = Good.forward(self, x)
    return self.kept


def frozen(self):
    if not hasattr(self, "first"):
        self.first = {
            name: Operand(weight.detach().clone(), bias)
            for name, (weight, bias) in Good.operands(self).items()
        }
    return self.first


def lazily(cls, module, build):
    if "made" not in module.__dict__:
        module.__dict__["made"] = Good.of.__func__(cls, module, build)
    return module.__dict__["made"]


def cloned(self):
    module = LowRank(6, 3, 5)
    module.load_state_dict({name: p.detach() for name, p in self._parameters.items()})
    return module


def spoilt(self):
    module = Layer.digital(self)
    module.bias.data += 1
    return module


def greedy(self, x):
    return Good.forward(self, x.mul_(1))


def outside_of_the_state(cls, module, build):
    made = Good.of.__func__(cls, module, build)
    made.factor = float(made.matrices["inner"].crossbar.conductance.sum())
    return made


def with_factor(self, x):
    return Good.forward(self, x) * self.factor


def renamed(self, module):
    Good.__init__(self, module)
    self.register_parameter("offset", self._parameters.pop("bias"))


def renamed_operands(self):
    return {
        "inner": Operand(self.inner.unsqueeze(0)),
        "outer": Operand(self.outer.unsqueeze(0), self.offset),
    }


def with_lambda(self, module):
    Good.__init__(self, module)
    self.rule = lambda: 3


def drawn(cls, module, build):
    made = Good.of.__func__(cls, module, build)
    made.register_buffer("drawn", torch.rand(1))
    return made


def one_chip(cls, module, build):
    made = Good.of.__func__(cls, module, build)
    made.factor = 0.0
    return made


def deaf(self, module):
    Good.__init__(self, module)
    self._forward_hooks = OrderedDict()


def greedy_shape(self, x):
    return Good.forward(self, x.reshape(-1, 6))


def branching(self, x):
    return Good.forward(self, x) if float(x.sum()) < 1e9 else Good.forward(self, -x)


def _of(function):
    return classmethod(function)


SLOPPY = [
    ("fulfils_its_contract", {"forward": Layer.forward}, "does not define forward"),
    ("fulfils_its_contract", {"replaces": ()}, "has replaces = ()"),
    ("accepts_its_trials", {"replaces": (nn.Linear,)}, "but a trial is of"),
    ("accepts_its_trials", {"refuses": _of(lambda cls, m: None)}, "refuses returns None"),
    (
        "operands_have_names_and_shapes",
        {"operands": counted_operands},
        "['inner1', 'outer1'],",
    ),
    (
        "operands_have_names_and_shapes",
        {"operands": operands(inner=lambda o: Operand(o.weight[0]))},
        "operand 'inner' has shape (3, 6)",
    ),
    (
        "operands_have_names_and_shapes",
        {"operands": operands(outer=lambda o: Operand(o.weight, o.bias.unsqueeze(0)))},
        "the bias of operand 'outer' has shape (1, 5)",
    ),
    ("operands_have_names_and_shapes", {"of": _of(spare)}, "of builds matrices ['inner', 'outer',"),
    ("equals_the_digital_module", {"forward": without_bias}, "outputs are off by"),
    ("equals_the_digital_module", {"forward": single}, "outputs are torch.float32 (20,)"),
    (
        "gradients_are_those_of_the_digital_module",
        {"forward": detached},
        "gradients of the input are off by 100 %",
    ),
    ("gradients_are_those_of_the_digital_module", {"operands": frozen}, "has gradients of inner."),
    ("every_matrix_is_read", {"forward": digital_half}, "the cells of matrix 'inner' are erased"),
    ("ages_and_is_written_again", {"forward": remembering}, "do not follow memcore.age"),
    ("trained_parameters_reach_the_cells", {"operands": frozen}, "outputs after training are off"),
    (
        "converters_are_calibrated",
        {"forward": digital_half},
        "matrix 'inner' has no range",
    ),
    ("reports_list_its_matrices", {"of": _of(lazily)}, "and no trace of ["),
    ("goes_back", {"digital": cloned}, "revert_ gives a LowRank with parameters"),
    ("goes_back", {"digital": spoilt}, "after revert_ outputs differ"),
    ("inputs_stay_as_they_are", {"forward": greedy}, "write into the input"),
    (
        "state_dict_loads",
        {"of": _of(outside_of_the_state), "forward": with_factor},
        "has other outputs",
    ),
    (
        "state_dict_loads",
        {"__init__": renamed, "operands": renamed_operands},
        "the state has no inner.bias",
    ),
    ("copies_and_pickles", {"__init__": with_lambda}, "it cannot be pickled: "),
    ("same_seed_same_chip", {"of": _of(drawn)}, "randomness outside the stream"),
    ("same_seed_same_chip", {"of": _of(one_chip), "forward": with_factor}, "two seeds give one"),
    ("hooks_survive", {"__init__": deaf}, "is called 0 times by the layer"),
    ("wrong_inputs_are_refused", {"forward": greedy_shape}, "an input of shape [4, 12] gives"),
    ("compiles", {"forward": branching}, "torch.compile cannot take it in one graph"),
    ("exports", {"forward": branching}, "torch.export cannot write it down"),
    ("works_in_bfloat16", {"forward": single}, "outputs in bfloat16 are torch.float32 (20,)"),
    ("takes_parameters_of_a_call", {"operands": frozen}, "given by torch.func.functional_call are"),
]


@pytest.mark.parametrize(
    ("name", "methods", "text"), SLOPPY, ids=[f"{n}-{i}" for i, (n, _, _) in enumerate(SLOPPY)]
)
def test_sloppy_layer_fails_its_check(name, methods, text):
    sloppy = layer(**methods)
    (check,) = (check for check in checks_for(sloppy) if check.name == f"check_{name}")

    with pytest.raises(AssertionError) as error:
        check()

    message = str(error.value)
    assert text in message
    assert "Sloppy" in message, "it names the layer"
    assert "; " in message or "does not define" in message, "it says what to do"


def test_every_check_of_layers_was_seen_to_fail():
    seen = {f"check_{name}" for name, _, _ in SLOPPY}
    assert {check.name for check in checks_for(Good)} == seen


def test_check_that_crashes_names_the_layer_and_its_trial():
    def forward(self, x):
        raise ZeroDivisionError("no outputs")

    (check,) = (c for c in checks_for(layer(forward=forward)) if c.name.endswith("compiles"))
    with pytest.raises(AssertionError, match=r"Sloppy of LowRank\(\): .* ZeroDivisionError: no"):
        check()


def test_layer_without_trials_is_refused_with_an_example():
    with pytest.raises(ValueError, match=r"Sloppy has no trials; define a classmethod trials"):
        list(checks_for(layer(trials=_of(lambda cls: ()))))


def test_converted_layer_instead_of_its_class_is_refused():
    with pytest.raises(TypeError, match="pass the class, Linear, not a converted layer"):
        list(checks_for(Linear(nn.Linear(2, 2))))


def test_trials_are_the_same_every_time_and_leave_global_randomness_alone():
    before = torch.random.get_rng_state()
    one, other = (next(iter(checks_for(Good))).case for _ in range(2))
    assert torch.equal(one.inputs[0], other.inputs[0])
    assert torch.equal(one.module.inner, other.module.inner)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_checks_leave_no_layer_registered():
    import memcore

    before = list(memcore.layers.providers())
    for check in checks_for(Good):
        if not check.name.endswith("compiles"):
            check()
    assert list(memcore.layers.providers()) == before
