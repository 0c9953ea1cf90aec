"""The native simulator against the plain-torch `step`, which defines the physics."""

import dataclasses
import os
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

import memcore
from memcore import native
from memcore.dynamics import recording
from memcore.dynamics.recording import run as kernel

pytestmark = pytest.mark.skipif(native.cpu() is None, reason="memcore._cpu is not in use")

#: Devices that the native engine must run, with a time step that moves them.
DT = {
    "data_driven": 1e-4,
    "linear_ion_drift": 1e-3,
    "mms": 1e-5,
    "sky130_reram": 1e-9,
    "stanford_pku": 1e-9,
    "vteam": 1e-9,
    "yakopcic": 1e-4,
}
PRESETS = [(name, preset) for name in DT for preset in (None, *memcore.devices[name].presets)]

UNARY = {
    "neg": torch.neg,
    "abs": torch.abs,
    "reciprocal": torch.reciprocal,
    "sqrt": torch.sqrt,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "log": torch.log,
    "log1p": torch.log1p,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "asinh": torch.asinh,
    "sin": torch.sin,
    "cos": torch.cos,
    "atan": torch.atan,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "log_sigmoid": logsigmoid,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "logaddexp": torch.logaddexp,
    "lt": lambda a, b: (a < b).to(a.dtype),
    "ge": lambda a, b: (a >= b).to(a.dtype),
    "eq": lambda a, b: torch.where((a == b) | (a > 2), a, b),
    "and": lambda a, b: torch.where((a != b) & ~(a > 2) ^ (b < 0), 1.0, b),
    "clamp": lambda a, b: a.clamp(-1.0, 2.0) + b.clamp(max=a) + b.clamp(min=0.5),
    "lerp": lambda a, b: torch.lerp(a, b, 0.25) + torch.addcmul(a, b, b, value=2.0),
}
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.0, -2.5, 1e-30, -1e-30, 1e-42, 88.0, 89.0, -87.0]
SPECIAL += [-104.0, 1e30, -1e30, float("inf"), -float("inf"), float("nan")]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Made(memcore.Memristor):
    """A device whose step is any function of state and voltage."""

    function: Any
    scale: Any = 1.0
    variables: int = 1

    def conductance(self, state):
        return state[0]

    def step(self, state, voltage, dt, ctx):
        return self.function(self, state, voltage, dt, ctx)

    def initial_state(self, shape, ctx):
        return torch.full((self.variables, *shape), 0.5)

    def state_of(self, conductance):
        return conductance.unsqueeze(0)


def both(device, voltage, dt=1.0, **options):
    traces = [
        memcore.simulate(device, voltage, dt, engine=engine, **options)
        for engine in ("native", "python")
    ]
    assert traces[0].engine == "native"
    return traces


def once(function, x, y):
    """The function of x [n] and y [n] as the native engine calculates it."""
    device = Made(function=lambda self, state, voltage, dt, ctx: function(state, voltage[None]))
    ctx = memcore.Context(random=memcore.Stream(0))
    recorded = recording.record(device, x[None], y, 1.0, ctx)
    return kernel.run(recording.lower(recorded, shared=False), x[None], y[None], 0)[0][0]


