import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import memcore
from memcore import ConfigError, Reference, mappers
from memcore.testing import checks_for

DEVICE = memcore.devices["ideal"](r_on=1e4, r_off=1e5)
G_MIN, G_MAX = 1e-5, 1e-4
CTX = memcore.Context(random=memcore.Stream(0))
ENCODINGS = ["differential", "offset", "midpoint", "twos_complement"]


def mapped(weight, **parameters):
    return mappers["bit_slice"](**parameters).map(weight, DEVICE, CTX)


def digits(part, bits):
    """What a part holds, in steps between two digits."""
    return (part.target - G_MIN) / (G_MAX - G_MIN) * (2**bits - 1)


def column(*values):
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1)


def assert_holds(part, bits, *wanted):
    torch.testing.assert_close(digits(part, bits), column(*wanted), rtol=0, atol=1e-9)


def test_the_digits_of_a_magnitude_lie_on_the_column_of_its_sign():
    m = mapped(column(127, -90, 0), slice_bits=(2, 2, 3))
    assert [(part.lane, part.sign) for part in m.parts] == [
        (lane, sign) for lane in range(3) for sign in (1, -1)
    ]
    # 90 = 2 + 2 * 4 + 5 * 16
    assert_holds(m.parts[0], 2, 3, 0, 0)
    assert_holds(m.parts[1], 2, 0, 2, 0)
    assert_holds(m.parts[3], 2, 0, 2, 0)
    assert_holds(m.parts[5], 3, 0, 5, 0)
    ratio = m.gain / m.gain[0]
    assert ratio.tolist() == pytest.approx([1, 4, 16 * 7 / 3])


def test_an_offset_has_the_digits_of_its_constant_in_the_reference():
    m = mapped(column(127, -127, 0), slice_bits=(3, 5), encoding="offset")
    assert_holds(m.parts[0], 3, 7, 1, 0)
    assert_holds(m.parts[1], 3, 0, 0, 0)
    assert_holds(m.parts[2], 5, 31, 0, 16)
    assert_holds(m.parts[3], 5, 16, 16, 16)
    assert [isinstance(part, Reference) for part in m.parts] == [False, True, False, True]


def test_references_of_the_midpoint_encoding_are_all_in_the_middle_of_the_window():
    m = mapped(torch.randn(1, 5, 4), slice_bits=4, encoding="midpoint")
    for part in m.parts[1::2]:
        torch.testing.assert_close(part.target, torch.full((1, 5, 1), (G_MIN + G_MAX) / 2))


def test_the_sign_bit_of_a_twos_complement_is_a_cell_that_counts_negative():
    m = mapped(
        column(3, -1, -4), slice_bits=1, weight_bits=3, w_max=3.0, encoding="twos_complement"
    )
    assert_holds(m.parts[0], 1, 1, 1, 0)
    assert_holds(m.parts[2], 1, 1, 1, 0)
    assert_holds(m.parts[4], 1, 0, 1, 1)
    assert_holds(m.parts[5], 1, 0, 0, 0)
    assert (m.gain / m.gain[0]).tolist() == pytest.approx([1, 2, -4])


@given(
    st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=12),
    st.sampled_from(ENCODINGS),
    st.sampled_from([1, 2, 3, 5, (1, 2, 5), (6, 1, 1), (3, 4, 2, 3)]),
    st.sampled_from(["matrix", "column"]),
)
def test_weights_come_back_to_half_a_step(values, encoding, widths, scale):
    weight = torch.tensor(values, dtype=torch.float64).view(1, -1, 1)
    m = mapped(weight, slice_bits=widths, encoding=encoding, scale=scale)
    assert bool(((m.weight() - weight).abs() <= 0.5 * m.step + 1e-9).all())
    assert float((m.gain.abs() > 0).all()) == float(
        weight.abs().max() > 0 or encoding != "midpoint"
    )


def test_a_fixed_largest_weight_clips_what_lies_beyond():
    weight = column(3.0, -0.5, 0.25)
    m = mapped(weight, weight_bits=3, slice_bits=1, w_max=0.75)
    torch.testing.assert_close(m.weight(), column(0.75, -0.5, 0.25))
    assert float(m.step) == 0.25


