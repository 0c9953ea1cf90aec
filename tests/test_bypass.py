"""Products with the weight of a layer past the arrays that hold it."""

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import memcore
from memcore import CrossbarConfig, Stream

X = Stream(5).normal((4, 6))


class Past(nn.Module):
    """Calls its layer, and multiplies by its weight once more past it."""

    def __init__(self, how):
        super().__init__()
        self.first, self.fc, self.how = nn.Linear(6, 6), nn.Linear(6, 6), how

    def forward(self, x):
        x = self.fc(self.first(x))
        match self.how:
            case "linear":
                return F.linear(x, self.fc.weight)
            case "view":
                return x @ self.fc.weight.t()
            case "einsum":
                return torch.einsum("ni,oi->no", x, self.fc.weight)
            case "norm":
                return x * self.fc.weight.norm() + self.fc.weight.dtype.itemsize
        return x


BITS = CrossbarConfig(device="ideal", dac="uniform")
PAST = r"multiplies by the weights of 'fc' past their arrays.*expected a call of the layer"


@pytest.mark.parametrize("how", ["linear", "view", "einsum"])
def test_a_product_with_a_weight_past_its_arrays_is_told(how):
    model = Past(how)
    with pytest.warns(memcore.NoEffectWarning, match=PAST):
        mem = memcore.convert(model, BITS, calibration=X)
    with pytest.warns(memcore.NoEffectWarning, match=PAST):
        found = memcore.check_ideal(mem, X)
    assert found.bypassed == ("fc",)
    assert "weights multiplied past their arrays: fc" in str(found)


@pytest.mark.parametrize("how", ["nothing", "norm"])
def test_a_weight_that_is_looked_at_without_a_product_is_no_bypass(how):
    mem = memcore.convert(Past(how), BITS, calibration=X)
    assert memcore.check_ideal(mem, X).bypassed == ()


class Language(nn.Module):
    """Its head is the weight of its embedding, of which no layer knows."""

    def __init__(self):
        super().__init__()
        self.embedding, self.body = nn.Embedding(7, 6), nn.Linear(6, 6)

    def forward(self, tokens):
        return F.linear(self.body(self.embedding(tokens)).tanh(), self.embedding.weight)


TOKENS = torch.tensor([[0, 3, 6], [1, 1, 5]])


@pytest.mark.filterwarnings("ignore:.*stayed digital:memcore.PartialConversionWarning")
def test_a_head_that_is_the_weight_of_an_embedding_is_digital_and_no_bypass():
    mem = memcore.convert(Language(), BITS, calibration=TOKENS)
    assert memcore.check_ideal(mem, TOKENS).bypassed == ()


def test_a_layer_that_fails_does_not_hide_what_follows():
    """A call that raises is over all the same."""

    class Careless(Past):
        def forward(self, x):
            with contextlib.suppress(RuntimeError, memcore.ShapeError):
                self.fc(x[:, :2])
            return super().forward(x)

    mem = memcore.convert(Careless("linear"), CrossbarConfig(device="ideal", dac="uniform"))
    with pytest.warns(memcore.NoEffectWarning, match=PAST):
        memcore.calibrate(mem, X)


def test_watching_leaves_no_hook_behind():
    mem = memcore.convert(Past("nothing"), BITS, calibration=X)
    memcore.check_ideal(mem, X)
    assert not mem.fc._forward_pre_hooks
    assert not mem.fc._forward_hooks


def test_a_digital_weight_in_the_storage_of_another_one_is_no_bypass():
    """As `vector_to_parameters` leaves them, one behind the other."""
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    vector_to_parameters(parameters_to_vector(model.parameters()), model.parameters())
    mem = memcore.convert_(model, BITS, filter_fn=lambda _, name: name == "0", calibration=X)
    assert memcore.check_ideal(mem, X).bypassed == ()


@pytest.mark.filterwarnings("ignore:Sparse CS. tensor support is in beta:UserWarning")  # of torch
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc], ids=str)
def test_a_sparse_factor_is_no_weight_on_arrays(layout):
    """As the neighbours in a network on graphs, whose storage torch does not tell."""

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 6)
            self.neighbours = torch.eye(len(X)).to_sparse(layout=layout)

        def forward(self, x):
            return torch.mm(self.neighbours, self.fc(x))

    mem = memcore.convert_(Graph(), BITS, calibration=X)
    assert memcore.check_ideal(mem, X).bypassed == ()
