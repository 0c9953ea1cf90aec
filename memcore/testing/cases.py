"""What the checks run a plugin on: contexts, a reference device, arrays; and how they fail."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from memcore.contracts.array import ArrayInfo
from memcore.contracts.contract import Contract
from memcore.contracts.device import Memristor
from memcore.contracts.distributions import Distribution, Normal
from memcore.contracts.parameters import Parameter
from memcore.contracts.records import Context
from memcore.random import Stream

#: Names longer than this are cut in test ids and messages.
_LONGEST = 80


def describe(plugin: Contract) -> str:
    """The class of a plugin and the parameters that differ from their defaults."""
    changed = [
        f"{field.name}={getattr(plugin, field.name)!r}"
        for field in dataclasses.fields(plugin)  # type: ignore[arg-type]
        if not _same(getattr(plugin, field.name), field.default)
    ]
    text = f"{type(plugin).__name__}({', '.join(changed)})".replace("\n", " ")
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 4]}...)"


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return isinstance(a, Tensor) and isinstance(b, Tensor) and torch.equal(a, b)
    return bool(a == b)


def same_parameters(a: Contract, b: Contract) -> bool:
    """Whether two plugins are of one class and equal in every field, tensors included."""
    return type(a) is type(b) and all(
        _same(getattr(a, field.name), getattr(b, field.name))
        for field in dataclasses.fields(a)  # type: ignore[arg-type]
    )


def fail(plugin: Contract, what: str, remedy: str) -> NoReturn:
    """Fail a check with the plugin, what is wrong, and what to do."""
    raise AssertionError(f"{describe(plugin)}: {what}; {remedy}")


def context(seed: int = 0, *names: str | int) -> Context:
    """The context of one virtual chip."""
    return Context(random=Stream(seed).child("conformance", *names))


def global_random_state() -> tuple[bytes, str]:
    """The state of the generators that a plugin must leave alone."""
    import random

    state = (random.getstate(), np.random.get_state())
    return torch.random.get_rng_state().numpy().tobytes(), repr(state)


def leaves_global_randomness_alone(plugin: Contract, run: Callable[[], object]) -> None:
    """Fail if `run` draws from torch's, numpy's or Python's global generator."""
    before = global_random_state()
    run()
    if global_random_state() != before:
        fail(
            plugin,
            "randomness outside ctx.random",
            "draw with ctx.random.normal(shape) or .uniform(shape), never with torch.randn, "
            "torch.bernoulli, numpy or random",
        )


class Untouched:
    """Fails when a tensor was written into, even with the values that it had.

    Args:
        tensors: tensors by the names of their arguments.
    """

    def __init__(self, **tensors: Tensor) -> None:
        self.tensors = tensors
        self.before = {name: (t._version, t.clone()) for name, t in tensors.items()}

    def require(self, plugin: Contract, method: str) -> None:
        """Fail, naming the first argument that changed."""
        for name, tensor in self.tensors.items():
            version, values = self.before[name]
            if tensor._version != version or not torch.equal(tensor, values):
                fail(
                    plugin,
                    f"{method} wrote into its input {name!r}",
                    "return a new tensor; use x + y, not x += y, x.add_(y) or x[...] = y",
                )


@dataclass(frozen=True, kw_only=True)
class ReferenceDevice(Memristor):
    """The device on which mappers, programmers and non-idealities are checked.

    Conductance linear in its state x in [0, 1], dx/dt = rate * v, no threshold.
    """

    r_on: Parameter = 1e4  # ohm
    r_off: Parameter = 1e5  # ohm
    rate: Parameter = 1e6  # 1/(V s): 1 V crosses the window in 1 us

    def conductance(self, state: Tensor) -> Tensor:
        g: Tensor = state[0] / self.r_on + (1 - state[0]) / self.r_off
        return g

    def step(self, state: Tensor, voltage: Tensor, dt: float, ctx: Context) -> Tensor:
        del ctx
        return (state + self.rate * dt * voltage).clamp(0, 1)

    def initial_state(self, shape: Any, ctx: Context) -> Tensor:
        del ctx
        return torch.zeros(1, *shape)

    def state_of(self, conductance: Tensor) -> Tensor:
        low, high = self.conductance_range()
        return ((conductance - low) / (high - low)).clamp(0, 1).unsqueeze(0)


def array(
    *,
    device: Memristor | None = None,
    spread: bool = True,
    arrays: int = 2,
    rows: int = 16,
    cols: int = 8,
) -> ArrayInfo:
    """Arrays of a device.

    Args:
        device: the reference device if there is none.
        spread: whether the cells of the reference device have windows of their own.
        arrays: number of arrays.
        rows: number of word lines of each.
        cols: number of bit lines of each.
    """
    if device is None and spread:
        device = ReferenceDevice(
            r_on=Normal(1e4, 500.0, min=5e3, max=2e4), r_off=Normal(1e5, 5e3, min=5e4, max=2e5)
        )
    device = device or ReferenceDevice()
    shape = (arrays, rows, cols)
    return ArrayInfo(
        arrays=arrays,
        rows=rows,
        cols=cols,
        device=device.sample(shape, context(0, "device")),
        nominal=device.nominal(),
        name="conformance",
    )


def conductances(info: ArrayInfo, dtype: torch.dtype = torch.float32) -> Tensor:
    """A conductance inside its own window for every cell, both ends among them."""
    low, high = info.device.conductance_range()
    where = context(0, "conductances").random.uniform(info.shape)
    where[0, 0, 0], where[0, 0, 1] = 0.0, 1.0
    g: Tensor = low + (high - low) * where
    return g.to(dtype)


def voltages(info: ArrayInfo, reads: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Word-line voltages of both signs, [reads, arrays, rows] V."""
    v = context(0, "voltages").random.normal((reads, info.arrays, info.rows))
    return (0.1 * v).to(dtype)


def has_distributions(plugin: Contract) -> bool:
    """Whether some parameter is drawn for every cell."""
    return any(
        isinstance(getattr(plugin, field.name), Distribution)
        for field in dataclasses.fields(plugin)  # type: ignore[arg-type]
    )


def compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`torch.compile` in one graph, traced anew and without the slow code generation."""
    torch.compiler.reset()
    result: Callable[..., Tensor] = torch.compile(function, fullgraph=True, backend="eager")
    return result
