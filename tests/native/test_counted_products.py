"""Numbers of pulses that are computed: the kernel against PyTorch, to the bit."""

import pytest
import torch

import memcore
from memcore import Stream, native
from memcore.ops import counted_products as ops

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="there is no kernel to compare with")


@pytest.mark.parametrize("size", [0.01, 1.0, 30.0])
@pytest.mark.parametrize("carries", [True, False])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (70, 2, 67, 130), (5, 1, 3, 200)])
def test_numbers_of_pulses_are_those_of_single_operations(shape, carries, size):
    n, groups, outputs, inputs = shape
    rows = Stream(1).child("rows").normal((n, groups, inputs))
    cols = Stream(1).child("cols").normal((n, groups, outputs)) * size
    rows[:, :, ::3] = 0.5  # so that halves are to be rounded
    cols[:, :, ::2] = cols[:, :, ::2].round()
    carry = torch.zeros(groups, outputs, inputs) if carries else None
    expected = ops._reference(rows, cols, known := None if carry is None else carry.clone())
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        left = None if carry is None else carry.clone()
        found = ops.counted_products(rows, cols, left)
        assert torch.equal(found.up, expected.up)
        assert torch.equal(found.down, expected.down)
        assert found.slots == expected.slots
        assert carry is None or torch.equal(left, known)
    torch.set_num_threads(before)


def test_a_carry_loses_nothing():
    rows, cols = (Stream(2).child(name).normal((200, 1, 40)) for name in ("rows", "cols"))
    carry = torch.zeros(1, 40, 40)
    found = ops.counted_products(rows, 0.1 * cols, carry)
    wanted = -0.1 * torch.einsum("ngo,ngi->goi", cols.double(), rows.double())
    torch.testing.assert_close((found.up - found.down + carry).double(), wanted, atol=1e-4, rtol=0)
    assert carry.abs().max() < 1


def test_what_does_not_fit_is_refused_before_memory_is_read():
    rows, cols, carry = torch.ones(2, 1, 4), torch.ones(2, 1, 3), torch.zeros(1, 3, 4)
    for given, words in (
        ((rows[0], cols), r"rows has shape \[1, 4\]; expected \[n, groups, inputs\]"),
        ((rows, cols[:1]), r"cols has shape \[1, 1, 3\]; expected \[2, 1, 3\]"),
        ((rows, cols, carry.mT), r"carry has shape \[1, 4, 3\]; expected \[1, 3, 4\]"),
        ((rows, cols.double()), r"cols is torch\.float64, but rows is torch\.float32"),
        ((rows.long(), cols), r"rows is torch\.int64; expected a floating-point dtype"),
        ((rows, cols, 1.0), r"carry is 1\.0; expected a tensor"),
        ((rows, None), "cols is None; expected a tensor"),
    ):
        with pytest.raises(memcore.MemcoreError, match=words):
            ops.counted_products(*given)