def test_sigmas_clip_at_multiples_of_the_standard_deviation():
    weight = memcore.Stream(0).normal((1, 400, 3), dtype=torch.float64)
    for mapper in ("differential", "offset", "bit_slice", "multi_cell"):
        m = mappers[mapper](clip=2.0, clip_by="sigmas").map(weight, DEVICE, CTX)
        bound = 2 * weight.std(correction=0)
        torch.testing.assert_close(m.weight().abs().max(), bound, rtol=1e-9, atol=0)
        off = (m.weight() - weight.clamp(-bound, bound)).abs().max()
        assert float(off) <= 0.5 * float(torch.as_tensor(m.step)) + 1e-9


@pytest.mark.parametrize("bits", [3, 4, 6])
@pytest.mark.parametrize("scale", ["matrix", "column"])
def test_the_least_error_beats_the_maximum_and_its_neighbours(bits, scale):
    weight = memcore.Stream(0).normal((1, 500, 3), dtype=torch.float64)

    def error(**parameters):
        m = mapped(weight, weight_bits=bits, slice_bits=1, scale=scale, **parameters)
        return float((m.weight() - weight).square().mean()), m

    best, m = error(clip_by="least_error")
    assert best < error()[0]
    if scale == "matrix":
        found = float(m.step) * (2 ** (bits - 1) - 1)
        for factor in (0.9, 1.1):
            assert best <= error(w_max=found * factor)[0]


@pytest.mark.parametrize("mapper", ["differential", "multi_cell"])
@pytest.mark.parametrize("states", [3, 8])
def test_the_least_error_of_cells_with_few_states_is_that_of_a_fine_search(mapper, states):
    weight = memcore.Stream(0).normal((1, 400, 3), dtype=torch.float64)
    layer = torch.nn.Linear(400, 3, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(weight[0].T)

    def error(**parameters):
        effect = {"name": "finite_states", "states": states}
        given = {"name": mapper, **parameters}
        config = memcore.CrossbarConfig(device=DEVICE, mapper=given, nonidealities=[effect])
        mem = memcore.convert(layer, config)
        return float((mem.crossbar.folded - layer.weight.detach()).square().mean())

    tried = np.linspace(0.05, 4.0, 2000)
    w, levels = weight.numpy(), states - 1
    errors = [
        np.square(np.clip(np.rint(w / (m / levels)), -levels, levels) * m / levels - w).mean()
        for m in tried
    ]
    best = error(clip_by="least_error", levels=levels)
    assert best < 0.9 * error()
    assert min(errors) * 0.999 <= best <= 1.02 * min(errors)


def test_levels_go_with_the_least_error_alone():
    for mapper in ("differential", "offset", "multi_cell"):
        for parameters in ({"clip_by": "least_error"}, {"levels": 3}):
            with pytest.raises(ConfigError, match="with a number of levels, or neither"):
                mappers[mapper](**parameters)


def test_slices_that_hold_too_few_bits_are_refused():
    with pytest.raises(ConfigError, match=r"hold 5 bits; expected at least 7 for weight_bits=8"):
        mappers["bit_slice"](slice_bits=(2, 3))
    with pytest.raises(ConfigError, match=r"expected at least 8"):
        mappers["bit_slice"](slice_bits=(2, 2, 3), encoding="offset")
    with pytest.raises(ConfigError, match="slice_bits"):
        mappers["bit_slice"](slice_bits=(2, 0, 9))


def test_a_list_of_slices_is_read_from_a_table():
    table = {"device": "ideal", "mapper": {"name": "bit_slice", "slice_bits": [1, 2, 4]}}
    config = memcore.CrossbarConfig.from_mapping(table)
    assert config.mapper.widths == (1, 2, 4)
    assert memcore.CrossbarConfig.from_mapping(config.to_mapping()) == config


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("widths", [1, (1, 3, 4)])
def test_every_encoding_keeps_the_promises_of_a_mapper(encoding, widths):
    for check in checks_for(mappers["bit_slice"](encoding=encoding, slice_bits=widths)):
        check()
