from dataclasses import dataclass

import pytest
import torch

from memcore.ops import crossbar_mvm as op

NO_ADC = (1.0, 0.0)


@dataclass
class Case:
    """Arguments of one product; small integers of codes, so that the scale of a step is 1."""

    n: int = 5
    groups: int = 1
    rows: int = 100
    cols: int = 40
    tile: int = 32
    adc: tuple[float, float] = (-20.0, 20.0)
    dac: tuple[float, float, float] = (31.0, -127.0, 127.0)
    bias: bool = False
    scale_each: bool = False

    def arguments(self) -> tuple:
        generator = torch.Generator().manual_seed(self.n * 1000 + self.rows + self.cols)
        outputs = self.groups * self.cols
        x = torch.randn(self.n, self.groups, self.rows, generator=generator)
        weight = torch.randn(self.groups, self.rows, self.cols, generator=generator)
        gain = 0.05 if self.dac[0] else 1.0
        scale = torch.rand(outputs if self.scale_each else 1, generator=generator) + 0.5
        bias = torch.randn(outputs, generator=generator) if self.bias else None
        dac = torch.tensor(self.dac)
        return (
            x,
            op.pack(weight * gain),
            dac,
            scale,
            bias,
            self.cols,
            self.tile,
            *self.adc,
        )


SHAPES = [
    Case(),
    Case(n=1, rows=1, cols=1, tile=1),
    Case(n=1, rows=300, cols=33, tile=128),
    Case(n=3, rows=7, cols=31, tile=100),
    Case(n=14, rows=128, cols=32, tile=128),
    Case(n=15, rows=129, cols=64, tile=128),
    Case(n=64, rows=500, cols=130, tile=128),
    Case(n=300, rows=70, cols=10, tile=16),
    Case(n=40, groups=3, rows=45, cols=50, tile=20, bias=True),
    Case(n=9, groups=5, rows=9, cols=3, tile=4, bias=True, scale_each=True),
    Case(n=33, rows=1000, cols=65, tile=300, scale_each=True),
]


def codes(y: torch.Tensor, arguments: tuple) -> torch.Tensor:
    """The sum of ADC codes behind an output."""
    scale, bias = arguments[3], arguments[4]
    if bias is not None:
        y = y - bias.view(y.shape[1:])
    return y / (scale if scale.numel() == 1 else scale.view(y.shape[1:]))


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_codes_agree_with_the_reference(case):
    arguments = case.arguments()
    y, expected = op.crossbar_mvm(*arguments), op._reference(*arguments)
    assert y.shape == (case.n, case.groups, case.cols)
    error = (codes(y, arguments) - codes(expected, arguments)).round().abs()
    assert error.max() <= 1
    assert (error == 0).double().mean() >= 0.999 or (error != 0).sum() <= 1


@pytest.mark.parametrize("case", SHAPES, ids=str)
def test_without_converters_it_is_the_plain_product(case):
    case = Case(**{**vars(case), "adc": NO_ADC, "dac": (0.0, 0.0, 0.0)})
    x, panels, _, scale, bias, cols, *_ = arguments = case.arguments()
    weight = op.unpack(panels, cols).double()
    product = torch.einsum("ngk,gkc->ngc", x.double(), weight) * scale.double().view(
        1 if scale.numel() == 1 else case.groups, -1
    )
    if bias is not None:
        product = product + bias.view(case.groups, cols)
    y = op.crossbar_mvm(*arguments)
    torch.testing.assert_close(y.double(), product, rtol=1e-4, atol=1e-4)


def test_adc_codes_saturate_in_every_tile():
    x = torch.ones(2, 1, 4)
    panels = op.pack(torch.tensor([[[100.0], [100.0], [-100.0], [0.4]]]))
    dac = torch.tensor([0.0, 0.0, 0.0])
    y = op.crossbar_mvm(x, panels, dac, torch.ones(1), None, 1, 2, -8.0, 7.0)
    assert y.flatten().tolist() == [7 - 8, 7 - 8]


