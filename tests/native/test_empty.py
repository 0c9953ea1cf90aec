"""Sizes of zero: nothing comes of nothing, with and without the native module."""

import itertools
import math

import pytest
import torch

import memcore
from memcore.ops import crossbar_mvm, effective_conductance, philox, quantize
from memcore.ops import ladder as ladders

BOOLEANS = (False, True)


@pytest.mark.parametrize("adc", [(1.0, 9.0), (-9.0, 9.0), (1.0, 0.0)])
@pytest.mark.parametrize(
    ("n", "groups", "rows", "cols"), list(itertools.product((0, 2), (0, 3), (0, 5), (0, 40)))
)
def test_a_product_without_rows_is_its_bias(n, groups, rows, cols, adc):
    bias = torch.randn(groups * cols)
    panels = crossbar_mvm.pack(torch.randn(groups, rows, cols))
    tensors = (torch.randn(n, groups, rows), panels, torch.zeros(3), torch.ones(1), bias)
    y = crossbar_mvm.crossbar_mvm(*tensors, cols, 2, *adc)
    assert y.shape == (n, groups, cols)
    if rows == 0:
        assert torch.equal(y, bias.view(groups, cols).expand_as(y))


@pytest.mark.parametrize(("n", "size"), [(0, 0), (0, 5), (3, 0)])
@pytest.mark.parametrize("chosen", BOOLEANS)
def test_no_reads_or_no_elements_are_no_draws(n, size, chosen):
    reads, elements = torch.arange(n), torch.arange(size) if chosen else None
    for drawn in (
        philox.uniform(reads, size, 3, elements),
        philox.normal(reads, size, 3, elements),
        philox.bernoulli(reads, size, 3, 0.5, elements),
    ):
        assert drawn.shape == (n, size)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3), (0, 2, 0), (2, 0, 3)])
@pytest.mark.parametrize("grad", BOOLEANS)
def test_quantisers_take_tensors_without_elements(shape, grad):
    x = torch.empty(shape, requires_grad=grad)
    columns = shape[-1:]
    for y in (
        quantize.uniform(x, 0.1, -3, 3),
        quantize.uniform(x, torch.ones(columns), -3, 3),
        quantize.levels(x, torch.tensor([0.0, 1.0])),
        quantize.levels(x, torch.ones(*columns, 2)),
        memcore.UniformLevels(step=torch.ones(columns), lo=-1, hi=1)(x),
    ):
        assert y.shape == shape
        assert not grad or torch.autograd.grad(y.sum(), x)[0].shape == shape


def test_a_single_number_keeps_its_shape():
    x = torch.tensor(0.26)
    for y in (quantize.uniform(x, 0.5, -3, 3), quantize.uniform(x.double(), 0.5, -3, 3)):
        assert y.shape == ()
        assert float(y) == 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ends", list(itertools.product(BOOLEANS, BOOLEANS)))
@pytest.mark.parametrize(
    ("arrays", "rows", "cols"), [(0, 3, 2), (2, 0, 3), (2, 3, 0), (1, 0, 0), (0, 0, 0)]
)
def test_a_matrix_without_cells_has_gradients_of_zero(arrays, rows, cols, ends, dtype):
    sizes = ((rows, cols), (rows, cols + ends[0]), (rows + ends[1], cols))
    inputs = [torch.rand(arrays, *size, dtype=dtype, requires_grad=True) for size in sizes]
    matrix = effective_conductance.solve(*inputs, *ends)
    assert matrix.shape == (arrays, rows, cols)
    for x, grad in zip(inputs, torch.autograd.grad(matrix.sum(), inputs), strict=True):
        assert grad.shape == x.shape
        assert not grad.any()


@pytest.mark.parametrize("native", BOOLEANS)
@pytest.mark.parametrize("shunted", BOOLEANS)
@pytest.mark.parametrize("dim", [-1, -2])
@pytest.mark.parametrize(
    ("lead", "cells"),
    [((), (0, 3)), ((), (3, 0)), ((), (0, 0)), ((0,), (3, 2)), ((2,), (0, 3)), ((0, 2), (3, 2))],
)
def test_ladders_without_nodes_have_no_voltages(lead, cells, dim, shunted, native, monkeypatch):
    if not native:
        monkeypatch.setattr(ladders, "_HAS_KERNEL", False)
    ones = torch.ones(*lead, *cells)
    lines = ladders.Ladders.of(ones if shunted else None, ones, dim=dim)
    for batch in ((), (5,), (0,)):
        voltages, energy = lines.solve(torch.ones(*batch, *lead, *cells))
        assert voltages.shape == (*batch, *lead, *cells)
        assert energy.shape == (*batch, *lead, 1, 1)
        assert math.prod(energy.shape) == 0 or not energy.any()


@pytest.mark.parametrize("shared", BOOLEANS)
@pytest.mark.parametrize("cells", [(0,), (2, 0)])
@pytest.mark.parametrize("record", ["all", "last"])
@pytest.mark.parametrize("name", ["yakopcic", "vteam"])
def test_no_devices_take_no_state(name, record, cells, shared):
    voltage = torch.rand(3) if shared else torch.rand(3, *cells)
    traces = [
        memcore.simulate(name, voltage, 1e-9, shape=cells, record=record, engine=engine)
        for engine in ("auto", "python")
    ]
    assert traces[0].state.shape == traces[1].state.shape
    assert traces[0].final.shape == traces[1].final.shape
    assert traces[0].current.shape == (3 if record == "all" else 1, *cells)
