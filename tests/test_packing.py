"""Groups of convolutions that share arrays."""

import copy
import warnings

import pytest
import torch
from torch import nn

import memcore
from memcore import CrossbarConfig, Stream

CONVOLUTIONS = {
    "grouped": (nn.Conv2d(8, 12, 3, padding=1, groups=4), (2, 8, 5, 5)),
    "depthwise": (nn.Conv2d(12, 12, 3, stride=2, groups=12), (2, 12, 7, 7)),
    "one-dimensional, without bias": (nn.Conv1d(6, 12, 2, groups=6, bias=False), (3, 6, 8)),
    "transposed": (nn.ConvTranspose2d(8, 4, 2, stride=2, groups=4), (2, 8, 3, 3)),
}
convolutions = pytest.mark.parametrize("kind", CONVOLUTIONS)


def draws(*shape):
    return Stream(5).child("x").normal(shape)


def both(kind, x=None, **settings):
    """A layer whose groups have arrays of their own, and one whose groups share them."""
    layer, shape = CONVOLUTIONS[kind]
    x = draws(*shape)
    settings = {"device": "ideal", "tile": (40, 20), **settings}
    ports = [settings.get(port) for port in ("dac", "adc")]
    needs = any(port is not None and "full_scale" not in port for port in ports)
    made = [
        memcore.convert(
            copy.deepcopy(layer),
            CrossbarConfig(**settings, groups=groups),
            calibration=x if needs else None,
        )
        for groups in ("apart", "packed")
    ]
    assert made[1].crossbar.packing.count > 1
    return (*made, x, layer)


def backward(mem, x):
    """Output and gradients of a layer."""
    x = x.clone().requires_grad_()
    y = mem(x)
    mem.zero_grad()
    y.square().sum().backward()
    return [y.detach(), x.grad, *(each.grad.clone() for each in mem.parameters())]


def assert_close(found, expected):
    scale = expected.abs().max().item()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * scale)


@convolutions
@pytest.mark.parametrize("bias", ["digital", "mapped"])
@pytest.mark.parametrize("mapper", ["differential", "offset"])
def test_packed_groups_compute_what_the_digital_layer_does(kind, bias, mapper):
    _, packed, x, layer = both(kind, bias=bias, mapper=mapper)
    for found, expected in zip(backward(packed, x), backward(layer, x), strict=True):
        assert_close(found, expected)


@pytest.mark.parametrize("kind", ["depthwise", "transposed"])
@pytest.mark.parametrize("encoding", ["differential", "offset", "midpoint", "twos_complement"])
def test_weights_between_groups_are_exactly_zero_in_every_encoding(kind, encoding):
    mapper = {"name": "bit_slice", "encoding": encoding}
    apart, packed, x, _ = both(kind, mapper=mapper, bias="mapped")
    assert_close(packed(x), apart(x))
    assert_close(packed.effective_weight, apart.effective_weight)


@convolutions
@pytest.mark.parametrize("mapper", ["differential", "offset"])
def test_the_same_converters_give_the_same_codes(kind, mapper):
    adc = {"name": "uniform", "bits": 6, "full_scale": 2e-5}
    apart, packed, x, _ = both(kind, mapper=mapper, dac={"name": "uniform", "bits": 6}, adc=adc)
    torch.testing.assert_close(packed(x), apart(x), rtol=1e-4, atol=1e-5)


def test_single_columns_carry_the_current_of_zeros_which_needs_more_bits():
    layer, shape = CONVOLUTIONS["depthwise"]
    errors = []
    for groups in ("apart", "packed"):
        config = CrossbarConfig(
            device="ideal", mapper="offset", adc="uniform", adc_per="column", groups=groups
        )
        mem = memcore.convert(layer, config, calibration=draws(*shape))
        errors.append(float((mem(draws(*shape)) - layer(draws(*shape))).abs().mean().detach()))
    assert 1.5 * errors[0] < errors[1] < 0.1


@convolutions
def test_serial_inputs_and_sliced_weights_are_the_same_integers(kind):
    how = {"dac": "bit_serial", "mapper": "bit_slice"}
    apart, packed, x, _ = both(kind, **how, adc={"name": "uniform", "bits": 20}, bias="mapped")
    assert_close(packed(x), apart(x))


def test_a_column_has_its_own_gain_and_a_tile_another():
    for scale in ("column", "tile"):
        _, packed, x, layer = both("grouped", mapper={"name": "differential", "scale": scale})
        assert_close(packed(x), layer(x))


