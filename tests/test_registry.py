import subprocess
import sys
import threading
import warnings

import pytest

import memcore
from memcore import (
    DuplicatePluginError,
    MemcoreWarning,
    PluginLoadError,
    PluginShadowWarning,
    RegistryError,
    UnknownPluginError,
)
from memcore.registry.known import KNOWN

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
DEVICES = "memcore.devices"


def message(error: pytest.ExceptionInfo[Exception]) -> str:
    return str(error.value)


# -- laziness -------------------------------------------------------------------------------------


def test_importing_memcore_imports_no_torch_and_scans_nothing():
    code = (
        "import sys, memcore\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
        "assert 'importlib.metadata' not in sys.modules, 'importlib.metadata'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_asking_who_is_there_imports_no_plugin(site):
    site.install("memcore-acme", {DEVICES: {"acme_rram": "acme:Cell"}}, modules={"acme": DEVICE})

    assert "acme_rram" in memcore.devices
    assert "acme_rram" in list(memcore.devices)
    assert len(memcore.devices) == len(list(memcore.devices))
    assert memcore.devices.provider("acme_rram").target == "acme:Cell"
    assert "acme_rram" in repr(memcore.devices)
    assert "acme" not in sys.modules

    assert memcore.devices["acme_rram"] is sys.modules["acme"].Cell


def test_names_are_sorted_and_listed_once(site):
    site.install("memcore-b", {DEVICES: {"zz": "b:X", "aa": "b:X"}})
    site.install("memcore-a", {DEVICES: {"zz": "a:X"}})

    assert list(memcore.devices) == sorted(set(memcore.devices))
    assert [p.distribution for p in memcore.devices.providers() if p.name == "zz"] == [
        "memcore-a",
        "memcore-b",
    ]


def test_provider_tells_package_version_and_origin(site):
    site.install("memcore-acme", {DEVICES: {"acme_rram": "acme:Cell"}}, version="1.2")
    info = site.folder / "memcore_acme-1.2.dist-info"
    (info / "direct_url.json").write_text('{"url": "https://example.org/acme.git"}')

    provider = memcore.devices.provider("acme_rram")

    assert (provider.distribution, provider.version) == ("memcore-acme", "1.2")
    assert str(provider) == "memcore-acme 1.2 (acme:Cell)"
    assert provider.origin == {"url": "https://example.org/acme.git"}


def test_metadata_of_a_distribution_is_read_once_for_all_its_entry_points(site, monkeypatch):
    from importlib.metadata import PathDistribution

    site.install("memcore-acme", {DEVICES: {f"acme_{k}": "acme:Cell" for k in range(20)}})
    read = []
    whole = PathDistribution.read_text

    def counted(self, name):
        if name == "METADATA" and "acme" in str(self._path):
            read.append(name)
        return whole(self, name)

    monkeypatch.setattr(PathDistribution, "read_text", counted)
    assert "acme_7" in memcore.devices
    assert 1 <= len(read) <= 4  # for its name and its version, and where copies are compared


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(site, tmp_path, monkeypatch):
    site.install("memcore-acme", {DEVICES: {"acme_rram": "old:X"}}, version="1.0")
    editable = tmp_path / "editable" / "Memcore_Acme-2.0.dist-info"
    editable.mkdir(parents=True)
    (editable / "METADATA").write_text("Metadata-Version: 2.1\nName: Memcore_Acme\nVersion: 2.0\n")
    (editable / "entry_points.txt").write_text(f"[{DEVICES}]\nacme_rram = new:X\n")
    monkeypatch.syspath_prepend(editable.parent)
    memcore.devices.refresh()

    assert memcore.devices.provider("acme_rram").version == "2.0"


# -- unknown names --------------------------------------------------------------------------------


def test_unknown_name_is_answered_with_the_nearest_one(site):
    site.install("memcore", {DEVICES: {"vteam": "bundled:Cell", "ideal": "bundled:Cell"}})
    site.install("memcore-acme", {DEVICES: {"acme_rram": "acme:Cell"}})

    with pytest.raises(UnknownPluginError) as error:
        memcore.devices["acme_ram"]

    assert message(error) == "\n".join(
        [
            "no device named 'acme_ram'",
            "  did you mean: 'acme_rram' (memcore-acme)",
            "  installed: acme_rram, ideal, vteam",
            "  plugins declare names in the entry-point group 'memcore.devices'",
        ]
    )
    assert error.value.__context__ is None


def test_unknown_name_that_is_published_is_answered_with_the_command(monkeypatch):
    monkeypatch.setitem(KNOWN, "devices", {"acme_rram": "memcore-acme"})

    with pytest.raises(UnknownPluginError, match="it is in memcore-acme: pip install memcore-acme"):
        memcore.devices["acme_rram"]


def test_unknown_name_is_a_key_error_so_that_mapping_methods_work():
    assert "no_such" not in memcore.devices
    assert 3 not in memcore.devices
    assert memcore.devices.get("no_such") is None
    assert memcore.devices.get("no_such", 7) == 7
    assert issubclass(UnknownPluginError, KeyError)
    assert not issubclass(PluginLoadError, KeyError)
    assert not issubclass(DuplicatePluginError, KeyError)


@pytest.mark.parametrize("kind", memcore.registries())
def test_every_registry_names_its_group_and_what_it_holds(kind):
    registry = memcore.registries()[kind]

    assert getattr(memcore, kind) is registry
    with pytest.raises(UnknownPluginError, match=f"entry-point group 'memcore.{kind}'"):
        registry["no_such_thing"]


# -- clashes --------------------------------------------------------------------------------------


def install_bundled(site):
    """Put a made-up memcore in front of the real one."""
    site.install("memcore", {DEVICES: {"vteam": "memcore_plugins.devices.vteam:Vteam"}})
    site.install("memcore-acme", {DEVICES: {"vteam": "acme:Cell"}}, modules={"acme": DEVICE})


def test_bundled_name_keeps_its_meaning_and_the_clash_is_warned_of_once(site):
    install_bundled(site)

    with pytest.warns(PluginShadowWarning) as caught:
        found = memcore.devices["vteam"]

    assert found.__module__ == "memcore_plugins.devices.vteam"
    assert [str(w.message) for w in caught] == [
        "device 'vteam' is provided by 2 distributions:\n"
        "  memcore 0.3 (memcore_plugins.devices.vteam:Vteam)\n"
        "  memcore-acme 0.3 (acme:Cell)\n"
        'say which one: devices["memcore-acme:vteam"]'
    ]
    assert caught[0].filename == __file__
    assert memcore.devices["vteam"] is found
    assert memcore.devices.provider("vteam").distribution == "memcore"


@pytest.mark.parametrize("name", ["memcore-acme:vteam", "Memcore_Acme:vteam"])
def test_shadowed_plugin_is_reached_through_its_distribution(site, name):
    install_bundled(site)

    assert memcore.devices[name].__module__ == "acme"
    assert memcore.devices["memcore:vteam"].__module__ == "memcore_plugins.devices.vteam"
    assert name in memcore.devices


def test_two_third_parties_with_one_name_are_an_error_until_one_is_said(site):
    site.install("memcore-acme", {DEVICES: {"rram": "acme:Cell"}}, modules={"acme": DEVICE})
    site.install("memcore-zeta", {DEVICES: {"rram": "zeta:Cell"}}, modules={"zeta": DEVICE})

    with pytest.raises(DuplicatePluginError) as error:
        memcore.devices.get("rram")

    assert message(error) == (
        "device 'rram' is provided by 2 distributions:\n"
        "  memcore-acme 0.3 (acme:Cell)\n"
        "  memcore-zeta 0.3 (zeta:Cell)\n"
        'say which one: devices["memcore-acme:rram"]'
    )
    assert memcore.devices["memcore-zeta:rram"].__module__ == "zeta"


# -- broken plugins -------------------------------------------------------------------------------


def test_broken_plugin_leaves_the_others_usable(site):
    site.install(
        "memcore-acme",
        {DEVICES: {"good": "acme:Cell", "needs_jax": "jaxy:X", "gone": "acme:NoSuch"}},
        modules={"acme": DEVICE, "jaxy": "import no_such_jax\n"},
    )

    for name in ("needs_jax", "gone"):
        with pytest.raises(PluginLoadError):
            memcore.devices[name]

    assert memcore.devices["good"].__name__ == "Cell"
    assert {"good", "needs_jax", "gone"} <= set(memcore.devices)


def test_get_never_hides_a_broken_plugin(site):
    site.install(
        "memcore-acme",
        {DEVICES: {"needs_jax": "memcore_acme.jaxy:X"}},
        modules={"memcore_acme": ""},
    )

    with pytest.raises(PluginLoadError) as error:
        memcore.devices.get("needs_jax", None)

    assert message(error) == (
        "device 'needs_jax' from memcore-acme 0.3 (memcore_acme.jaxy:X) failed to import: "
        "ModuleNotFoundError: No module named 'memcore_acme.jaxy'; "
        "'memcore_acme' is not a package"
    )
    assert isinstance(error.value.__cause__, ModuleNotFoundError)


def test_entry_point_that_is_no_plugin_is_named(site):
    site.install("memcore-acme", {DEVICES: {"number": "acme:X"}}, modules={"acme": "X = 3"})

    with pytest.raises(
        PluginLoadError, match=r"'number' from .*acme:X\) is 3; expected a subclass of memcore.Mem"
    ):
        memcore.devices["number"]


@pytest.mark.parametrize("name", ["Vteam", "2d", "my-device", "_x"])
def test_name_that_is_no_name_is_refused(site, name):
    site.install("memcore-acme", {DEVICES: {name: "acme:Cell"}}, modules={"acme": DEVICE})

    with pytest.raises(PluginLoadError, match="names are lower-case words, digits and underscores"):
        memcore.devices[name]


def test_unreadable_metadata_of_one_package_changes_nothing_for_the_others(site):
    site.install("memcore-acme", {DEVICES: {"good": "acme:Cell"}})
    site.install("memcore-torn", {DEVICES: {"torn": "torn:X"}})
    (site.folder / "memcore_torn-0.3.dist-info" / "entry_points.txt").write_text(
        f"[{DEVICES}]\nno equals sign\n"
    )

    memcore.devices.refresh()
    with pytest.warns(MemcoreWarning, match=r"memcore_torn-0\.3\.dist-info cannot be read"):
        names = list(memcore.devices)

    assert "good" in names
    assert set(names) > {"good"}, "the bundled ones are there too"


def test_package_without_metadata_changes_nothing_for_the_others(site):
    site.install("memcore-acme", {DEVICES: {"good": "acme:Cell"}})
    site.install("memcore-bare", {DEVICES: {"bare": "bare:X"}})
    (site.folder / "memcore_bare-0.3.dist-info" / "METADATA").unlink()

    memcore.devices.refresh()
    with pytest.warns(MemcoreWarning, match="'bare'.*reinstall or remove|cannot be read"):
        names = list(memcore.devices)

    assert "good" in names
    assert "bare" not in names


# -- environment ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("MEMCORE_DISABLE", "memcore-acme", {"zeta"}),
        ("MEMCORE_DISABLE", "memcore_acme:one", {"two", "zeta"}),
        ("MEMCORE_DISABLE", "memcore-acme:one, memcore-zeta", {"two"}),
        ("MEMCORE_DISABLE", "", {"one", "two", "zeta"}),
        ("MEMCORE_PLUGINS", "memcore-acme", {"one", "two"}),
        ("MEMCORE_PLUGINS", "Memcore.Zeta,other", {"zeta"}),
        ("MEMCORE_PLUGINS", "", set()),
    ],
)
def test_environment_says_whose_plugins_are_seen(site, monkeypatch, variable, value, expected):
    site.install("memcore-acme", {DEVICES: {"one": "acme:Cell", "two": "acme:Cell"}})
    site.install("memcore-zeta", {DEVICES: {"zeta": "zeta:Cell"}})
    bundled = set(memcore.devices) - {"one", "two", "zeta"}
    monkeypatch.setenv(variable, value)
    memcore.devices.refresh()

    assert set(memcore.devices) == bundled | expected


