import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from torch import nn

import memcore
from memcore import MemcoreWarning, UnknownPluginError

HOOKS = "memcore.hooks"
DEVICE = """
from dataclasses import dataclass
import memcore

@dataclass(frozen=True, kw_only=True)
class Cell(memcore.Memristor):
    r_on: float = 1e3
    r_off: float = 1e5

    def conductance(self, state):
        return state[0]

    def step(self, state, voltage, dt, ctx):
        return state

    def initial_state(self, shape, ctx):
        raise NotImplementedError

    def state_of(self, conductance):
        return conductance[None]
"""
GOOD = f"""
{DEVICE}

@memcore.hookimpl
def memcore_register(registries):
    registries["devices"].register("measured_a", Cell, replace=True)

@memcore.hookimpl
def memcore_report(model):
    return [("good", type(model).__name__)]
"""


@pytest.fixture
def hooks(site):
    from memcore.registry.instances import manager

    manager.cache_clear()
    yield lambda: manager().hook
    if "measured_a" in memcore.devices:
        memcore.devices.unregister("measured_a")


def test_every_plugin_of_the_group_answers(site, hooks):
    site.install("memcore-acme", {HOOKS: {"acme": "acme"}}, modules={"acme": GOOD})
    assert hooks().memcore_report(model=nn.Linear(1, 1)) == [[("good", "Linear")]]


def test_computed_name_is_registered_when_somebody_looks_for_it(site, hooks):
    site.install("memcore-acme", {HOOKS: {"acme": "acme"}}, modules={"acme": GOOD})
    assert "acme" not in sys.modules

    assert memcore.devices["measured_a"].__name__ == "Cell"
    with pytest.raises(UnknownPluginError, match="did you mean: 'measured_a'"):
        memcore.devices["measured_b"]


def test_every_thread_finds_the_computed_names(site, hooks):
    slow = "import time\ntime.sleep(0.1)\n" + GOOD
    site.install("memcore-slow", {HOOKS: {"slow": "slow"}}, modules={"slow": slow})
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(memcore.devices.get, "measured_a") for _ in range(4)]
        assert {each.result().__name__ for each in found} == {"Cell"}


BROKEN = {
    "does not import": "import no_such_module",
    "misspells a hook": "import memcore\n@memcore.hookimpl\ndef memcore_reprot(model): return []",
    "misspells an argument": "import memcore\n@memcore.hookimpl\n"
    "def memcore_report(modle): return []",
    "fails": "import memcore\n@memcore.hookimpl\ndef memcore_register(registries): 1 / 0\n"
    "@memcore.hookimpl\ndef memcore_report(model): return ['broken']",
}


@pytest.mark.parametrize("source", BROKEN.values(), ids=BROKEN)
def test_broken_hooks_leave_the_others_usable(site, hooks, source):
    site.install("memcore-broken", {HOOKS: {"broken": "broken"}}, modules={"broken": source})
    site.install("memcore-acme", {HOOKS: {"acme": "acme"}}, modules={"acme": GOOD})

    with pytest.warns(
        MemcoreWarning, match=r"hooks 'broken' of memcore-broken 0\.3 \(broken\) are not used"
    ):
        report = hooks().memcore_report(model=nn.Linear(1, 1))

    assert report == [[("good", "Linear")]]
    assert "measured_a" in memcore.devices


def test_author_who_converts_modules_in_a_hook_is_told_to_write_a_layer(site, hooks):
    source = "import memcore\n@memcore.hookimpl\ndef memcore_convert_module(module, config): pass"
    site.install("memcore-old", {HOOKS: {"old": "old"}}, modules={"old": source})

    with pytest.warns(
        MemcoreWarning, match=r"hooks 'old' .* PluginLoadError: .* subclass memcore\.Layer, .*group"
    ):
        hooks()


def test_plugin_that_looks_for_an_unknown_name_while_it_registers_does_not_hang(site, hooks):
    source = """
import memcore

@memcore.hookimpl
def memcore_register(registries):
    registries["devices"]["no_such_device"]
"""
    site.install("memcore-acme", {HOOKS: {"acme": "acme"}}, modules={"acme": source})

    with (
        pytest.warns(MemcoreWarning, match="no device named 'no_such_device'"),
        pytest.raises(UnknownPluginError, match="no device named 'other'"),
    ):
        memcore.devices["other"]


CALLED = {
    "memcore_array_programmed": "array, programmed",
    "memcore_model_converted": "model, report",
    "memcore_report": "model",
}


@pytest.mark.parametrize("ending", ["sys.exit()", "1 / 0", "raise GeneratorExit"])
def test_hook_that_fails_is_named_and_stops_nobody_else(site, hooks, ending):
    functions = [f"@memcore.hookimpl\ndef {n}({a}): {ending}" for n, a in CALLED.items()]
    source = "import memcore, sys\n" + "\n".join(functions)
    site.install("memcore-broken", {HOOKS: {"broken": "broken"}}, modules={"broken": source})
    site.install("memcore-acme", {HOOKS: {"acme": "acme"}}, modules={"acme": GOOD})

    with pytest.warns(MemcoreWarning, match="of memcore-broken:broken failed") as caught:
        summary = memcore.summary(
            memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
        )

    assert {str(w.message).split()[0] for w in caught} == CALLED.keys()
    assert ("good", "Linear") in summary.notes


def test_hooks_that_end_the_process_on_import_end_nothing_but_themselves(site, hooks):
    site.install("memcore-bad", {HOOKS: {"bad": "bad"}}, modules={"bad": "import sys\nsys.exit()"})
    with pytest.warns(MemcoreWarning, match="hooks 'bad' .* are not used: SystemExit"):
        mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))
    assert memcore.summary(mem).notes == ()


@pytest.mark.parametrize("answer", ["'text'", "3", "['text']", "[('title',)]", "[('a', 3)]", "[3]"])
def test_hook_that_returns_no_lines_is_named(site, hooks, answer):
    source = f"import memcore\n@memcore.hookimpl\ndef memcore_report(model): return {answer}"
    site.install("memcore-bad", {HOOKS: {"bad": "bad"}}, modules={"bad": source})
    mem = memcore.convert(nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"))

    with pytest.warns(MemcoreWarning, match=r"of memcore-bad:bad returned .*; expected a list of"):
        assert memcore.summary(mem).notes == ()


def test_check_of_plugins_shows_those_that_end_the_process(site, hooks):
    from click.testing import CliRunner

    from memcore.cli.main import main

    site.install("memcore-bad", {HOOKS: {"bad": "bad"}}, modules={"bad": "import sys\nsys.exit()"})
    result = CliRunner().invoke(main, ["plugins", "--check"])
    assert result.exit_code == 1
    assert "broken" in result.output
    assert "SystemExit" in result.output
