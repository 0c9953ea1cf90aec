"""What effects of `Stage.PROGRAM` make of conductances, in one pass where a kernel knows them."""

from collections.abc import Mapping

from torch import Tensor, nn

from memcore.contracts.forms_of_cells import Held, lowered
from memcore.crossbar.finite import require_finite
from memcore.ops.cell_forms import through


def formed(
    conductance: Tensor,
    forms: Mapping[str, nn.Module],
    stuck: Tensor | None,
    out: Tensor | None = None,
) -> Tensor:
    """Conductances after forms, one after another.

    Args:
        conductance: S.
        forms: by the name of the effect.
        stuck: S, what cells hold that are stuck, NaN for all others; None if there are none.
        out: where the result may be put; None for new memory.

    Raises:
        ConfigError: an effect makes conductances infinite or NaN.
    """
    last = [] if stuck is None else [Held(stuck)]
    known = [lowered(form) for form in (*forms.values(), *last)]
    if forms and all(known):
        at_once = through(conductance, [each for parts in known for each in parts], out)
        if at_once is not None:
            return at_once
    for name, form in forms.items():
        conductance = form(conductance)
        require_finite(conductance, name)
    return last[0](conductance) if last else conductance
