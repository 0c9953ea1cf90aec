"""Parameters of plugins: a number with its unit and meaning, and published sets of them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from memcore.contracts.distributions import Distribution

#: A device parameter: one number, a distribution over cells, or (once sampled) a value per cell.
Parameter = float | Distribution | Tensor


def parameter(default: Any, unit: str, doc: str) -> Any:
    """A dataclass field with its unit and meaning, which the reference pages render.

    Args:
        default: the value if none is given, in SI units.
        unit: SI symbol, `"1"` for a pure number.
        doc: what it is and where the default comes from.
    """
    return dataclasses.field(default=default, metadata={"unit": unit, "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A published parameter set of a device.

    Args:
        parameters: by field name, in SI units; the others keep their defaults.
        source: the paper or file, with the figure or table, and how sure the numbers are.
        validity: the range in which the set describes its device.
    """

    parameters: Mapping[str, Any]
    source: str
    validity: str = ""