def test_dac_rounds_half_to_even_and_saturates():
    x = torch.tensor([0.5, 1.5, 2.5, 99.0, -99.0]).view(5, 1, 1)
    panels = op.pack(torch.ones(1, 1, 1))
    dac = torch.tensor([1.0, -4.0, 3.0])
    y = op.crossbar_mvm(x, panels, dac, torch.ones(1), None, 1, 1, *NO_ADC)
    assert y.flatten().tolist() == [0, 2, 2, 3, -4]


@pytest.mark.parametrize(
    "case",
    [Case(n=256, rows=300, cols=100, tile=128), Case(n=256, groups=2, rows=200, cols=10, tile=64)],
    ids=str,
)
def test_results_depend_neither_on_the_batch_nor_on_the_threads(case):
    before = torch.get_num_threads()
    x, *rest = case.arguments()
    whole = op.crossbar_mvm(x, *rest)
    assert torch.equal(torch.cat([op.crossbar_mvm(part, *rest) for part in x.split(8)]), whole)
    assert torch.equal(torch.cat([op.crossbar_mvm(part, *rest) for part in x.split(1)]), whole)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert torch.equal(op.crossbar_mvm(x, *rest), whole)
    finally:
        torch.set_num_threads(before)


def test_an_empty_batch_gives_an_empty_result():
    assert op.crossbar_mvm(*Case(n=0).arguments()).shape == (0, 1, 40)


def test_nan_in_a_batch_row_stays_in_that_row():
    x, *rest = Case().arguments()
    clean = op.crossbar_mvm(x, *rest)
    x[2, 0, 5] = torch.nan
    spoiled = op.crossbar_mvm(x, *rest)
    assert spoiled[2].isnan().all()
    keep = [0, 1, 3, 4]
    assert torch.equal(spoiled[keep], clean[keep])


@pytest.mark.parametrize("cols", [1, 31, 32, 33, 70])
def test_unpack_undoes_pack(cols):
    weight = torch.randn(3, 11, cols)
    panels = op.pack(weight)
    assert panels.shape == (3, -(-cols // 32), 11, 32)
    assert panels.is_contiguous()
    assert torch.equal(op.unpack(panels, cols), weight)


def test_float64_runs_in_float64():
    arguments = [
        a.double() if isinstance(a, torch.Tensor) else a for a in Case(adc=NO_ADC).arguments()
    ]
    assert op.crossbar_mvm(*arguments).dtype == torch.float64


def test_the_operator_obeys_the_rules_of_torch():
    operator = torch.ops.memcore.crossbar_mvm.default
    torch.library.opcheck(operator, Case().arguments())
    torch.library.opcheck(operator, Case(bias=True, groups=2, scale_each=True).arguments())


def test_the_compiled_operator_equals_the_eager_one():
    x, *rest = Case(bias=True).arguments()

    def layer(x):
        return op.crossbar_mvm(x, *rest).relu()

    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), layer(x))


@pytest.mark.parametrize(
    ("position", "value", "error", "message"),
    [
        (0, torch.ones(5, 100), ValueError, r"expected \[n, groups, rows\]"),
        (0, torch.ones(5, 1, 99), ValueError, r"panels has shape .* expected \[1, 2, 99, 32\]"),
        (0, torch.ones(5, 1, 100).long(), TypeError, "x is torch.int64"),
        (1, torch.ones(1, 2, 100, 32).double(), TypeError, "panels is torch.float64"),
        (2, torch.ones(2), ValueError, "dac has shape"),
        (3, torch.ones(7), ValueError, r"scale has shape \[7\]; expected \[1\] or \[40\]"),
        (4, torch.ones(41), ValueError, "bias has shape"),
        (6, 0, ValueError, "tile_rows is 0"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(position, value, error, message):
    arguments = list(Case().arguments())
    arguments[position] = value
    with pytest.raises(error, match=message):
        op.crossbar_mvm(*arguments)
