"""What reaches the layers of a network on typical inputs."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from memcore._text import hint
from memcore.errors import ConfigError
from memcore.nn.feeding import Batches, run
from memcore.nn.feeding import batches as each_of
from memcore.nn.verbs import evaluating

#: Values that are kept of each layer, at most.
_MOST = 1 << 17


@torch.no_grad()
def inputs_of_layers(
    model: nn.Module, names: Iterable[str], batches: Batches | None
) -> dict[str, Tensor]:
    """Samples of the values that enter some modules of a network, by name, [n].

    Args:
        model: the network, which is evaluated.
        names: qualified names of modules.
        batches: batches of inputs, or of (inputs, targets).

    Raises:
        ConfigError: there are no inputs, or no module of a name, or one that none reaches.
    """
    if batches is None:
        raise ConfigError(
            "there are no inputs to look at; expected typical inputs of the network: pass a loader"
        )
    seen: dict[str, list[Tensor]] = {name: [] for name in names}
    modules = dict(model.named_modules())
    for name in seen:
        if name not in modules:
            raise ConfigError(f"the network has no module {name!r}{hint(name, modules)}")
    handles = [
        modules[name].register_forward_pre_hook(_keeper(kept)) for name, kept in seen.items()
    ]
    try:
        with evaluating(model):
            for batch in each_of(model, batches):
                run(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    unseen = [name for name, kept in seen.items() if not kept]
    if unseen:
        raise ConfigError(
            f"no input reached {', '.join(map(repr, unseen[:4]))}; expected inputs with which the "
            "network calls every layer"
        )
    return {name: _thinned(torch.cat(kept)) for name, kept in seen.items()}


def _keeper(kept: list[Tensor]) -> Any:
    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        del module
        # A copy: an activation in place would write into what is kept.
        kept.append(_thinned(inputs[0].detach().clone().flatten()))

    return keep


def _thinned(values: Tensor) -> Tensor:
    """Every so manyth value, in order of their size, so that their quantiles stay."""
    if len(values) <= _MOST:
        return values
    every = -(-len(values) // _MOST)
    return values.sort().values[every // 2 :: every]
