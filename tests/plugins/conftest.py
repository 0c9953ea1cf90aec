import json
import math
from pathlib import Path

import pytest
import torch

import memcore

ORACLES = Path(__file__).parent.parent / "oracles"


@pytest.fixture
def ctx():
    return memcore.Context(random=memcore.Stream(0))


@pytest.fixture
def arrays(ctx):
    """Arrays of a device, given by name or instance, with the cells drawn."""

    def make(device="ideal", shape=(2, 30, 40), **parameters):
        if isinstance(device, str):
            device = memcore.devices[device](**parameters)
        return memcore.ArrayInfo(
            **dict(zip(("arrays", "rows", "cols"), shape, strict=True)),
            device=device.sample(shape, ctx.child("device")),
            nominal=device.nominal(),
        )

    return make


@pytest.fixture
def oracle():
    """Reads an oracle: the columns of a CSV as float64 tensors, or a JSON file."""

    def read(name):
        path = ORACLES / name
        if path.suffix == ".json":
            return json.loads(path.read_text())
        lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
        exact = [[float(x) for x in line.split(",")] for line in lines[1:]]
        rows = torch.tensor(exact, dtype=torch.float64)
        return dict(zip(lines[0].split(","), rows.T, strict=True))

    return read


@pytest.fixture
def trajectory(ctx):
    """States [n + 1, k, *cells] under the constant voltages [n], each lasting dt."""

    def run(device, state, voltages, dt):
        states = [state]
        for voltage in voltages:
            states.append(device.step(states[-1], voltage, dt, ctx))
        return torch.stack(states)

    return run


@pytest.fixture
def sine():
    """The mean voltages of n equal intervals of each period, float64: exact for the flux."""

    def means(amplitude, frequency, n, periods=1):
        w = 2 * math.pi * frequency
        edges = torch.arange(n * periods + 1, dtype=torch.float64) / (n * frequency)
        return -amplitude * torch.diff(torch.cos(w * edges)) / (w * torch.diff(edges))

    return means


@pytest.fixture
def state():
    """The state with these values of its variables, float64, one cell."""

    def make(*values, dtype=torch.float64):
        return torch.tensor(values, dtype=dtype).reshape(len(values), 1)

    return make


@pytest.fixture
def moments():
    """Requires mean and standard deviation of many normal draws, within four standard errors."""

    def require(x, mean, std):
        x = x.double().flatten()
        assert len(x) >= 100_000
        assert abs(float(x.mean()) - mean) <= 4 * std / math.sqrt(len(x))
        assert abs(float(x.std()) - std) <= 4 * std / math.sqrt(2 * len(x))

    return require


@pytest.fixture
def us():
    """Microsiemens as float64 siemens."""
    return lambda *values: 1e-6 * torch.tensor(values, dtype=torch.float64)


@pytest.fixture
def converted():
    """A layer of 20 inputs and 10 outputs on cells with these effects; always the same weights."""

    def make(*effects, seed=0, device="ideal", **config):
        layer = torch.nn.Linear(20, 10, bias=False)
        with torch.no_grad():
            layer.weight.copy_(memcore.Stream(7).uniform((10, 20)) - 0.5)
        settings = memcore.CrossbarConfig(device=device, nonidealities=effects, **config)
        return memcore.convert(torch.nn.Sequential(layer), settings, seed=seed)

    return make


@pytest.fixture
def inputs():
    """256 input vectors of `converted` between 0 and 1."""
    return memcore.Stream(8).uniform((256, 20))
