"""Work for executors under test, in a module that processes import in no time."""


def doubled(unit: int) -> int:
    """Twice the unit."""
    return 2 * unit


def refused(unit: int) -> int:
    """An error of unit 3."""
    return 1 // (unit - 3)