def test_noise_of_the_zeros_between_groups_is_read_too():
    noise = {"name": "read_noise", "relative": 0, "std": 1e-7}
    apart, packed, x, layer = both("depthwise", nonidealities=[noise])
    expected = layer(x)
    errors = [mem(x.repeat(50, 1, 1, 1)) - expected.repeat(50, 1, 1, 1) for mem in (apart, packed)]
    ratio = float(errors[1].detach().std() / errors[0].detach().std())
    assert ratio == pytest.approx(2, rel=0.1)  # four groups of equal noise in an array


def test_arrays_and_reads_are_fewer_and_conversions_as_many():
    apart, packed, x, _ = both("depthwise", adc={"name": "uniform", "full_scale": 1e-3})
    assert packed.crossbar.packing.count == 4  # 4 groups of 9 word lines in 40
    assert apart.crossbar.tiling.arrays == 4 * packed.crossbar.tiling.arrays
    counts = []
    for mem in (apart, packed):
        with memcore.counting(mem) as counted:
            mem(x)
        counts.append(counted.total)
    assert counts[0].reads == 4 * counts[1].reads
    assert counts[0].drives == counts[1].drives
    assert counts[0].adc_conversions == counts[1].adc_conversions


def test_used_cells_are_those_of_the_groups():
    apart, packed, _, _ = both("depthwise")
    of_apart, of_packed = (memcore.summary(mem).layers[0] for mem in (apart, packed))
    assert (of_apart.rows, of_apart.cols) == (of_packed.rows, of_packed.cols) == (9, 12)
    assert of_packed.utilisation == pytest.approx(4 * of_apart.utilisation)


def test_the_cost_is_that_of_the_same_products():
    apart, packed, x, _ = both("depthwise", adc={"name": "uniform", "full_scale": 1e-3})
    works = [memcore.cost(mem, x, model="array").layers[0].work for mem in (apart, packed)]
    assert works[0].macs == works[1].macs
    assert works[0].array.arrays == 4 * works[1].array.arrays


@pytest.mark.parametrize(("rows_at_once", "count"), [(None, 4), (18, 2), (27, 3), (9, 1)])
def test_no_more_groups_share_an_array_than_are_driven_at_once(rows_at_once, count):
    layer, _ = CONVOLUTIONS["depthwise"]
    config = CrossbarConfig(
        device="ideal", tile=(40, 20), groups="packed", rows_at_once=rows_at_once
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", memcore.NoEffectWarning)
        assert memcore.convert(layer, config).crossbar.packing.count == count


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_rehearsal_compiles_and_gives_the_same_gradients():
    _, packed, x, _ = both("grouped", nonidealities=[{"name": "d2d", "std": 0.1}], bias="mapped")
    packed.train()
    with torch.no_grad():
        packed.weight.mul_(1.1)
    eager = backward(packed, x)
    compiled = torch.compile(packed, fullgraph=True, backend="aot_eager")
    x = x.clone().requires_grad_()
    y = compiled(x)
    packed.zero_grad()
    y.square().sum().backward()
    found = [y.detach(), x.grad, *(each.grad for each in packed.parameters())]
    for one, other in zip(found, eager, strict=True):
        assert_close(one, other)


def test_packing_nothing_is_said():
    config = CrossbarConfig(device="ideal", groups="packed")
    with pytest.warns(memcore.NoEffectWarning, match="groups='packed' changes nothing"):
        memcore.convert(nn.Linear(3, 2), config)


def test_a_packed_layer_is_saved_loaded_trained_and_written_again(tmp_path):
    _, packed, x, layer = both("grouped", nonidealities=["stuck_at"], bias="mapped")
    _, other, _, _ = both("grouped", nonidealities=["stuck_at"], bias="mapped")
    with torch.no_grad():
        packed.weight.mul_(-2)
    memcore.program(packed)
    torch.save(packed.state_dict(), tmp_path / "chip.pt")
    other.load_state_dict(torch.load(tmp_path / "chip.pt"))
    assert torch.equal(other(x), packed(x))
    torch.testing.assert_close(packed.effective_weight, packed.weight, rtol=0, atol=1e-5)
    optimiser = torch.optim.SGD(packed.parameters(), 1e-2)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = packed.train()(x).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True)
    assert type(memcore.revert_(packed)) is type(layer)


@convolutions
@pytest.mark.parametrize("bias", ["digital", "mapped"])
def test_no_inputs_give_no_outputs(kind, bias):
    _, packed, x, layer = both(kind, bias=bias, nonidealities=["read_noise"])
    assert packed(x[:0]).shape == layer(x[:0]).shape
