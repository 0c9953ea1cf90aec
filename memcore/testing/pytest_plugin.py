"""The plugin that pytest loads wherever memcore is installed: two fixtures and a header line.

Nothing here imports torch while it is loaded: a test run of another project must not pay for it.
"""

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from memcore.random import Stream
    from memcore.registry.registry import Registry

#: Called with the distributions that may provide plugins beside memcore itself.
LimitedRegistries = Callable[..., "dict[str, Registry[Any]]"]


def pytest_report_header(config: pytest.Config) -> str | None:
    """Show which native modules the run uses, where the run is about memcore."""
    if "torch" not in sys.modules and not _is_about_memcore(config):
        return None
    from memcore._version import __version__
    from memcore.native import status

    return f"memcore {__version__}, native: {status()}"


def _is_about_memcore(config: pytest.Config) -> bool:
    project = config.rootpath / "pyproject.toml"
    return project.is_file() and "memcore" in project.read_text(encoding="utf-8")


@pytest.fixture
def registry() -> Iterator[LimitedRegistries]:
    """Limit discovery to the bundled plugins and those of chosen distributions.

    Whatever else is installed is not seen until the end of the test, and what the test registers
    is forgotten then.

    Examples:
        >>> def test_name(registry):
        ...     assert registry("memcore-acme")["devices"]["acme_rram"] is AcmeRram
    """
    from memcore.registry.instances import registries

    kinds = registries()
    before = {kind: dict(registry_of_kind._registered) for kind, registry_of_kind in kinds.items()}
    with pytest.MonkeyPatch.context() as environment:

        def limit(*distributions: str) -> "dict[str, Registry[Any]]":
            environment.delenv("MEMCORE_DISABLE", raising=False)
            environment.setenv("MEMCORE_PLUGINS", ",".join(distributions))
            for registry_of_kind in kinds.values():
                registry_of_kind.refresh()
            return kinds

        yield limit
    for kind, registry_of_kind in kinds.items():
        registry_of_kind._registered.clear()
        registry_of_kind._registered.update(before[kind])
        registry_of_kind.refresh()


@pytest.fixture
def stream(request: pytest.FixtureRequest) -> "Stream":
    """A source of random numbers that is the test's own and the same in every run."""
    from memcore.random import Stream

    return Stream(0).child(request.node.name)
