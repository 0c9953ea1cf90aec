"""What the processes that train one chip together have seen, each of its part of a batch."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


def process() -> tuple[int, int]:
    """The rank of this process among those that train together, and how many they are."""
    if not dist.is_available() or not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def trains(module: nn.Module) -> bool:
    """Whether several processes train a module, so that all of them read it now.

    In evaluation some of them may do something else, and wait for nobody.
    """
    return module.training and process()[1] > 1


def widen(low_high: Tensor) -> None:
    """Widen a range to those of all processes, in place.

    Args:
        low_high: lowest and highest value [2]; NaN where this process has seen none.
    """
    ends = torch.stack([-low_high[0], low_high[1]]).double().nan_to_num(-torch.inf)
    dist.all_reduce(ends, dist.ReduceOp.MAX)
    known = torch.stack([-ends[0], ends[1]])
    low_high.copy_(torch.where(ends.isinf(), torch.nan, known))


def of_all(values: Tensor) -> Tensor:
    """The values [n] of all processes, which may have different numbers of them."""
    count = values.new_tensor([values.numel()], dtype=torch.int64)
    counts = [torch.empty_like(count) for _ in range(process()[1])]
    dist.all_gather(counts, count)
    sizes = [int(each) for each in counts]
    padded = values.new_zeros(max(sizes), dtype=torch.float64)
    padded[: values.numel()] = values
    every = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(every, padded)
    parts = [each[:size] for each, size in zip(every, sizes, strict=True)]
    return torch.cat(parts).to(values.dtype)
