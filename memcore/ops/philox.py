"""Keyed random numbers: Philox4x32-10.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A draw is a pure function of
(key, read, element). Counter words 0 and 1 are the low and high half of element // 4, words 2 and 3
those of the read index, and element % 4 says which of the four output words x belongs to it:

- uniform: (x >> 8) * 2^-24, in [0, 1);
- bernoulli: uniform < p;
- normal: Box-Muller on the words (x0, x1) and (x2, x3): with u = x0 * 2^-32 + 2^-33 in float32,
  sqrt(-2 ln u) times the cosine and the sine of 2 pi x1 * 2^-32.
"""

import math

import numpy as np
import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import _library
from memcore.ops._library import address
from memcore.ops.checks import require_same_device
from memcore.ops.mapped import rows

_MASK = 0xFFFFFFFF
_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def uniform(
    reads: Tensor, size: int, key: int, elements: Tensor | None = None, first: int = 0
) -> Tensor:
    """Draw uniform numbers in [0, 1).

    Args:
        reads: indices of the reads, int64 [n]; each has its own independent set of draws.
        size: number of elements of each read.
        key: signed 64-bit integer.
        elements: elements to draw instead of 0 .. size-1, int64 [size], not negative.
        first: draw the elements first .. first+size-1, a multiple of 4; not with `elements`.

    Returns:
        float32 [n, size] on the device of `reads`.

    Raises:
        ArgumentTypeError: if `reads` or `elements` is not int64.
        ConfigError: if a shape, a device or the key does not fit.
    """
    return _UNIFORM(reads, elements, size, key, first)


def normal(
    reads: Tensor, size: int, key: int, elements: Tensor | None = None, first: int = 0
) -> Tensor:
    """Draw standard normal numbers; arguments, result and errors as for `uniform`."""
    return _NORMAL(reads, elements, size, key, first)


def bernoulli(
    reads: Tensor, size: int, key: int, p: float, elements: Tensor | None = None
) -> Tensor:
    """Draw booleans that are true with probability `p`; otherwise as `uniform`."""
    if not 0 <= p <= 1:
        raise ConfigError(f"p is {p!r}; expected a probability in [0, 1]")
    return _BERNOULLI(reads, elements, size, key, p)


def _empty(reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0) -> Tensor:
    if reads.dtype != torch.int64:
        raise ArgumentTypeError(f"reads is {reads.dtype}; expected torch.int64: use reads.long()")
    if reads.dim() != 1:
        raise ShapeError(f"reads has shape {tuple(reads.shape)}; expected one dimension [n]")
    if size < 0:
        raise ConfigError(f"size is {size}; expected at least 0")
    if not -(2**63) <= key < 2**63:
        raise ConfigError(f"key is {key}; expected a signed 64-bit integer")
    if first < 0 or first % 4 or (first and elements is not None):
        raise ConfigError(f"first is {first}; expected a multiple of 4, and 0 with elements")
    if elements is not None:
        _check_elements(reads, elements, size)
    return reads.new_empty((reads.shape[0], size), dtype=torch.float32)


def _check_elements(reads: Tensor, elements: Tensor, size: int) -> None:
    if elements.dtype != torch.int64:
        raise ArgumentTypeError(
            f"elements is {elements.dtype}; expected torch.int64: use elements.long()"
        )
    if elements.dim() != 1 or elements.shape[0] != size:
        raise ShapeError(
            f"elements has shape {tuple(elements.shape)}; expected [{size}], one for each of size"
        )
    require_same_device("elements", elements, "reads", reads)


def _empty_bool(
    reads: Tensor, elements: Tensor | None, size: int, key: int, p: float = 0.0
) -> Tensor:
    del p
    return _empty(reads, elements, size, key).new_empty((reads.shape[0], size), dtype=torch.bool)


# -- reference --------------------------------------------------------------------------------


