"""The product of inputs with weights that are codes of a codebook."""

import torch
from torch import Tensor

from memcore import native
from memcore.errors import ArgumentTypeError, ConfigError, ShapeError
from memcore.ops import _library
from memcore.ops._library import address
from memcore.ops.checks import require_same_device, require_same_dtype, require_shape
from memcore.ops.mapped import rows

#: Columns of one panel, the unit in which the kernel reads codes (kPanel in kernels.h).
PANEL = 32


def pack_codes(codes: Tensor, bits: int) -> Tensor:
    """Lay codes out for `codebook_product`.

    Args:
        codes: uint8 [rows, cols], below 2^bits.
        bits: 4 or 8, of one code.

    Returns:
        uint8 [P, rows, 4 bits] with P = ceil(cols / 32). Byte b of a row of a panel is column b if
        codes have 8 bits; of 4 bits, its low half is column b and its high half column b + 16.
    """
    _require_bits(bits)
    if codes.dim() != 2 or codes.dtype != torch.uint8:
        raise ShapeError(
            f"codes is {codes.dtype} of shape {list(codes.shape)}; expected torch.uint8 [rows, "
            "cols]"
        )
    rows, cols = codes.shape
    count = -(-cols // PANEL)
    padded = torch.nn.functional.pad(codes, (0, count * PANEL - cols))
    panels = padded.view(rows, count, PANEL).transpose(0, 1)
    if bits == 8:
        return panels.contiguous()
    return (panels[..., : PANEL // 2] | panels[..., PANEL // 2 :] << 4).contiguous()


def unpack_codes(packed: Tensor, cols: int, bits: int) -> Tensor:
    """Undo `pack_codes`: uint8 [rows, cols]."""
    panels = packed if bits == 8 else torch.cat([packed & 15, packed >> 4], dim=-1)
    return panels.transpose(0, 1).flatten(1)[:, :cols].contiguous()


def codebook_product(
    x: Tensor, packed: Tensor, book: Tensor, bias: Tensor | None, cols: int, bits: int
) -> Tensor:
    """Multiply inputs with weights `book[codes]`, which are decoded as they are needed.

    Args:
        x: inputs, float32 [n, rows].
        packed: codes [rows, cols] as `pack_codes` lays them out.
        book: what each code stands for, float32 [2^bits].
        bias: float32 [cols], or None.
        cols: number of columns of the weights.
        bits: 4 or 8, of one code.

    Returns:
        float32 [n, cols]. There is no gradient.

    Raises:
        ArgumentTypeError: if a dtype is another one.
        ConfigError: if a shape, a device or the number of bits does not fit.
    """
    return _PRODUCT(x, packed, book, bias, cols, bits)


def _require_bits(bits: int) -> None:
    if bits not in (4, 8):
        raise ConfigError(f"bits is {bits}; expected 4 or 8")


def _empty(
    x: Tensor, packed: Tensor, book: Tensor, bias: Tensor | None, cols: int, bits: int
) -> Tensor:
    _require_bits(bits)
    if x.dtype != torch.float32 or packed.dtype != torch.uint8:
        raise ArgumentTypeError(
            f"x is {x.dtype} and packed is {packed.dtype}; expected torch.float32 and torch.uint8"
        )
    if x.dim() != 2:
        raise ShapeError(f"x has shape {list(x.shape)}; expected [n, rows]")
    require_shape("packed", packed, (-(-cols // PANEL), x.shape[1], PANEL * bits // 8))
    require_same_device("packed", packed, "x", x)
    for name, tensor, size in (("book", book, 1 << bits), ("bias", bias, cols)):
        if tensor is not None:
            require_shape(name, tensor, (size,))
            require_same_dtype(name, tensor, "x", x)
            require_same_device(name, tensor, "x", x)
    return x.new_empty((x.shape[0], cols))


def _reference(
    x: Tensor, packed: Tensor, book: Tensor, bias: Tensor | None, cols: int, bits: int
) -> Tensor:
    y = x @ book[unpack_codes(packed, cols, bits).long()]
    return y if bias is None else y + bias


def _native(
    x: Tensor, packed: Tensor, book: Tensor, bias: Tensor | None, cols: int, bits: int
) -> Tensor:
    out = _empty(x, packed, book, bias, cols, bits)
    if not (x.numel() and cols):
        return _reference(x, packed, book, bias, cols, bits)
    x, packed, book = x.contiguous(), packed.contiguous(), book.contiguous()
    bias = None if bias is None else bias.contiguous()
    addresses = (x.data_ptr(), packed.data_ptr(), book.data_ptr(), address(bias))
    arguments = (*addresses, *x.shape, cols, bits, out.data_ptr())
    if x.is_cuda:
        native.cuda().codebook_product(*arguments, *_library.where(x))  # type: ignore[union-attr]
    else:
        native.cpu().codebook_product(*arguments)  # type: ignore[union-attr]
    return out


_PRODUCT = _library.register(
    "codebook_product(Tensor x, Tensor packed, Tensor book, Tensor? bias, int cols, int bits) "
    "-> Tensor",
    fake=_empty,
    reference=_reference,
    kernel=_native,
    mapped=rows(0),
)
