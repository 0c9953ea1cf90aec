"""Progress bars with the time left, on stderr and only where somebody watches; times in words."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from memcore._text import needed


class Progress:
    """Makes the bars of one run.

    Args:
        show: whether to show the bars; None shows them only if stderr is a terminal.
    """

    def __init__(self, show: bool | None) -> None:
        self._disable = None if show is None else not show
        if sys.stderr is None:  # closed by the caller
            self._disable = True

    @contextmanager
    def bar(
        self, label: str, total: int, done: int = 0, unit: str = "it"
    ) -> Iterator[Callable[[str], None]]:
        """A bar of `total` steps of which `done` are behind us.

        Yields:
            A function to call after each step, with a few words on it.
        """
        tqdm = needed("tqdm", "a study").tqdm
        with tqdm(
            total=total,
            initial=done,
            desc=label,
            unit=unit,
            disable=self._disable,
            dynamic_ncols=True,
            leave=False,
        ) as shown:

            def advance(words: str) -> None:
                shown.set_postfix_str(words, refresh=False)
                shown.update()

            yield advance


def lasting(seconds: float) -> str:
    """A time in words, in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    days = seconds / 86_400
    return f"{days:.1f} days" if days < 730 else f"{days / 365.25:.1f} years"
