"""The comparison of the codes of analogue-to-digital converters."""

import torch
from torch import Tensor

#: The share of codes that must agree exactly.
_AGREEMENT = 0.999


def assert_codes_close(actual: Tensor, expected: Tensor, step: Tensor | float) -> None:
    """Assert that two computations of quantised values agree up to rounding ties.

    Libraries, instruction sets and contraction of multiply-adds change sums in the last bit, and a
    value at a rounding tie then falls to the neighbouring code: no tolerance in volts catches that
    without hiding errors. So at least 99.9 % of the codes must be equal and none may be off by
    more than one.

    Args:
        actual: quantised values of any shape.
        expected: values of a reference.
        step: the distance of two codes, in the unit of the values; a number or [cols].

    Raises:
        AssertionError: with the share of unequal codes and the worst one.
    """
    if actual.shape != expected.shape:
        raise AssertionError(
            f"shapes differ: {tuple(actual.shape)} came, {tuple(expected.shape)} was expected"
        )
    if not bool((actual.isfinite() & expected.isfinite()).all()):
        raise AssertionError("there are values that are not finite; codes cannot be compared")
    steps = torch.as_tensor(step, dtype=torch.float64, device=actual.device)
    codes, wanted = ((t.double() / steps).round() for t in (actual, expected.to(actual.device)))
    off = (codes - wanted).abs()
    if off.numel() == 0:
        return
    different = int((off > 0).sum())
    worst = int(off.flatten().argmax())
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(worst), off.shape))
    if off.max() > 1 or different > (1 - _AGREEMENT) * off.numel():
        raise AssertionError(
            f"{different} of {off.numel()} codes differ ({100 * different / off.numel():.3g} %, "
            f"at most {100 * (1 - _AGREEMENT):.2g} % may); the worst is {int(off.max())} off (at "
            f"most 1): code {int(codes.flatten()[worst])} came, {int(wanted.flatten()[worst])} was "
            f"expected at {place}"
        )
