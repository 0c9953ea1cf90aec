"""Ladders: the kernel against the reference, and both against Kirchhoff."""

import pytest
import torch
from torch import Tensor

from memcore import native
from memcore.ops import ladder
from memcore.ops._ladder_reference import running
from memcore.ops.ladder import Ladders

DIMS = pytest.mark.parametrize("dim", [-1, -2], ids=("word", "bit"))
ENDS = pytest.mark.parametrize("near_last", [False, True], ids=("first", "last"))


def uniform(*shape: int, scale: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.rand(shape, dtype=torch.float64, generator=generator)


def lines(*shape: int, dim: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Shunts, segments, far ends and inputs; zeros and open ends among them."""
    g, r = uniform(*shape, scale=1e-2, seed=0), uniform(*shape, scale=20, seed=1)
    far = uniform(*shape[:-2], shape[-3 - dim], scale=30, seed=2)
    g[..., 0, 0], r[..., 1:, 0], r[..., 0, -1] = 0, 0, 0
    far[..., 0], far[..., -1] = 0, torch.inf
    return g, r, far, uniform(*shape, scale=1.0, seed=3) - 0.3


@DIMS
@ENDS
@pytest.mark.parametrize("by_kernel", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (7, 11), (20, 37)], ids=str)
def test_an_open_line_obeys_kirchhoff(
    shape: tuple[int, int],
    by_kernel: bool,
    near_last: bool,
    dim: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ladder, "_HAS_KERNEL", by_kernel and native.cpu() is not None)
    g, r, _, x = lines(*shape, dim=dim)
    v, energy = Ladders.of(g, r, dim=dim, near_last=near_last).solve(x)
    near_first = [each.flip(dim) if near_last else each for each in (g, r, x, v)]
    g, r, x, v = (each.movedim(dim, -1) for each in near_first)
    flow = (g * (x - v)).flip(-1).cumsum(-1).flip(-1)  # towards the near end
    before = torch.nn.functional.pad(v, (1, 0))[..., :-1]
    torch.testing.assert_close(v, before + r * flow, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(energy[0, 0], (g * x * v).sum(), rtol=1e-12, atol=0)


@DIMS
def test_second_ends_take_their_share(dim: int) -> None:
    """A current in the middle of a line without shunts divides like the resistances."""
    r = torch.tensor([[1.0, 2.0, 3.0]]).double()
    current = torch.tensor([[0.0, 1.0, 0.0]]).double()
    r, current = (r, current) if dim == -1 else (r.T, current.T)
    for far, middle in ((4.0, 2.1), (0.0, 1.5), (torch.inf, 3.0)):
        end = torch.tensor([far]).double()
        v, _ = Ladders.of(None, r, end, dim=dim).solve(current)
        assert float(v.flatten()[1]) == pytest.approx(middle, rel=1e-14)
        assert float(v.flatten()[2]) == pytest.approx(
            middle * (0 if far == 0 else far / (far + 3) if far < torch.inf else 1), rel=1e-14
        )


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
@DIMS
@ENDS
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=("double", "single"))
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 3, 19, 33), (16, 16)], ids=str)
def test_kernel_equals_reference(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    near_last: bool,
    dim: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for shunts in (True, False):
        g, r, far, x = (each.to(dtype) for each in lines(*shape, dim=dim))
        inputs = (g if shunts else None, r, far)
        monkeypatch.setattr(ladder, "_HAS_KERNEL", True)
        got, energy = Ladders.of(*inputs, dim=dim, near_last=near_last).solve(x)
        monkeypatch.setattr(ladder, "_HAS_KERNEL", False)
        expected, work = Ladders.of(*inputs, dim=dim, near_last=near_last).solve(x)
        bound = 100 * torch.finfo(dtype).eps
        torch.testing.assert_close(got, expected, rtol=bound, atol=bound * float(got.abs().max()))
        torch.testing.assert_close(energy, work, rtol=bound, atol=0)


@pytest.mark.parametrize("by_kernel", [True, False])
def test_inputs_and_arrays_broadcast(by_kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "_HAS_KERNEL", by_kernel and native.cpu() is not None)
    g, r, far, x = lines(5, 4, 3, 6, 7, dim=-1)
    whole = Ladders.of(g[0, :, :1], r[0, :, :1], far[0, :, :1], dim=-1)
    got, energy = whole.solve(x)
    assert energy.shape == (5, 4, 3, 1, 1)
    for i in range(4):
        one, its = Ladders.of(g[0, i, 0], r[0, i, 0], far[0, i, 0], dim=-1).solve(x[:, i])
        torch.testing.assert_close(got[:, i], one, rtol=1e-13, atol=0)
        torch.testing.assert_close(energy[:, i], its, rtol=1e-13, atol=0)
    shared, _ = Ladders.of(g[0, 0, 0], r[0, 0, 0], far[0, 0, 0], dim=-1).solve(x)
    torch.testing.assert_close(shared[:, 0], got[:, 0], rtol=1e-13, atol=0)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10, 50])
def test_running_sums_in_pieces_are_those_one_by_one(count: int) -> None:
    term, factor = uniform(2, count, 3, scale=1.0, seed=0), uniform(count, 3, scale=1.0, seed=1)
    expected, x = [], torch.zeros(2, 3, dtype=torch.float64)
    for k in range(count):
        x = term[:, k] + factor[k] * x
        expected.append(x)
    torch.testing.assert_close(running(term, factor), torch.stack(expected, 1), rtol=1e-14, atol=0)


@pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")
def test_threads_do_not_change_a_bit() -> None:
    g, r, far, x = lines(3, 150, 170, dim=-2)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(Ladders.of(g, r, far, dim=-2).solve(x))
    finally:
        torch.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
