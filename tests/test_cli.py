import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from memcore import __version__
from memcore.cli.main import main


def memcore(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("words", [["--help"], ["spice", "--help"]])
def test_the_list_of_commands_is_of_whole_sentences(words: list[str]) -> None:
    _, _, commands = memcore(*words).output.partition("Commands:\n")
    assert commands
    assert all(line.endswith((".", "`.")) and "..." not in line for line in commands.splitlines())


def options(command: click.Command, path: str = "memcore") -> Iterator[tuple[str, click.Option]]:
    """Every option of every command, with the words that one types."""
    for each in command.params:
        if isinstance(each, click.Option):
            yield f"{path} {each.opts[0]}", each
    for name, child in (command.commands if isinstance(command, click.Group) else {}).items():
        yield from options(child, f"{path} {name}")


@pytest.mark.parametrize(("words", "option"), list(options(main)))
def test_the_help_of_an_option_is_a_phrase_that_ends(words: str, option: click.Option) -> None:
    text, _, default = (option.help or "").partition("  [default: ")
    assert re.match("[A-Z].* .*[^.]$", text.removesuffix(".")), words
    assert text.endswith((".", ". or ,")), words
    assert default == "" or default.endswith("]"), words
    assert not (default and option.show_default), "said twice"


def test_the_version_and_the_help_import_no_torch() -> None:
    code = (
        "import sys; from memcore.cli.main import main\n"
        "for words in (['--version'], ['--help'], ['run', '--help'], ['plugins']):\n"
        "    main(words, standalone_mode=False)\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert __version__ in done.stdout


def test_every_plugin_is_listed_with_its_package() -> None:
    rows = json.loads(memcore("plugins", "--json").stdout)
    (drift,) = [row for row in rows if row["name"] == "linear_ion_drift"]
    assert drift["group"] == "memcore.devices"
    assert (drift["distribution"], drift["version"]) == ("memcore", __version__)
    assert drift["target"] == "memcore_plugins.devices.linear_ion_drift:LinearIonDrift"


def test_check_finds_all_bundled_plugins_in_order() -> None:
    done = memcore("plugins", "--check", "--json")
    rows = [row for row in json.loads(done.stdout) if row["distribution"] == "memcore"]
    assert {row["status"] for row in rows} == {"ok"}


def test_a_broken_plugin_is_named_and_changes_nothing_for_the_others(site: Any) -> None:
    site.install(
        "memcore-acme",
        {"memcore.devices": {"broken": "acme_broken:Device", "vteam": "acme_broken:Vteam"}},
        modules={"acme_broken": "import no_such_module"},
    )
    done = memcore("plugins", "--check")
    assert done.exit_code == 1
    status = {
        tuple(line.split()[1:3]): line.split()[-1]
        for line in done.stdout.splitlines()
        if line.startswith("memcore.")
    }
    assert status["broken", "memcore-acme"] == "broken"
    assert status["vteam", "memcore-acme"] == "broken"
    assert status["vteam", "memcore"] == "ok"
    assert "No module named 'no_such_module'" in done.stdout


def test_hooks_and_computed_names_are_listed_too(site: Any) -> None:
    site.install(
        "memcore-acme",
        {"memcore.hooks": {"files": "acme_hooks", "bad": "acme_bad_hooks"}},
        modules={
            "acme_hooks": "import memcore\n@memcore.hookimpl\n"
            "def memcore_register(registries):\n"
            "    ideal = registries['devices']['ideal']\n"
            "    registries['devices'].register('from_a_file', ideal)\n",
            "acme_bad_hooks": "import memcore\n@memcore.hookimpl\n"
            "def memcore_report(modle): return []\n",
        },
    )
    rows = json.loads(memcore("plugins", "--check", "--json").stdout)
    status = {(row["group"], row["name"]): row["status"] for row in rows}
    assert status["memcore.hooks", "files"] == "ok"
    assert status["memcore.hooks", "bad"] == "broken"
    assert status["memcore.devices", "from_a_file"] == "ok"


def test_doctor_says_what_is_in_use() -> None:
    done = memcore("doctor")
    assert done.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert __version__ in lines["memcore"]
    assert lines["_cpu"].startswith(("loaded", "not in use"))
    assert "threads" in lines["torch"]


def test_doctor_fails_if_the_native_module_is_required_and_missing() -> None:
    command = [sys.executable, "-m", "memcore", "doctor", "--require-native"]

    environment = {**os.environ, "MEMCORE_NATIVE": "0", "MEMCORE_REQUIRE_NATIVE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    assert "error: the native kernels are required, but MEMCORE_NATIVE=0" in done.stderr


def test_an_error_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = memcore("run", tmp_path / "none.toml")
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: there is no study file '{tmp_path / 'none.toml'}'; ")
    assert "demo, ir_drop_sizes, reference_offset, reference_states, sensing" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("device vteam --plot {0}/x.xyz", "picture '{0}/x.xyz'; expected a name that ends in one "),
        ("device vteam --plot {0}/x", "picture '{0}/x'; expected a name that ends in one of .avif"),
        ("device vteam --plot {0}/no/x.png", "there is no folder '{0}/no' to write 'x.png' into"),
        ("device pcm --plot {0}/x.png", "there is no loop to draw: Pcm is known by its statistics"),
        ("spice netlist -o {0}/no/x.cir", "there is no folder '{0}/no' to write 'x.cir' into"),
        ("demo --out {0}/file/x", "folder '{0}/file/x' cannot be made: '{0}/file' is no folder"),
        ("run demo --out {0}/file/x/y", "folder '{0}/file/x/y' cannot be made: '{0}/file' is"),
        ("new-plugin memcore-lab --out {0}/file/x", "folder '{0}/file/x' cannot be made"),
    ],
)
def test_what_cannot_be_written_is_said_in_one_line_before_the_work(
    tmp_path: Path, words: str, message: str
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    done = memcore(*words.format(tmp_path).split())
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: " + message.format(tmp_path).partition(" of .avif")[0])
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_traceback_is_there_for_who_asks(tmp_path: Path) -> None:
    done = memcore("--traceback", "run", tmp_path / "none.toml")
    assert type(done.exception).__name__ == "StudyError"


@pytest.mark.parametrize("words", [["run"], ["demo", "--chips", "0"], ["nonsense"]])
def test_wrong_usage_is_explained(words: list[str]) -> None:
    done = memcore(*words)
    assert done.exit_code == 2
    assert "Usage: " in done.stderr


def test_the_demo_ends_with_the_table_and_the_files(tmp_path: Path) -> None:
    done = memcore("demo", "--out", tmp_path, "--chips", 2, "--samples", 40)
    assert done.exit_code == 0, done.output
    *_, table, plot = done.stdout.splitlines()
    assert table == f"table {tmp_path / 'results.csv'}"
    assert plot == f"plot  {tmp_path / 'plot.png'}"
    assert (tmp_path / "plot.png").is_file()
    assert "digits_vgg.safetensors" in done.stderr
    assert not (tmp_path / "model.safetensors").exists()
    for words in ("digital baseline", "2 chips", "r_off / r_on", "states"):
        assert words in done.stdout


@pytest.mark.slow
def test_the_demo_trains_a_network_of_its_own_when_asked(tmp_path: Path) -> None:
    done = memcore("demo", "--train", "--out", tmp_path, "--chips", 1, "--samples", 10)
    assert done.exit_code == 0, done.output
    assert "training digits_vgg" in done.stderr
    assert (tmp_path / "model.safetensors").is_file()


def test_weights_and_training_exclude_each_other(tmp_path: Path) -> None:
    done = memcore("run", "demo", "--train", "--checkpoint", "x.pt", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "--checkpoint and --train exclude each other" in done.stderr


@pytest.mark.parametrize(
    ("words", "does"),
    [
        (["train", "mine.toml"], "begins anew"),
        (["run", "mine.toml"], "goes on where this one stopped"),
        (["search", "mine.toml"], "goes on where this one stopped"),
    ],
)
def test_an_interrupted_command_says_whether_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], does: str
) -> None:
    """A study keeps its chips; a fit and a training of this command keep nothing."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text("")
    monkeypatch.setattr(main.commands[words[0]], "callback", interrupt)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 130
    assert f"the same command {does}" in done.output