def test_distribution_that_calls_itself_memcore_is_held_back_like_others(site, monkeypatch):
    site.install("memcore", {DEVICES: {"one": "other:Cell"}}, modules={"other": DEVICE})
    assert "one" in memcore.devices
    monkeypatch.setenv("MEMCORE_PLUGINS", "memcore-acme")
    memcore.devices.refresh()

    assert "one" not in memcore.devices


@pytest.mark.parametrize("ending", ["sys.exit()", "raise GeneratorExit", "raise BaseException"])
def test_plugin_that_ends_the_process_ends_nothing_but_itself(site, ending):
    source = f"import sys\n{ending}"
    site.install("memcore-broken", {DEVICES: {"one": "broken:Cell"}}, modules={"broken": source})

    with pytest.raises(
        PluginLoadError, match=r"device 'one' from memcore-broken .* failed to import"
    ):
        memcore.devices["one"]
    assert issubclass(memcore.devices["vteam"], memcore.Memristor)


def test_interrupt_by_the_user_passes(site):
    source = "raise KeyboardInterrupt"
    site.install("memcore-slow", {DEVICES: {"one": "slow_one:Cell"}}, modules={"slow_one": source})
    with pytest.raises(KeyboardInterrupt):
        memcore.devices["one"]


def test_metadata_control_no_terminal(site):
    site.install("memcore-acme", {DEVICES: {"one\x1b[2J": "acme\x07:Cell"}}, version="0.3\x1b]0;x")

    (found,) = [p for p in memcore.devices.providers() if p.name.startswith("one")]
    assert (found.name, found.target) == (r"one\x1b[2J", r"acme\x07:Cell")
    assert "\x1b" not in f"{found}{memcore.devices!r}"


