"""How many inputs are handled at once, so that what lies between them stays small."""

#: Values in memory at once, beside inputs and outputs.
_MOST = 1 << 24


def block(values: int, count: int) -> int:
    """How many of `count` inputs to handle at once when each takes so many values."""
    return max(1, min(count, _MOST // max(1, values)))