def numbers(dtype, count=4000):
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(count, generator=generator, dtype=dtype) * s for s in (1e-3, 1, 30)]
    return torch.cat([*drawn, torch.tensor(SPECIAL, dtype=dtype)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", UNARY)
def test_functions_agree_with_torch(name, dtype):
    x = numbers(dtype)
    found = once(lambda x, y: UNARY[name](x), x, x)
    expected = UNARY[name](x.double()).to(dtype)
    tolerance = 4e-7 if dtype == torch.float32 else 1e-15
    wrong = ~(found - expected).abs().le(tolerance * expected.abs() + 1e-38)
    wrong &= ~((found == expected) | (found.isnan() & expected.isnan()))
    assert not wrong.any(), (x[wrong], found[wrong], expected[wrong])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_numbers_agree_with_torch(name, dtype):
    x = numbers(dtype, 2000)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(1))
    y = torch.where(order % 5 == 0, order % 13 - 4.0, x[order])
    special = torch.tensor(SPECIAL, dtype=dtype)
    x = torch.cat([x, special.repeat(len(special))])
    y = torch.cat([y, special.repeat_interleave(len(special))])
    found, expected = once(BINARY[name], x, y), BINARY[name](x.double(), y.double()).to(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-15
    # Sums cancel: their error is that of their largest term.
    largest = x.abs().maximum(y.abs()).nan_to_num().clamp(max=100)
    least = 1e-38 + (
        3 * tolerance * largest**2 if name in {"lerp", "clamp", "add", "sub", "logaddexp"} else 0
    )
    if name == "pow":
        tolerance = tolerance * (1 + y.abs().nan_to_num(posinf=0) / 10)
    small = expected.abs() < 1e38  # rounding decides what is infinite
    wrong = ~((found - expected).abs() <= tolerance * expected.abs() + least) & small
    assert not wrong.any(), (x[wrong], y[wrong], found[wrong], expected[wrong])
    torch.testing.assert_close(found[~small], expected[~small], rtol=1e-5, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_bundled_devices_follow_their_step(name, preset, dtype):
    cls = memcore.devices[name]
    device = cls() if preset is None else cls.preset(preset)
    low, high = device.conductance_range()
    generator = torch.Generator().manual_seed(0)
    g = low + (high - low) * torch.rand(37, generator=generator, dtype=dtype)
    v = 2 * torch.randn(12, 37, generator=generator, dtype=dtype)
    # Stanford-PKU takes the slope of its rate from a difference.
    tolerance = (1e-4 if dtype == torch.float32 else 1e-10) * (20 if name == "stanford_pku" else 1)
    for voltage in (v, v[:, 0].contiguous()):
        found, expected = both(device, voltage, DT[name], state=device.state_of(g))
        assert (expected.final != expected.state[0]).any() or name == "vteam"
        torch.testing.assert_close(found.state, expected.state, rtol=0, atol=tolerance)
        torch.testing.assert_close(found.final, expected.final, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", DT)
def test_every_parameter_may_differ_from_cell_to_cell(name):
    plain = memcore.devices[name]()
    spread = {
        field.name: memcore.Uniform(*sorted((0.97 * value, 1.03 * value)))
        for field in dataclasses.fields(plain)
        if isinstance(value := getattr(plain, field.name), float)
        and value
        and field.name not in {"p", "j", "dt_ref", "phi", "s0", "x0"}
    }
    device = dataclasses.replace(plain, **spread)
    voltage = 1.3 * torch.randn(20, 5, 3, generator=torch.Generator().manual_seed(2))
    for v in (voltage, voltage[:, 0, 0].contiguous()):
        found, expected = both(device, v, DT[name], shape=(5, 3))
        torch.testing.assert_close(found.state, expected.state, rtol=0, atol=1e-4)
        torch.testing.assert_close(found.current, expected.current, rtol=2e-3, atol=1e-12)


def test_inference_mode_changes_nothing():
    device, voltage = memcore.devices["mms"](), torch.linspace(-0.5, 0.5, 20)
    expected = memcore.simulate(device, voltage, 1e-5, engine="native")
    with torch.inference_mode():
        found = memcore.simulate(device, voltage, 1e-5, engine="native")
    assert torch.equal(found.state, expected.state)


def test_noise_is_that_of_the_step():
    device = memcore.devices["mms"](switches=100)
    voltage = 0.3 * torch.randn(50, 1001, generator=torch.Generator().manual_seed(0))
    found, expected = both(device, voltage, 1e-5, seed=3)
    torch.testing.assert_close(found.state, expected.state, rtol=0, atol=1e-5)
    silent = memcore.simulate(memcore.devices["mms"](), voltage, 1e-5)
    assert (found.final != silent.final).float().mean() > 0.9


def test_uniform_noise_and_children_are_those_of_the_step():
    def step(self, state, voltage, dt, ctx):
        jump = ctx.random.child("a").uniform(voltage.shape) - ctx.random.child("b").uniform(
            voltage.shape, dtype=voltage.dtype
        )
        kept = ctx.random.bernoulli(0.3, voltage.shape)
        return torch.where(kept, state, state + jump)

    found, expected = both(Made(function=step), torch.zeros(30), shape=(2, 67))
    torch.testing.assert_close(found.final, expected.final)
    assert found.final.std() > 0.5


def test_several_state_variables_may_change_places():
    def step(self, state, voltage, dt, ctx):
        x, y, z = state
        return torch.stack([y, x, 0.5 * (x + z * voltage)])

    state = torch.rand(3, 70, generator=torch.Generator().manual_seed(0))
    found, expected = both(Made(function=step, variables=3), torch.linspace(-1, 1, 9), state=state)
    torch.testing.assert_close(found.state, expected.state)
    torch.testing.assert_close(found.final, expected.final)
    assert torch.equal(found.state[2, :2], state[:2])


def test_states_that_do_not_depend_on_the_past():
    for function in (
        lambda self, state, voltage, dt, ctx: (voltage**2)[None],
        lambda self, state, voltage, dt, ctx: torch.full_like(state, 0.25),
        lambda self, state, voltage, dt, ctx: state,
        lambda self, state, voltage, dt, ctx: (voltage * 0 + self.scale)[None],
    ):
        device = Made(function=function, scale=torch.rand(70))
        for voltage in (torch.rand(6), torch.rand(6, 70)):
            found, expected = both(device, voltage, shape=(70,))
            assert torch.equal(found.state, expected.state)
            assert torch.equal(found.final, expected.final)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda self, s, v, dt, ctx: s + 1 if v.sum() > 0 else s, "operator aten.sum"),
        (lambda self, s, v, dt, ctx: s + 1 if v.flatten()[0] > 0 else s, "view|meta"),
        (lambda self, s, v, dt, ctx: s + s.mean(), "operator aten.mean"),
        (lambda self, s, v, dt, ctx: s + torch.rand(()), "operator aten.rand"),
        (lambda self, s, v, dt, ctx: s + torch.arange(3.0), "elsewhere|arange"),
        (lambda self, s, v, dt, ctx: s.flip(-1), "operator aten.flip"),
        (lambda self, s, v, dt, ctx: (s.double() + v).float(), "makes"),
        (lambda self, s, v, dt, ctx: s.long() + v, "makes"),
    ],
)
def test_what_is_not_arithmetic_on_cells_runs_in_python(function, reason):
    device, voltage = Made(function=function), torch.linspace(-1, 1, 5)
    trace = memcore.simulate(device, voltage, 1.0, shape=(3,))
    assert trace.engine.startswith("python: ")
    with pytest.raises(memcore.ConfigError, match=f"Made cannot run natively: .*({reason})"):
        memcore.simulate(device, voltage, 1.0, shape=(3,), engine="native")


def test_writing_into_a_view_is_not_recorded_as_something_else():
    def step(self, state, voltage, dt, ctx):
        moved = state.clone()
        moved[0] += voltage
        return moved

    trace = memcore.simulate(Made(function=step), torch.ones(4), 1.0, shape=(3,))
    assert trace.engine.startswith("python")
    assert (trace.final == 4.5).all()


def test_writing_into_a_result_of_ones_own_is_recorded():
    def step(self, state, voltage, dt, ctx):
        moved = state + voltage
        moved.clamp_(0, 2).mul_(0.5)
        return moved

    found, expected = both(Made(function=step), torch.linspace(-3, 3, 40), shape=(3,))
    assert torch.equal(found.state, expected.state)


@pytest.mark.parametrize("name", DT)
def test_results_do_not_depend_on_threads_or_chunks(name, monkeypatch):
    device = memcore.devices[name]()
    if name == "mms":
        device = memcore.devices[name](switches=10)
    voltage = torch.sin(torch.arange(1200) / 100)
    one = memcore.simulate(device, voltage, DT[name], shape=(1500,), record=100)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        several = memcore.simulate(device, voltage, DT[name], shape=(1500,), record=100)
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(kernel, "_CALL", 1500 * 77)
    chunks = memcore.simulate(device, voltage, DT[name], shape=(1500,), record=100)
    for other in (several, chunks):
        assert torch.equal(one.final, other.final)
        assert torch.equal(one.state, other.state)


CHECK = """
import torch, memcore
from memcore import native
print(native.status().cpu.isa)
torch.manual_seed(0)
for name, dt in {dt}.items():
    device = memcore.devices[name]()
    voltage = 1.2 * torch.randn(30, 131)
    found, expected = (
        memcore.simulate(device, voltage, dt, engine=e) for e in ("native", "python")
    )
    tolerance = 2e-3 if name == "stanford_pku" else 1e-4
    assert (found.state - expected.state).abs().max() <= tolerance, name
    assert found.final.isfinite().all()
""".replace("{dt}", repr(DT))


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_agrees_with_the_step(isa, fresh):
    done = fresh(CHECK, {**os.environ, "MEMCORE_ISA": isa})
    if "but this machine has" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_numbers_of_a_table_are_those_that_torch_finds(dtype):
    table = torch.randn(2, 7, generator=torch.Generator().manual_seed(3), dtype=dtype)
    x = torch.linspace(-0.999, 0.999, 301, dtype=dtype)

    def found(x):
        return table.flatten()[(14 * x).floor().long()] + 0 * x  # from both ends

    assert torch.equal(once(lambda x, y: found(x), x, x), found(x))


def test_places_that_no_table_has_read_none_beyond_it():
    table = torch.arange(5.0)
    x = torch.tensor([-100.0, 7.0, 1e30, -1e30, torch.nan, torch.inf, 3.0])
    found = once(lambda x, y: table[x.long()], x, x)
    assert found.tolist() == [0, 4, 4, 0, 0, 4, 3]


def test_more_than_one_number_at_a_place_is_left_to_torch():
    table = torch.zeros(3, 2)
    with pytest.raises(memcore.MemcoreError, match="an index into"):
        once(lambda x, y: table[x.long()].sum(-1), torch.zeros(4), torch.zeros(4))
