"""A package that is not ours, from its build to its removal, in an environment of its own."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

import memcore
from memcore import PluginLoadError

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "plugins" / "example"

BROKEN = """
from dataclasses import dataclass
from memcore.testing.cases import ReferenceDevice

@dataclass(frozen=True, kw_only=True)
class Misspelt(ReferenceDevice):
    def step(self, state, volts, dt, ctx):
        return state

@dataclass(frozen=True, kw_only=True)
class FromTheFuture(ReferenceDevice):
    api = 99

@dataclass(frozen=True, kw_only=True)
class Fine(ReferenceDevice):
    pass
"""
BROKEN_ENTRIES = {
    "needs_jax": "memcore_broken_jax:Cell",
    "misspelt": "memcore_broken:Misspelt",
    "future": "memcore_broken:FromTheFuture",
    "fine": "memcore_broken:Fine",
}
BROKEN_MODULES = {"memcore_broken": BROKEN, "memcore_broken_jax": "import no_such_jax\n"}

#: What a layer of memcore lives through, of one that memcore does not know.
LIFE = """
import torch
from memcore_example.gated import GatedLinear, MemristiveGatedLinear
from torch import nn

import memcore

model = nn.Sequential(GatedLinear(6, 8), nn.Tanh(), nn.Linear(8, 3))
x, names = torch.randn(32, 6), ["0.value", "0.gate", "2"]
config = memcore.CrossbarConfig(
    device="example_rram", nonidealities=["drift", "example_column_gain"], adc="uniform"
)
mem = memcore.convert(model, config, calibration=x)
assert type(mem[0]) is MemristiveGatedLinear
assert [layer.name for layer in memcore.summary(mem).layers] == names
assert [layer.name for layer in memcore.yields.yield_report(mem).layers] == names
assert memcore.check_ideal(mem, x)

with torch.no_grad():
    fresh, digital = mem(x), model(x)
    memcore.age(mem, seconds=1e5)
    assert not torch.equal(mem(x), fresh)
    memcore.program(mem)
    assert torch.equal(mem(x), fresh)

memcore.age(mem, seconds=1e5)
budget = memcore.diagnose(mem, [(x, digital)], lambda y, wanted: -float((y - wanted).norm()))
assert [effect.name for effect in budget.effects if effect.acts] == [
    "drift", "example_column_gain", "adc"
]
assert "memcore-example" in str(memcore.provenance(mem))

back = memcore.revert_(mem)
assert type(back[0]) is GatedLinear
with torch.no_grad():
    assert torch.equal(back(x), digital)
print("lived")
"""


# -- in this process -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("needs_jax", "failed to import: ModuleNotFoundError: No module named 'no_such_jax'"),
        ("misspelt", r"\{'volts'\} .* should be \(self, state, voltage, dt, ctx\)"),
        ("future", r"was written for Memristor API 99; .* install a newer memcore"),
    ],
    ids=["import error", "wrong signature", "future api"],
)
def test_broken_plugin_is_described_and_changes_nothing_for_the_others(site, name, reason):
    before = {kind: set(registry) for kind, registry in memcore.registries().items()}
    site.install("memcore-broken", {"memcore.devices": BROKEN_ENTRIES}, modules=BROKEN_MODULES)

    with pytest.raises(
        PluginLoadError, match=f"(?s)device '{name}' from memcore-broken .*{reason}"
    ):
        memcore.devices[name]

    assert memcore.devices["fine"].__name__ == "Fine"
    assert memcore.devices["ideal"].__module__ == "memcore_plugins.devices.ideal"
    after = {kind: set(registry) for kind, registry in memcore.registries().items()}
    assert after == {**before, "devices": before["devices"] | set(BROKEN_ENTRIES)}


# -- in an environment of its own ------------------------------------------------------------------


class Environment:
    """A fresh virtual environment with the torch of this one, and nothing of this memcore."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Without pip: the outer one installs with --python, which saves ten seconds.
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        scheme = {"base": str(folder / "venv"), "platbase": str(folder / "venv")}
        self.site = Path(sysconfig.get_path("purelib", "venv", scheme))
        self._borrow(folder / "borrowed")

    def _borrow(self, links: Path) -> None:
        """Let torch and the rest be found, but no memcore and no plugin of the outer environment.

        `--system-site-packages` would show those of the interpreter that made the outer
        environment, and the outer site-packages on the path would show its memcore and whatever
        plugins it has. So the path gets a folder of links to everything else.
        """
        links.mkdir()
        for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
            for entry in Path(place).iterdir():
                ours = "memcore" in entry.name.lower() or entry.suffix == ".pth"
                if not ours and not (links / entry.name).exists():
                    (links / entry.name).symlink_to(entry)
        (self.site / "borrowed.pth").write_text(f"{links}\n")

    def pip(self, *arguments: str | Path) -> None:
        python = self.bin / "python"
        run(sys.executable, "-m", "pip", "--python", python, *arguments, cwd=self.folder)

    def run(self, *command: str | Path, fails_with: int = 0) -> str:
        """Run a program of the environment outside the checkout; what it printed."""
        program = self.bin / command[0]
        return run(program, *command[1:], cwd=self.folder, status=fails_with)