@pytest.mark.parametrize("name", [2, None, ("vteam",), ["vteam"], b"vteam"])
def test_what_is_no_name_is_an_unknown_name(name):
    with pytest.raises(UnknownPluginError, match="names no device; expected a string, one of"):
        memcore.devices[name]
    assert name not in memcore.devices


# -- this process ---------------------------------------------------------------------------------


@pytest.fixture
def cell(site):
    site.install("memcore-acme", {DEVICES: {"acme_rram": "acme:Cell"}}, modules={"acme": DEVICE})
    cell = memcore.devices["acme_rram"]
    yield type("Mine", (cell,), {})
    for name in ("mine", "acme_rram"):
        if memcore.devices.provider(name).distribution == "(this process)":
            memcore.devices.unregister(name)


def test_registered_class_is_found_and_forgotten(cell):
    assert memcore.devices.register("mine", cell) is cell
    assert memcore.devices["mine"] is cell
    assert "mine" in memcore.devices
    assert "mine" in list(memcore.devices)
    assert memcore.devices.provider("mine").distribution == "(this process)"

    memcore.devices.unregister("mine")
    assert "mine" not in memcore.devices
    with pytest.raises(UnknownPluginError, match="'mine' was not registered in this process"):
        memcore.devices.unregister("mine")
    memcore.devices.register("mine", cell)


