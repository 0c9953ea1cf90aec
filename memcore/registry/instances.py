"""The registries of this process, one for each kind of plugin, and the manager of the hooks."""

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from memcore.registry.registry import Registry
from memcore.registry.scan import Provider, Scan

if TYPE_CHECKING:
    import pluggy


@cache
def manager() -> "pluggy.PluginManager":
    """The plugin manager with everything of the group `memcore.hooks` registered."""
    from memcore.registry.hooks import load

    return load(SCAN.group("memcore.hooks"), registries())


SCAN: Final = Scan(announce=manager, forget=manager.cache_clear)


def _registry(kind: str, singular: str) -> Registry[Any]:
    def check(plugin: Any, provider: Provider) -> None:
        from memcore.registry.verify import verify

        verify(plugin, kind, f"{singular} {provider.name!r} from {provider}")

    return Registry(kind, singular, check, SCAN)


devices: Final = _registry("devices", "device")
nonidealities: Final = _registry("nonidealities", "non-ideality")
mappers: Final = _registry("mappers", "mapper")
programmers: Final = _registry("programmers", "programmer")
converters: Final = _registry("converters", "converter")
costs: Final = _registry("costs", "cost model")
layers: Final = _registry("layers", "layer")
compressions: Final = _registry("compressions", "compression pass")
updates: Final = _registry("updates", "update rule")
executors: Final = _registry("executors", "executor")


def registries() -> dict[str, Registry[Any]]:
    """All registries by kind."""
    every = (
        *(devices, nonidealities, mappers, programmers, converters, costs, layers),
        *(compressions, updates, executors),
    )
    return {registry.kind: registry for registry in every}
