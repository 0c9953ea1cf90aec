"""The identities of counts for layers of every kind, slicings, codings and groups of word lines."""

import random
from math import ceil, prod

import pytest
import torch
from torch import nn

import memcore

#: Mappers with the parts and the lanes of a weight.
MAPPERS = [
    ("differential", 2, 1),
    ({"name": "bit_slice", "weight_bits": 5, "slice_bits": 1}, 8, 4),
    ({"name": "bit_slice", "weight_bits": 5, "slice_bits": 2}, 4, 2),
]
#: DACs with their phases and the bits of one.
DACS = [
    (None, 1, None),
    ({"name": "uniform", "bits": 6, "full_scale": 1.0}, 1, 6),
    ({"name": "bit_serial", "bits": 4, "full_scale": (0.0, 1.0)}, 4, 1),
    ({"name": "bit_serial", "bits": 5, "bits_per_step": 2, "full_scale": (0.0, 1.0)}, 3, 2),
]
ADC = {"name": "uniform", "bits": 7, "full_scale": 1e-4}
CONVOLUTIONS = {
    "conv1d": (nn.Conv1d, (9,), 1),
    "conv2d": (nn.Conv2d, (7, 8), 1),
    "conv3d": (nn.Conv3d, (4, 3, 5), 1),
    "groups": (nn.Conv2d, (6, 5), 3),
}
RECURRENT = {"lstm": (nn.LSTM, 4), "gru": (nn.GRU, 3), "rnn": (nn.RNN, 1)}
KINDS = ["linear", *CONVOLUTIONS, "transposed", *RECURRENT, "attention"]


def made(kind, draw):
    """A layer, its inputs, and of each matrix inputs, outputs, groups and vectors."""
    rows, cols = draw.randint(1, 40), draw.randint(1, 30)
    if kind == "linear":
        return nn.Linear(rows, cols), (torch.rand(2, 3, rows),), [(rows, cols, 1, 6)]
    if kind in CONVOLUTIONS:
        cls, space, groups = CONVOLUTIONS[kind]
        stride = draw.randint(1, 2)
        layer = cls(groups * draw.randint(1, 4), groups * cols, 2, stride=stride, groups=groups)
        x = torch.rand(2, layer.in_channels, *space)
        inputs = layer.in_channels // groups * prod(layer.kernel_size)
        vectors = layer(x).numel() // layer.out_channels
        return layer, (x,), [(inputs, cols, groups, vectors)]
    if kind == "transposed":
        layer = nn.ConvTranspose2d(draw.randint(1, 5), draw.randint(1, 6), 3, stride=2)
        x = torch.rand(2, layer.in_channels, 4, 3)
        return layer, (x,), [(layer.in_channels, 9 * layer.out_channels, 1, 2 * 4 * 3)]
    if kind in RECURRENT:
        cls, gates = RECURRENT[kind]
        hidden = draw.randint(2, 9)
        own = [(each, gates * hidden, 1, 10) for each in (rows, hidden)]
        return cls(rows, hidden, batch_first=True), (torch.rand(2, 5, rows),), own
    width = 4 * draw.randint(1, 5)
    x = torch.rand(2, 3, width)
    return nn.MultiheadAttention(width, 2, batch_first=True), (x,) * 3, [(width, width, 1, 6)] * 4


@pytest.mark.filterwarnings("ignore::memcore.MemcoreWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_counts_follow_from_shapes(kind):
    draw = random.Random(kind)
    for _ in range(6):
        layer, inputs, shapes = made(kind, draw)
        mapper, parts, lanes = draw.choice(MAPPERS)
        dac, steps, bits = draw.choice(DACS)
        tile = draw.choice([(4, 3), (8, 8), (16, 5), (128, 128)])
        at_once, per = draw.choice([None, 3, 5]), draw.choice(["output", "column"])
        config = memcore.CrossbarConfig(
            device="ideal", mapper=mapper, dac=dac, adc=ADC, adc_per=per, tile=tile,
            rows_at_once=at_once,
        )  # fmt: skip
        chip = memcore.convert(layer, config).eval()
        with torch.no_grad(), memcore.counting(chip, traced=draw.random() < 0.5) as counts:
            chip(*inputs)
        values = parts if per == "column" else lanes
        for work, (rows, cols, groups, vectors) in zip(counts.values(), shapes, strict=True):
            full, last = divmod(rows - 1, tile[0])
            most = min(tile[0], at_once or tile[0])
            units = full * ceil(tile[0] / most) + ceil((last + 1) / most)
            arrays = parts * groups * ceil(cols / tile[1])
            assert work.vectors == vectors
            assert work.phases == vectors * steps
            assert work.reads == vectors * steps * arrays * units
            assert work.drives == vectors * steps * arrays * rows
            assert work.conversions == vectors * steps * groups * units * values * cols
            assert work.shift_adds == vectors * groups * cols * (steps * units * values - 1)
            inside = {} if dac is None else {bits: vectors * steps * groups * rows}
            assert work.dac_conversions == inside