def _multiply(a: Tensor, m: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits of a * m, whose 64 bits int64 holds, with whatever sign."""
    product = a * m
    return (product >> 32) & _MASK, product & _MASK


def philox4x32(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: int) -> Tensor:
    """Return the four output words of 32-bit counter words, all int64: the definition, in PyTorch.

    Args:
        counter: words of the counter, four int64 tensors with values in [0, 2^32), of one shape or
            broadcastable.
        key: signed 64-bit integer.

    Returns:
        int64 [..., 4] with values in [0, 2^32).
    """
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)  # type: ignore[no-untyped-call]
    if c0.device.type == "cpu":
        return _by_numpy(torch.stack((c0, c1, c2, c3)), key)
    k0, k1 = key & _MASK, (key >> 32) & _MASK
    for _ in range(_ROUNDS):
        high0, low0 = _multiply(c0, _MULTIPLIERS[0])
        high1, low1 = _multiply(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return torch.stack((c0, c1, c2, c3), -1)


def _by_numpy(counter: Tensor, key: int) -> Tensor:
    """The same words of a counter int64 [4, ...] with a third of the calls."""
    words = counter.numpy().view(np.uint64)
    even, odd = words[0::2], words[1::2]
    each = (2, *[1] * (words.ndim - 1))
    multipliers = np.array(_MULTIPLIERS, np.uint64).reshape(each)
    keys = np.array([key & _MASK, (key >> 32) & _MASK], np.uint64).reshape(each)
    weyl, mask, half = np.array(_WEYL, np.uint64).reshape(each), np.uint64(_MASK), np.uint64(32)
    for _ in range(_ROUNDS):
        product = even * multipliers
        even = (product >> half)[::-1] ^ odd ^ keys
        odd = (product & mask)[::-1]
        keys = (keys + weyl) & mask
    found = np.stack((even[0], odd[0], even[1], odd[1]), axis=-1)
    return torch.from_numpy(found.view(np.int64))


def _words(reads: Tensor, quarters: Tensor, key: int) -> Tensor:
    """Output words of every read and block of four elements, int64 [n, blocks, 4]."""
    quarters = quarters & ((1 << 62) - 1)
    element = (quarters & _MASK, quarters >> 32)
    read = (reads[:, None] & _MASK, (reads[:, None] >> 32) & _MASK)
    return philox4x32((*element, *read), key)


def words(reads: Tensor, elements: Tensor, key: int) -> Tensor:
    """The output words themselves, in PyTorch, of elements named one by one, int64 [n, size]."""
    return _pick(_words(reads, elements >> 2, key), elements, len(elements))


def _pick(numbers: Tensor, elements: Tensor | None, size: int) -> Tensor:
    """The numbers of the elements [n, size] among those of all blocks [n, blocks, 4]."""
    if elements is None:
        return numbers.flatten(1)[:, :size].contiguous()
    lane = (elements & 3)[None, :, None].expand(numbers.shape[0], -1, 1)
    return numbers.gather(2, lane).squeeze(2)


def _blocks(reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0) -> Tensor:
    if elements is None:
        quarters = first // 4 + torch.arange((size + 3) // 4, device=reads.device)
    else:
        quarters = elements >> 2
    return _words(reads, quarters, key)


def _uniform_reference(
    reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0
) -> Tensor:
    words = _blocks(reads, elements, size, key, first)
    return _pick((words >> 8).to(torch.float32) * 2.0**-24, elements, size)


def _normal_reference(
    reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0
) -> Tensor:
    words = _blocks(reads, elements, size, key, first)
    u = (words[..., 0::2].to(torch.float32) * 2.0**-32 + 2.0**-33).double()
    radius = (-2.0 * u.log()).sqrt()
    angle = words[..., 1::2].double() * (2.0 * math.pi * 2.0**-32)
    pairs = torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(-2)
    return _pick(pairs.to(torch.float32), elements, size)


def _bernoulli_reference(
    reads: Tensor, elements: Tensor | None, size: int, key: int, p: float
) -> Tensor:
    limit = torch.tensor(p, dtype=torch.float32, device=reads.device)
    return _uniform_reference(reads, elements, size, key) < limit


# -- native -----------------------------------------------------------------------------------


def _run(name: str, out: Tensor, reads: Tensor, elements: Tensor | None, *rest: float) -> Tensor:
    reads = reads.contiguous()
    elements = None if elements is None else elements.contiguous()
    which = (reads.data_ptr(), reads.shape[0], address(elements), out.shape[1])
    place = (*which, *rest, out.data_ptr())
    if out.is_cuda:
        getattr(native.cuda(), name)(*place, *_library.where(out))
    else:
        getattr(native.cpu(), name)(*place)
    return out


def _run_from(
    name: str, out: Tensor, reads: Tensor, elements: Tensor | None, key: int, first: int
) -> Tensor:
    """As `_run`, from an element on."""
    reads = reads.contiguous()
    elements = None if elements is None else elements.contiguous()
    if out.is_cuda:
        if first:  # whose kernels begin with element 0
            elements = torch.arange(first, first + out.shape[1], device=out.device)
        return _run(name, out, reads, elements, key)
    which = (reads.data_ptr(), reads.shape[0], address(elements), out.shape[1])
    getattr(native.cpu(), name)(*which, key, out.data_ptr(), first)
    return out


def _uniform_native(
    reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0
) -> Tensor:
    out = _empty(reads, elements, size, key, first)
    return _run_from("philox_uniform", out, reads, elements, key, first)


def _normal_native(
    reads: Tensor, elements: Tensor | None, size: int, key: int, first: int = 0
) -> Tensor:
    out = _empty(reads, elements, size, key, first)
    return _run_from("philox_normal", out, reads, elements, key, first)


def _bernoulli_native(
    reads: Tensor, elements: Tensor | None, size: int, key: int, p: float
) -> Tensor:
    out = _empty_bool(reads, elements, size, key)
    return _run("philox_bernoulli", out, reads, elements, key, p)


_ARGUMENTS = "Tensor reads, Tensor? elements, SymInt size, int key"

_UNIFORM = _library.register(
    f"philox_uniform({_ARGUMENTS}, SymInt first=0) -> Tensor",
    fake=_empty,
    reference=_uniform_reference,
    kernel=_uniform_native,
    mapped=rows(0),
)
_NORMAL = _library.register(
    f"philox_normal({_ARGUMENTS}, SymInt first=0) -> Tensor",
    fake=_empty,
    reference=_normal_reference,
    kernel=_normal_native,
    mapped=rows(0),
)
_BERNOULLI = _library.register(
    f"philox_bernoulli({_ARGUMENTS}, float p) -> Tensor",
    fake=_empty_bool,
    reference=_bernoulli_reference,
    kernel=_bernoulli_native,
    mapped=rows(0),
)
