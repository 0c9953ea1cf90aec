"""What two processes find out about training together; `tests/test_distributed.py` starts them."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize

import memcore

QUIET = {"nonidealities": [{"name": "d2d", "std": 0.3}]}
NOISY = {"nonidealities": [{"name": "d2d", "std": 0.3}, {"name": "read_noise", "relative": 0.2}]}


KEPT = {"float16": {"cells": "float16"}, "codes": {"cells": "codes", "mapper": "bit_slice"}}
RANGED = {
    "dac": {"name": "uniform", "bits": 6},
    "adc": {"name": "uniform", "bits": 6},
    "training": {
        "effects": [],
        "input_range": {"start": 2.5, "batches": 0},
        "output_range": {"start": 0.8},
    },
}
FOUND = {
    "dac": {"name": "uniform", "bits": 12},
    "training": {"effects": [], "input_range": {"batches": 2}},
}
#: Converters whose ranges nobody has calibrated, by the largest values and by all of them.
FRESH = {
    ends: {
        "dac": {"name": "uniform", "bits": 6, "calibration": ends},
        "adc": {"name": "uniform", "bits": 6, "calibration": ends},
        "training": {"effects": []},
    }
    for ends in ("max", "least_error")
}


def draws(*shape: int, name: str) -> Tensor:
    """Inputs or targets, the same in every process."""
    return memcore.Stream(3).child(name).normal(shape)


def network(way: dict[str, object]) -> nn.Module:
    """A converted network in training mode, the same in every process."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(9, 12), nn.ReLU(), nn.Linear(12, 4))
    if way is RANGED:
        step = memcore.LearnedStep(plain[0].weight, levels=7)
        parametrize.register_parametrization(plain[0], "weight", step)
    config = memcore.CrossbarConfig(**{"device": "ideal", **way})
    ranged = draws(16, 9, name="x") if "adc" in way and way not in FRESH.values() else None
    return memcore.convert(plain, config, calibration=ranged).train()


def trained(model: nn.Module, part: slice) -> nn.Module:
    """After three steps on a part of the batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
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
    return spread(network(way))


def spread(model: nn.Module) -> nn.Module:
    """The network itself, its parameters spread over the processes."""
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
    ranged = trained(sharded(RANGED), half)
    with torch.no_grad():
        ranged.eval()
        result["ranged reads"] = ranged(x).tolist()
    for module in ranged.modules():
        if isinstance(module, FSDPModule):
            module.unshard()
    result["ranged sharded"] = flat(ranged).tolist()
    result["lost"], result["in place"] = lost(half), in_place()
    ranged = trained(DistributedDataParallel(network(FOUND)), half).module
    result["found"], result["found ranges differ"] = flat(ranged).tolist(), differs(flat(ranged))
    for kept, way in KEPT.items():
        packed = trained(DistributedDataParallel(network(way)), half).module
        result[f"kept as {kept}"] = flat(packed).tolist()
        result[f"cells differ, {kept}"] = differs(packed.eval()(x))
    for ends in FRESH:
        result[f"fresh parallel, {ends}"] = fresh(DistributedDataParallel, ends, half)
        result[f"fresh sharded, {ends}"] = fresh(spread, ends, half)
    steps = recurrent(DistributedDataParallel, half)
    result["recurrent"], result["recurrent differs"] = steps.tolist(), differs(steps)
    memcore.program(shards)
    result["programmed cells differ"] = differs(shards[0].crossbar.programmed)
    return result


def ranges(model: nn.Module) -> Tensor:
    """Of all converters that are in use, not those that a buffer says."""
    crossbars = [each for each in model.modules() if isinstance(each, memcore.Crossbar)]
    ports = [port for each in crossbars for port in (each.input, each.output)]
    return torch.cat([port.form.step * port.form.hi for port in ports]).detach()


def recurrent(wrap: Callable[[nn.Module], nn.Module], part: slice) -> Tensor:
    """The ranges that one pass of a recurrent layer finds for a part of a batch of sequences."""
    torch.manual_seed(0)
    config = memcore.CrossbarConfig(device="ideal", **FRESH["max"])
    model = memcore.convert(nn.RNN(3, 5, batch_first=True), config).train()
    wrap(model)(draws(16, 9, name="x").view(16, 3, 3)[part])
    return ranges(model)


def fresh(wrap: Callable[[nn.Module], nn.Module], ends: str, half: slice) -> dict[str, object]:
    """What a training without calibration finds, and what two parts that evaluate do."""
    model, x = network(FRESH[ends]), draws(16, 9, name="x")
    result: dict[str, object] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", memcore.CalibrationWarning)
        trained(wrap(model), half)
        result["said"] = said(caught)
    result["ranges"], result["differ"] = ranges(model).tolist(), differs(ranges(model))
    alone = network(FRESH[ends]).eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", memcore.CalibrationWarning)
        if dist.get_rank() == 0:  # nobody waits for the others
            alone(x)
        result["said in evaluation"] = said(caught)
    return result


def said(caught: list[warnings.WarningMessage]) -> list[str]:
    """What was said of ranges that nobody chose."""
    mine = [each for each in caught if each.category is memcore.CalibrationWarning]
    return sorted({str(each.message) for each in mine})


def in_place() -> str:
    """What is said of a training in place by several processes."""
    device = {"name": "constant_step", "dw_min": 0.01}
    try:
        memcore.optim.InSitu(network({"device": device, "mapper": "offset"}), lr=0.1)
    except memcore.ConfigError as error:
        return str(error)
    return ""


def lost(half: slice) -> str:
    """What is said where a range is to be found from the first batches of spread parameters."""
    way = {**RANGED, "training": {"input_range": {"batches": 10}}}
    try:
        trained(sharded(way), half)
    except memcore.ConversionError as error:
        return str(error)
    return ""


def main() -> None:
    """Run in one of the processes; the first one writes down what they found."""
    dist.init_process_group("gloo")
    size = 16 // dist.get_world_size()
    result = found(slice(dist.get_rank() * size, (dist.get_rank() + 1) * size))
    result["one process"] = flat(trained(network(QUIET), slice(None))).tolist()
    alone = trained(network(RANGED), slice(None))
    result["ranged alone"] = flat(alone).tolist()
    with torch.no_grad():
        result["ranged reads alone"] = alone.eval()(draws(16, 9, name="x")).tolist()
    result["found alone"] = flat(trained(network(FOUND), slice(None))).tolist()
    result["recurrent alone"] = recurrent(lambda model: model, slice(None)).tolist()
    for ends, way in FRESH.items():
        result[f"fresh alone, {ends}"] = ranges(trained(network(way), slice(None))).tolist()
    for kept, way in KEPT.items():
        result[f"alone as {kept}"] = flat(trained(network(way), slice(None))).tolist()
    if dist.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(result))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
