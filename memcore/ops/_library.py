"""The operator namespace `memcore` and how an operator gets into it."""

import functools
from array import array
from collections.abc import Callable, Iterable
from typing import Any

import torch

from memcore import native
from memcore._followed import is_followed
from memcore.ops.checks import require_dense
from memcore.ops.mapped import Rule

#: One of these can exist in a process: importing this module under a second name fails.
LIBRARY: Any = torch.library.Library("memcore", "DEF")  # type: ignore[no-untyped-call]

#: In bytes; for larger tensors large pages took longer on a virtual machine that gives free memory
#: back to its host.
_LARGE_PAGES = 2**28


def register(
    schema: str,
    *,
    fake: Callable[..., torch.Tensor],
    reference: Callable[..., torch.Tensor],
    kernel: Callable[..., torch.Tensor],
    mapped: Rule | None = None,
) -> Callable[..., torch.Tensor]:
    """Define an operator and return it (`torch.ops.memcore.<name>.default`).

    All callables but `mapped` take the operator's arguments. `fake` checks them and returns an
    empty result; `reference` computes it with PyTorch on any device; `kernel` does so on CPU and
    CUDA with the native modules, where there are any; `mapped` applies it to all samples
    of `torch.func.vmap`, by default one after the other.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    torch.library.register_fake(f"memcore::{name}", fake, lib=LIBRARY)

    def checked_reference(*args: Any) -> torch.Tensor:
        require_dense(*args)  # others never reach a kernel
        fake(*args)
        return reference(*args)

    def native_cuda(*args: Any) -> torch.Tensor:
        return (checked_reference if native.cuda() is None else kernel)(*args)

    LIBRARY.impl(name, checked_reference, "CompositeExplicitAutograd")
    if native.cpu() is not None:
        LIBRARY.impl(name, kernel, "CPU")
    LIBRARY.impl(name, native_cuda, "CUDA")
    operator: Callable[..., torch.Tensor] = getattr(torch.ops.memcore, name).default
    if mapped is not None:
        over_samples = functools.partial(_over_samples, operator, mapped)
        torch.library.register_vmap(f"memcore::{name}", over_samples, lib=LIBRARY)
    return operator


def _over_samples(
    operator: Callable[..., torch.Tensor], mapped: Rule, info: Any, dims: Any, *given: Any
) -> tuple[torch.Tensor, int]:
    """As `torch.library.register_vmap` calls it."""
    return mapped(operator, info.batch_size, dims, given), 0


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether numbers of a tensor may be read at its address, past the dispatcher.

    Nobody follows what is computed: no compiler, tracer, transform or mode, and the tensor is dense
    float32 in the memory of the processor.
    """
    if torch.compiler.is_compiling() or type(tensor) is not torch.Tensor:
        return False
    return lies_plain(tensor) and not is_followed()


def lies_plain(tensor: torch.Tensor) -> bool:
    """As `is_plain`, of a tensor or a parameter, where somebody may follow what is computed."""
    return tensor.is_cpu and _is_dense(tensor)


def fits_cuda(*tensors: torch.Tensor) -> bool:
    """Whether the kernels of a GPU read these tensors.

    Nobody follows what is computed, as `is_plain` says it, and all are dense float32 with numbers
    in the memory of one GPU.
    """
    if torch.compiler.is_compiling() or is_followed() or native.cuda() is None:
        return False
    device = tensors[0].device
    return device.type == "cuda" and all(
        each.device == device and _is_dense(each) and each.numel() > 0 for each in tensors
    )


def _is_dense(tensor: torch.Tensor) -> bool:
    """Whether numbers of float32 lie one after the other at the address of a tensor."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and not tensor.is_nested
        and not tensor.is_neg()
        and not tensor._is_zerotensor()  # which has no memory
        and tensor.is_contiguous()
    )


def integers(values: Iterable[int]) -> "array[int]":
    """Numbers as a kernel reads them at an address, int64; a tensor takes longer to be made."""
    return array("q", [*values, 0])  # empty ones have an address too


def address_of(values: "array[int]") -> int:
    """Where the numbers are, for as long as `values` lives."""
    return values.buffer_info()[0]


def where(tensor: torch.Tensor) -> tuple[int, int]:
    """Return the device index of a CUDA tensor and the current stream there as an address."""
    index = tensor.get_device()
    raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)
    return index, raw(index) if raw else torch.cuda.current_stream(index).cuda_stream


def large_pages(tensor: torch.Tensor) -> torch.Tensor:
    """Return a new tensor, whose memory the system is asked to hand out in large pages.

    Where it does, that takes a tenth of the time; most tensors beyond 32 MB get new memory each.
    """
    cpu = native.cpu()
    if cpu is not None and tensor.device.type == "cpu" and tensor.nbytes <= _LARGE_PAGES:
        cpu.use_large_pages(tensor.data_ptr(), tensor.nbytes)
    return tensor


def address(tensor: torch.Tensor | None) -> int:
    """Return where a tensor's data starts, 0 for none."""
    return 0 if tensor is None else tensor.data_ptr()
