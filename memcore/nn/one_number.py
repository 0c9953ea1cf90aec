"""Parameters of one number, in a shape that `fully_shard` can spread over processes."""

from functools import partial
from typing import Any

from torch import Tensor, nn

from memcore._check import LARGEST
from memcore.crossbar.states import require_values


def one_number(owner: nn.Module, name: str, value: Tensor) -> nn.Parameter:
    """A parameter [1] for an attribute of a module, which also loads a state that has it as [].

    `torch.distributed.fsdp.fully_shard` refuses parameters without a dimension.

    Args:
        owner: module that will have it.
        name: name of the attribute.
        value: where it begins, [].
    """
    owner.register_load_state_dict_pre_hook(  # type: ignore[no-untyped-call]
        partial(_with_dimension, name)
    )
    return nn.Parameter(value.reshape(1))


def _with_dimension(
    name: str, owner: nn.Module, state: dict[str, Any], prefix: str, *rest: Any
) -> None:
    """Give a parameter of a state of before its dimension."""
    del owner, rest
    before = state.get(f"{prefix}{name}")
    if isinstance(before, Tensor) and not before.dim():
        state[f"{prefix}{name}"] = before.reshape(1)


def is_spread(parameter: Tensor) -> bool:
    """Whether each process holds a part of a parameter, as `fully_shard` leaves it."""
    return hasattr(parameter, "placements")


def require_number(name: str, value: object) -> None:
    """Refuse in a state a parameter of one number that is infinite or NaN.

    Args:
        name: of the entry.
        value: what the state has; a part of a parameter that is spread is left alone.

    Raises:
        ConfigError: it is.
    """
    if isinstance(value, Tensor) and not is_spread(value):
        require_values(name, value, -LARGEST, LARGEST, "a finite number")
