"""Cycles and spikes of PipeLayer."""

import random

import pytest
import torch
from memcore_plugins.costs.pipelayer import PipeLayer
from memcore_plugins.networks import vgg_a
from torch import nn

import memcore
from memcore import LayerWork

RNG = random.Random(5)
SHAPES = [(RNG.randint(1, 6), RNG.randint(1, 8), RNG.randint(1, 5)) for _ in range(100)]


def cycles(model: PipeLayer, layers: int, images: int) -> float:
    tasks = model.tasks([str(n) for n in range(layers)], images)
    return memcore.list_schedule(tasks, {task.resource: 1 for task in tasks if task.resource}).end


def test_ac_pi_1_cycles_follow_from_the_schedule():
    for layers, batch, batches in SHAPES:
        images = batch * batches
        trained = PipeLayer(batch=batch, training=True)
        assert cycles(trained, layers, images) == batches * (2 * layers + batch + 1)
        alone = PipeLayer(batch=batch, training=True, pipelined=False)
        assert cycles(alone, layers, images) == images * (2 * layers + 1) + batches
        assert cycles(PipeLayer(batch=batch), layers, images) == images + layers - 1


def test_ac_pi_1_published_sizes():
    assert cycles(PipeLayer(training=True), 5, 640) == 750
    assert cycles(PipeLayer(training=True, pipelined=False), 5, 640) == 7050
    assert cycles(PipeLayer(training=True), 8, 640) == 810


@pytest.mark.parametrize("copies", [1, 3, 16, 12544, 20000])
def test_ac_pi_2_copies(copies):
    layer = LayerWork(name="conv", rows=1152, cols=256, positions=112 * 112)
    one, many = PipeLayer(), PipeLayer(replication=copies)
    events = many.events(layer)
    assert one.events(layer)["arrays"] == 18 * 4 * 2
    assert events["arrays"] == 18 * 4 * 2 * copies
    assert events["cycles"] == -(-12544 // copies)
    assert many.table(layer)["reads"].energy == one.table(layer)["reads"].energy
    assert many.table(layer)["cells"].area == pytest.approx(copies * one.table(layer)["cells"].area)


def test_ac_pi_4_training_writes_each_cell_once_a_batch():
    network, x = (
        nn.Sequential(nn.Linear(200, 30), nn.ReLU(), nn.Linear(30, 10)),
        torch.zeros(96, 200),
    )
    found = memcore.cost(network, x, model="pipelayer", training=True, batch=32)
    for layer in found.layers:
        assert layer.events["writes"] == 3 * layer.events["cells"]
        energy = layer.charges["writes"].energy
        assert energy == pytest.approx(3.91e-9 * layer.events["writes"])
    assert found.layers[0].events["cells"] == 200 * 30 * 4 * 2
    with pytest.warns(memcore.MemcoreWarning, match=r"3 batches write each cell as often, and it"):
        memcore.cost(network, x, model="pipelayer", training=True, batch=32, endurance=2)


def test_ac_pi_5_energy_of_vgg_a_is_that_of_its_spikes():
    with torch.device("meta"):
        network = vgg_a()
    found = memcore.cost(network, torch.zeros(1, 3, 224, 224), model="pipelayer")
    drives = 0
    side = 224
    for module in network:
        if isinstance(module, nn.MaxPool2d):
            side //= 2
        elif isinstance(module, nn.Conv2d):
            rows = module.in_channels * 9
            drives += side**2 * rows * 16 * -(-module.out_channels // 128) * 4 * 2
        elif isinstance(module, nn.Linear):
            drives += module.in_features * 16 * -(-module.out_features // 128) * 4 * 2
    assert sum(layer.events["drives"] for layer in found.layers) == drives
    assert found.total.energy == pytest.approx(drives * 1.08e-12, rel=1e-9)


def test_layers_work_at_the_same_time_on_several_images():
    network = nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20), nn.Linear(20, 20))
    x = torch.zeros(50, 20)
    shared = memcore.cost(network, x, model="pipelayer").total.time
    alone = memcore.cost(network, x, model="pipelayer", pipelined=False).total.time
    cycle = 16 * 29.31e-9
    assert shared == pytest.approx((50 + 3 - 1) * cycle)
    assert alone == pytest.approx(50 * 3 * cycle)