def test_registering_a_taken_name_needs_replace(cell):
    installed = memcore.devices["acme_rram"]

    with pytest.raises(
        DuplicatePluginError, match=r"already provided by memcore-acme 0\.3 .*replace"
    ):
        memcore.devices.register("acme_rram", cell)
    assert memcore.devices["acme_rram"] is installed

    memcore.devices.register("acme_rram", cell, replace=True)
    memcore.devices.register("mine", cell)
    assert memcore.devices["acme_rram"] is cell
    assert memcore.devices["memcore-acme:acme_rram"] is installed

    memcore.devices.unregister("acme_rram")
    assert memcore.devices["acme_rram"] is installed


def test_registering_checks_name_and_contract(cell):
    memcore.devices.register("mine", cell)
    with pytest.raises(PluginLoadError, match="names are lower-case"):
        memcore.devices.register("Not-A-Name", cell)
    with pytest.raises(PluginLoadError, match="names are lower-case"):
        memcore.devices.register("mine\n", cell)
    with pytest.raises(PluginLoadError, match=r"expected a subclass of memcore\.Memristor"):
        memcore.devices.register("number", 3)
    assert "number" not in memcore.devices


def test_threads_see_one_scan_and_one_class(site):
    site.install("memcore-acme", {DEVICES: {"acme_rram": "acme:Cell"}}, modules={"acme": DEVICE})
    barrier = threading.Barrier(8)
    found, failed = [], []

    def look():
        barrier.wait()
        try:
            found.append(memcore.devices["acme_rram"])
        except RegistryError as error:
            failed.append(error)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    assert len(found) == 8
    assert len(set(found)) == 1


def test_package_installed_while_running_is_seen_after_a_refresh(site):
    assert "acme_rram" not in memcore.devices
    info = site.folder / "memcore_acme-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memcore-acme\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{DEVICES}]\nacme_rram = acme:Cell\n")
    assert "acme_rram" not in memcore.devices

    memcore.devices.refresh()

    assert "acme_rram" in memcore.devices


def test_looking_up_a_bundled_name_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert memcore.devices["ideal"].__name__ == "Ideal"
