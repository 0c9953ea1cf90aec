"""Every bundled plugin keeps every promise of its contract, in each of its parameter sets.

The plugins are those that the registries find: a new one is tested without a change here.
"""

from collections.abc import Iterator

import memcore
from memcore import Contract
from memcore.testing import parametrize_with_checks

#: What a model cannot promise by its nature, by registry name.
BY_NATURE: dict[str, dict[str, str]] = {
    "mms": {
        "check_holds_its_state_at_0_volt": "thermally activated switches relax without a voltage",
    },
}


def bundled() -> Iterator[tuple[str, Contract]]:
    """Each bundled plugin under its name, with its defaults and with each published set."""
    for registry in memcore.registries().values():
        for name in registry:
            if registry.provider(name).distribution != "memcore":
                continue
            plugin = registry[name]
            sets = [plugin(), *(plugin.preset(preset) for preset in getattr(plugin, "presets", ()))]
            # One of the published sets may be the defaults.
            for instance in {repr(instance): instance for instance in sets}.values():
                yield name, instance


PLUGINS = list(bundled())
NAMES = {type(plugin): name for name, plugin in PLUGINS}


@parametrize_with_checks(
    *(plugin for _, plugin in PLUGINS),
    expected_failures=lambda plugin: BY_NATURE.get(NAMES[type(plugin)], {}),
)
def test_bundled_plugin_conforms(check):
    check()


def test_every_exception_is_about_a_bundled_plugin():
    assert set(BY_NATURE) <= set(NAMES.values())
