"""What two processes find out about training together; `tests/test_distributed.py` starts them."""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

import memcore

QUIET = {"nonidealities": [{"name": "d2d", "std": 0.3}]}
NOISY = {"nonidealities": [{"name": "d2d", "std": 0.3}, {"name": "read_noise", "relative": 0.2}]}


def draws(*shape: int, name: str) -> Tensor:
    """Inputs or targets, the same in every process."""
    return memcore.Stream(3).child(name).normal(shape)


def network(way: dict[str, object]) -> nn.Module:
    """A converted network in training mode, the same in every process."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 4))
    config = memcore.CrossbarConfig(device="ideal", **way)
    return memcore.convert(plain, config).train()


def trained(model: nn.Module, part: slice) -> nn.Module:
    """After three steps on a part of the batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = draws(16, 9, name="x"), draws(16, 4, name="y")
    for _ in range(3):
        optimizer.zero_grad()
        (model(x[part]) - y[part]).square().mean().backward()
        optimizer.step()
    return model


def flat(model: nn.Module) -> Tensor:
    """All parameters."""
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def of_all(value: Tensor) -> list[Tensor]:
    """The values of all processes."""
    values = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(values, value.contiguous())
    return values


def differs(value: Tensor) -> bool:
    """Whether the processes have different values."""
    first, *others = of_all(value)
    return any(not torch.equal(first, other) for other in others)


def sharded(way: dict[str, object]) -> nn.Module:
    """A network whose parameters are spread over the processes."""
    model = network(way)
    for layer in (model[0], model[2]):
        fully_shard(layer)
    return fully_shard(model)


def found(half: slice) -> dict[str, object]:
    """What the processes find out together."""
    x = draws(16, 9, name="x")
    quiet = trained(DistributedDataParallel(network(QUIET)), half).module
    noisy = trained(DistributedDataParallel(network(NOISY)), half).module
    result = {
        "data parallel": flat(quiet).tolist(),
        "cells differ": differs(quiet(x)),
        "parameters differ": differs(flat(noisy)),
        "reads differ": differs(noisy(x)),
    }
    shards = trained(sharded(QUIET), half)
    for module in shards.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
    result["sharded"] = flat(shards).tolist()
    memcore.program(shards)
    result["programmed cells differ"] = differs(shards[0].crossbar.programmed)
    return result


def main() -> None:
    """Run in one of the processes; the first one writes down what they found."""
    dist.init_process_group("gloo")
    size = 16 // dist.get_world_size()
    result = found(slice(dist.get_rank() * size, (dist.get_rank() + 1) * size))
    result["one process"] = flat(trained(network(QUIET), slice(None))).tolist()
    if dist.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