def run(*command: str | Path, cwd: Path, status: int = 0) -> str:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MEMCORE_", "PYTHON", "PYTEST"))
    }
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**clean, "OMP_WAIT_POLICY": "PASSIVE", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def build(source: Path, folder: Path, backends: list[str], *options: str) -> Path:
    """Build a wheel; with the backend of this environment where it is, else from the index."""
    offline = ["--no-build-isolation"] if all(map(find_spec, backends)) else []
    wheels = folder / f"wheels-{source.name}"
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", *offline, *options)
    run(*pip, "--wheel-dir", wheels, source, cwd=folder)
    (wheel,) = wheels.iterdir()
    return wheel


def write_study(folder: Path) -> Path:
    """The example's study, made tiny."""
    text = (EXAMPLE / "study.toml").read_text()
    for long, short in (("epochs = 3", "epochs = 1"), ("samples = 200", "samples = 40")):
        assert long in text
        text = text.replace(long, short)
    study = folder / "tiny.toml"
    study.write_text(text)
    return study


@pytest.mark.slow
def test_third_party_package_lives_and_goes(tmp_path):
    there = Environment(tmp_path)
    # The module of the processor alone, in the way that takes the least time.
    quick = (f"MEMCORE_{name}" for name in ("CUDA=OFF", "PORTABLE=ON", "QUICK=ON"))
    options = (f"-Cbuild-dir={tmp_path / 'build'}", *(f"-Ccmake.define.{each}" for each in quick))
    there.pip(
        *("install", "--quiet", "--no-deps", "--no-index"),
        build(ROOT, tmp_path, ["scikit_build_core", "pybind11"], *options),
    )
    where = "import memcore, memcore_plugins; print(memcore.__file__, memcore_plugins.__file__)"
    places = there.run("python", "-c", where).split()
    assert all(str(there.site) in place for place in places), "not the checkout's memcore"
    assert "_cpu" in there.run("memcore", "doctor", "--require-native")
    assert "example" not in there.run("memcore", "plugins")

    # Setuptools builds inside the source folder.
    source = shutil.copytree(EXAMPLE, tmp_path / "example")
    wheel = build(source, tmp_path, ["setuptools"])
    there.pip("install", "--quiet", "--no-deps", "--no-index", wheel)
    assert_found(there)
    assert "lived" in there.run("python", "-c", LIFE)
    assert_study_runs(there, write_study(tmp_path))

    install_broken(there.site)
    assert_broken_changes_nothing(there)

    there.pip("uninstall", "--quiet", "--yes", "memcore-example")
    error = there.run("memcore", "run", tmp_path / "tiny.toml", "--fresh", fails_with=2)
    assert "no device named 'example_rram'" in error
    assert "entry-point group 'memcore.devices'" in error
    assert "Traceback" not in error

    there.run("memcore", "new-plugin", "memcore-mylab")
    assert (tmp_path / "memcore-mylab" / "src" / "memcore_mylab" / "rram.py").is_file()


def assert_found(there: Environment) -> None:
    code = "import memcore; print(memcore.devices['example_rram'].__module__)"
    assert there.run("python", "-c", code).strip() == "memcore_example.rram"
    rows = {row["name"]: row for row in json.loads(there.run("memcore", "plugins", "--json"))}
    row = rows["example_rram"]
    assert (row["distribution"], row["version"], row["status"]) == (
        "memcore-example",
        "0.1.0",
        "not loaded",
    )
    table = there.run("memcore", "plugins", "--check")
    assert "broken" not in table
    assert "example_column_gain" in table
    assert "example_gated" in table


def assert_study_runs(there: Environment, study: Path) -> None:
    there.run("memcore", "run", study, "--quiet", "--chips", "2", "--out", "results")
    results = there.folder / "results"
    (table,) = results.glob("*.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(row["nonidealities.example_column_gain.std"]) for row in rows] == [0.0, 0.05, 0.2]
    assert all(0 <= float(row["mean"]) <= 100 for row in rows)
    written = "".join(path.read_text() for path in results.rglob("*.json"))
    assert "memcore-example" in written, "results can be traced to the package"


def install_broken(site: Path) -> None:
    info = site / "memcore_broken-0.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: memcore-broken\nVersion: 0.3\n")
    entries = "\n".join(f"{name} = {target}" for name, target in BROKEN_ENTRIES.items())
    (info / "entry_points.txt").write_text(f"[memcore.devices]\n{entries}\n")
    for name, source in BROKEN_MODULES.items():
        (site / f"{name}.py").write_text(source)


def assert_broken_changes_nothing(there: Environment) -> None:
    table = there.run("memcore", "plugins", "--check", fails_with=1)
    status = {
        line.split()[1]: line.split()[-1] for line in table.splitlines() if ".devices" in line
    }
    assert {name for name in status if status[name] == "broken"} == {
        "needs_jax",
        "misspelt",
        "future",
    }
    assert status["fine"] == status["example_rram"] == status["ideal"] == "ok"
    code = "import memcore; print(memcore.devices['example_rram']())"
    assert "ExampleRram" in there.run("python", "-c", code)
