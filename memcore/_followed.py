"""Whether somebody follows what becomes of tensors: a mode, a transform, a tracer, a compiler."""

import torch
from torch import Tensor
from torch.utils._device import DeviceContext


def is_followed() -> bool:
    """Whether a mode, a transform or a tracer sees what is computed.

    A default device is a mode too, which says only where new tensors are.
    """
    depth = torch._C._len_torch_function_stack()
    return bool(
        torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or torch._C._get_tracing_state() is not None
        or any(type(torch._C._get_function_stack_at(k)) is not DeviceContext for k in range(depth))
    )


def may_decide(*tensors: Tensor) -> bool:
    """Whether what is computed may depend on numbers of tensors: nobody follows or waits for them.

    That is so on the processor, where no compiler, tracer, transform or mode is at work.
    """
    if torch.compiler.is_compiling() or is_followed():
        return False
    return all(type(each) is Tensor and each.is_cpu for each in tensors)
