"""What an installed memcore does without its sources; `cibuildwheel` asks it of every wheel."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import memcore


def command(*words: str, folder: Path) -> str:
    """What the program `memcore` prints."""
    program = [sys.executable, "-P", "-m", "memcore", *words]
    done = subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


compiled = pytest.mark.skipif(
    os.environ.get("MEMCORE_NATIVE") == "0", reason="MEMCORE_NATIVE=0 leaves the module out"
)


@compiled
def test_the_compiled_module_is_in_use(tmp_path: Path) -> None:
    assert "_cpu" in command("doctor", "--require-native", folder=tmp_path)


@compiled
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process has loaded")
def test_a_process_has_one_openmp_runtime() -> None:
    """With two thread pools, each call of a kernel takes milliseconds."""
    code = """
import memcore.native
assert memcore.native.cpu()
files = {line.split()[-1] for line in open("/proc/self/maps")}
print(*[file for file in files if "gomp" in file or "iomp" in file])
"""
    program = [sys.executable, "-P", "-c", code]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert len(done.stdout.split()) == 1


def test_version_and_metadata_agree(tmp_path: Path) -> None:
    assert command("--version", folder=tmp_path).split()[-1] == memcore.__version__
    assert importlib.metadata.version("memcore") == memcore.__version__


def test_every_plugin_is_found(tmp_path: Path) -> None:
    for kind, registry in memcore.registries().items():
        mine = [each for each in registry.providers() if each.distribution == "memcore"]
        assert mine, kind
        for provider in mine:
            assert registry[provider.qualified]


def test_a_network_is_converted_and_reverted() -> None:
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    x = torch.rand(100, 64)
    config = memcore.CrossbarConfig(device="vteam", nonidealities=["read_noise"], adc="uniform")
    chip = memcore.convert(model, config, seed=0, calibration=x)
    assert memcore.check_ideal(chip, x)
    with torch.no_grad():
        assert not torch.equal(chip(x), model(x))
        assert torch.equal(memcore.revert_(chip)(x), model(x))


def test_the_packaged_study_runs(tmp_path: Path) -> None:
    table = command("demo", "--quiet", "--chips", "1", "--samples", "20", folder=tmp_path)
    assert "digital baseline" in table
    assert (tmp_path / "demo-results" / "plot.png").is_file()


def test_the_template_of_plugins_is_there(tmp_path: Path) -> None:
    command("new-plugin", "memcore-mylab", folder=tmp_path)
    assert (tmp_path / "memcore-mylab" / "src" / "memcore_mylab" / "rram.py").is_file()
