"""Parameters of plugins: a number with its unit and meaning, and published sets of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from memcore.contracts.distributions import Distribution
from memcore.contracts.ranges import Bound, Range

#: A device parameter: one number, a distribution over cells, or (once sampled) a value per cell.
Parameter = float | Distribution | Tensor


def parameter(
    default: Any,
    unit: str,
    doc: str,
    *,
    above: Bound | None = None,
    at_least: Bound | None = None,
    below: Bound | None = None,
    at_most: Bound | None = None,
    within: tuple[float, float] | None = None,
    choices: Sequence[Any] = (),
    finite: bool = True,
    remedy: str = "",
    by_logarithm: bool = False,
) -> Any:
    """A dataclass field with its unit, its meaning and its range.

    Constructing the plugin checks the range once: of numbers, of every entry of tuples and
    tensors, of the nominal value of a distribution. Numbers are finite unless `finite=False`. The
    reference pages, `memcore device` and the notebook show all of it. A field of type
    `Literal["a", "b"]` needs no `choices`, one of type `int` takes integers only, and None is
    allowed where it is the default or in the type. A subclass that declares a parameter anew, with
    another default, keeps the range unless it gives one.

    For example::

        r_on: Parameter = parameter(1e4, "ohm", "lowest resistance", above=0, below="r_off")

    Args:
        default: the value if none is given, in SI units.
        unit: SI symbol, `"1"` for a pure number.
        doc: what it is and where the default comes from.
        above: what it must be greater than: a number, or the name of another parameter.
        at_least: what it must be at least.
        below: what it must be less than.
        at_most: what it must be at most.
        within: the closed interval that it must lie in.
        choices: the values that it may have, instead of numbers.
        finite: whether infinity is refused.
        remedy: what to do about a value outside, for the message.
        by_logarithm: whether only the logarithm of the numbers counts, so that they may be smaller
            or larger than single precision holds.
    """
    if within is not None:
        at_least, at_most = within
    allowed = Range(
        above=above,
        at_least=at_least,
        below=below,
        at_most=at_most,
        choices=tuple(choices),
        finite=finite,
        remedy=remedy,
        by_logarithm=by_logarithm,
    )
    return dataclasses.field(default=default, metadata={"unit": unit, "doc": doc, "range": allowed})


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
