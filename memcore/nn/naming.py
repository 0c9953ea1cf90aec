"""`Within`: which layer an error is of, where what raises it knows of no layers."""

from types import TracebackType
from typing import NamedTuple

from memcore.errors import ConfigError


class Within(NamedTuple):
    """A context in which errors of a configuration say of which layer they are.

    Args:
        name: qualified name of the layer, "" for a network that is one; None to add nothing.
    """

    name: str | None

    def __enter__(self) -> None:
        """Nothing is done."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error anew, with the name.

        Raises:
            ConfigError: an error of that kind came.
        """
        if self.name is not None and isinstance(error, ConfigError):
            whose = f"layer {self.name!r}" if self.name else "the layer"
            raise ConfigError(f"{whose}: {error}") from error
