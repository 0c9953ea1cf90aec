"""Gradients that nothing computes."""

from typing import Any

import torch
from torch import Tensor

from memcore.errors import NoEffectWarning, warn


def warn_of_gradients(what: str, **inputs: Any) -> None:
    """Say which inputs require gradients that nothing computes.

    Args:
        what: what is computed without gradients.
        inputs: tensors, or objects that hold some, by name.

    Warns:
        NoEffectWarning: there are some.
    """
    if not torch.is_grad_enabled():
        return
    every: dict[str, Any] = {}
    for name, value in inputs.items():
        inner = {} if isinstance(value, Tensor) else getattr(value, "__dict__", {})
        every |= {f"{name}.{field}": x for field, x in inner.items()} if inner else {name: value}
    wanting = [name for name, x in every.items() if isinstance(x, Tensor) and x.requires_grad]
    if wanting:
        warn(
            f"gradients with respect to {', '.join(wanting)} are not computed by {what}; expected "
            "memcore.effective_conductance(g, wires), which has them for ohmic cells, or detach()",
            NoEffectWarning,
        )
