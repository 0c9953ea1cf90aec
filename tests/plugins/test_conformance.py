"""Every bundled plugin keeps every promise of its contract, in each of its published sets.

The plugins are those that the registries find: a new one is tested without a change here.
"""

import dataclasses
from collections.abc import Iterator

import pytest

import memcore
from memcore import Contract, Layer
from memcore.testing import checks_for

#: What a model does not promise, by its nature or its numerics, by registry name.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "mms": {
        "check_holds_its_state_at_0_volt": "thermally activated switches relax without a voltage",
    },
    "transistor": {
        "check_neutral_is_the_identity": "a cell without its transistor is a config without it",
        "check_compiles": "circuits are solved by an iteration that looks at its values",
    },
    "selector": {
        "check_neutral_is_the_identity": "a cell without its selector is a config without it",
        "check_compiles": "circuits are solved by an iteration that looks at its values",
    },
    "sequential_half_select": {
        "check_reaches_the_target_of_an_ideal_device": "half the voltage moves cells that have no "
        "threshold; with transistors it keeps the promise, see its own tests",
    },
}


#: Parameters with which a plugin is tried in place of its defaults.
TRIED: dict[str, dict[str, object]] = {
    "processes": {"start": "fork", "workers": 2},  # which need not import torch again
}
#: Plugins that are tried where there is a cluster for them, in tests/test_study_scale.py.
ELSEWHERE = ("dask", "slurm")


def bundled() -> Iterator[tuple[str, str, Contract | type[Layer]]]:
    """Each bundled plugin: its name, that of a parameter set, and an instance of it.

    Layers are classes, which are tried.
    """
    for registry in memcore.registries().values():
        for name in registry:
            if registry.provider(name).distribution == "memcore" and name not in ELSEWHERE:
                plugin = registry[name]
                if registry is memcore.layers:
                    yield name, "", plugin
                    continue
                yield name, "", plugin(**TRIED.get(name, {}))
                for preset in getattr(plugin, "presets", ()):
                    if plugin.preset(preset) != plugin():
                        yield name, preset, plugin.preset(preset)


def code_path(plugin: Contract | type[Layer]) -> tuple[object, ...]:
    """What decides which code runs: the class and the parameters that are no numbers."""
    if isinstance(plugin, type):
        return (plugin,)
    values = (getattr(plugin, field.name) for field in dataclasses.fields(plugin))
    return (type(plugin), *(value for value in values if not isinstance(value, float)))


def cases() -> Iterator[object]:
    compiled = set()
    for name, preset, plugin in bundled():
        for check in checks_for(plugin):
            # Compilation takes seconds; for the same code with other numbers it shows nothing new.
            if check.name == "check_compiles" and code_path(plugin) in compiled:
                continue
            own = check.plugin is plugin
            reason = EXCEPTIONS.get(name, {}).get(check.name) if own else None
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            tried = "" if check.case is None else type(check.case.module).__name__
            parts = (name, preset, "" if own else type(check.plugin).__name__, tried)
            label = "-".join(filter(None, parts))
            yield pytest.param(check, id=f"{label}-{check.name}", marks=marks)
        compiled.add(code_path(plugin))


@pytest.mark.parametrize("check", list(cases()))
def test_bundled_plugin_conforms(check):
    check()


def test_every_exception_is_about_a_bundled_plugin():
    assert set(EXCEPTIONS) <= {name for name, _, _ in bundled()}
