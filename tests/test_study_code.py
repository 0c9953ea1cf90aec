"""The user's own code is part of what a study is: a change of it is never overlooked."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from memcore import study
from memcore.errors import StudyError
from memcore.study import sources

NET = """
from torch import nn
def net(width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, model: Any = "own_net:net", **options: Any) -> study.Results:
    general = {"name": "s", "model": model, "chips": 1, "samples": 100}
    content = {"study": general, "train": {"epochs": 2}, "crossbar": {"device": "ideal"}}
    return study.run(content, options.pop("out", folder / "out"), **options)


def weights(out: Path) -> torch.Tensor:
    return load_file(out / "model.safetensors")["1.weight"]


def test_a_changed_model_function_is_another_study(folder: Path) -> None:
    (folder / "own_net.py").write_text(NET)
    run(folder)
    before = weights(folder / "out")
    (folder / "own_net.py").write_text(NET.replace("ReLU()", "Tanh()"))
    with pytest.raises(StudyError, match=r"holds another study:\n  code\.own_net: \w+ there"):
        run(folder)
    changed = run(folder, fresh=True)
    assert not torch.equal(weights(folder / "out"), before)
    elsewhere = run(folder, out=folder / "other")
    assert torch.equal(weights(folder / "out"), weights(folder / "other"))
    assert [row.correct for row in changed] == [row.correct for row in elsewhere]


def test_the_network_that_other_code_trained_is_not_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "own_net.py").write_text(NET)
    run(folder)
    (folder / "own_net.py").write_text(NET.replace("ReLU()", "Threshold(9.0, 0.0)"))
    results = run(folder, fresh=True)
    assert "model.safetensors is torn or of another network, code or recipe" in caplog.text
    assert results.baseline < 0.2


def test_a_network_that_changed_its_shape_is_trained_again(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "own_net.py").write_text(NET)
    run(folder)
    (folder / "own_net.py").write_text(NET.replace("width=8", "width=12"))
    assert run(folder, fresh=True).complete
    assert "training again" in caplog.text


def test_a_shape_that_the_code_does_not_show_is_trained_again_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "own_net.py").write_text(
        "import os\nfrom torch import nn\ndef net():\n    width = int(os.environ['OWN_WIDTH'])\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))\n"
    )
    monkeypatch.setenv("OWN_WIDTH", "8")
    run(folder)
    monkeypatch.setenv("OWN_WIDTH", "12")
    with caplog.at_level(logging.WARNING, "memcore.study"):
        assert run(folder).complete
    assert "does not fit the model Sequential" in caplog.text
    assert "training again" in caplog.text


def test_what_a_function_imports_counts_wherever_it_stands(folder: Path) -> None:
    package = folder / "own_pack"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "blocks.py").write_text("WIDTH = 8\n")
    (package / "aside.py").write_text("nothing = 1\n")
    (folder / "own_helper.py").write_text("def late():\n    import own_last\n")
    (folder / "own_last.py").write_text("x = 1\n")
    (package / "nets.py").write_text("from .deep.blocks import WIDTH\nimport own_helper, torch\n")
    found = sources.code(["own_pack.nets:net", "digits"], folder)
    assert set(found) == {
        *("own_pack", "own_pack.nets", "own_pack.deep", "own_pack.deep.blocks"),
        *("own_helper", "own_last"),
    }
    (package / "deep" / "blocks.py").write_text("WIDTH = 9\n")
    changed = sources.code(["own_pack.nets:net"], folder)
    assert {name for name in found if found[name] != changed[name]} == {"own_pack.deep.blocks"}


def test_neither_installed_packages_nor_memcore_are_the_users(folder: Path) -> None:
    (folder / "own_net.py").write_text("import memcore, torch, json, click\n")
    assert list(sources.code(["own_net:net"], folder)) == ["own_net"]


def test_an_edited_helper_is_imported_anew_within_one_process(folder: Path) -> None:
    (folder / "own_size.py").write_text("WIDTH = 8\n")
    (folder / "own_net.py").write_text(
        "from torch import nn\nfrom own_size import WIDTH\n"
        "def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, WIDTH), "
        "nn.Linear(WIDTH, 10))\n"
    )
    run(folder)
    (folder / "own_size.py").write_text("WIDTH = 9\n")  # same length, within the same second
    run(folder, fresh=True)
    assert weights(folder / "out").shape == (9, 64)


def test_modules_of_one_name_in_two_folders_are_two(folder: Path) -> None:
    widths = []
    for name, width in (("a", 3), ("b", 20)):
        (folder / name).mkdir()
        (folder / name / "own_net.py").write_text(NET.replace("width=8", f"width={width}"))
        file = folder / name / "study.toml"
        file.write_text(
            '[study]\nmodel = "own_net:net"\nchips = 1\nsamples = 50\n[train]\nepochs = 1\n'
            '[crossbar]\ndevice = "ideal"\n'
        )
        study.run(file, folder / name / "out")
        widths.append(len(weights(folder / name / "out")))
    assert widths == [3, 20]


def test_the_text_of_a_metric_and_of_a_plugin_counts_too(folder: Path) -> None:
    (folder / "own_net.py").write_text(NET)
    (folder / "own_metric.py").write_text("def score(outputs, targets):\n    return 1.0\n")
    general = {"model": "own_net:net", "metric": "own_metric:score", "chips": 1, "samples": 50}
    content = {"study": general, "train": {"epochs": 1}, "crossbar": {"device": "ideal"}}
    assert study.run(content, folder / "out").baseline == 1.0
    (folder / "own_metric.py").write_text("def score(outputs, targets):\n    return 2.0\n")
    with pytest.raises(StudyError, match=r"code\.own_metric"):
        study.run(content, folder / "out")
    assert study.run(content, folder / "out", fresh=True).baseline == 2.0


def test_code_that_cannot_be_seen_is_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = {"study": {"model": "__main__:own_net", "chips": 1}, "crossbar": {"device": "ideal"}}
    main = sys.modules["__main__"]
    had = getattr(main, "__file__", None)
    try:
        main.__file__ = None  # as in a notebook
        main.own_net = dict  # type: ignore[attr-defined]
        with pytest.raises(StudyError, match="returned dict"):
            study.run(content, folder / "out")
    finally:
        main.__file__ = had
        del main.own_net  # type: ignore[attr-defined]
    assert "the text of __main__:own_net cannot be seen" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("def net(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("def net():\n    raise KeyError('x')", "fails: KeyError"),
        ("net = 3", "is int; expected a function"),
    ],
)
def test_a_module_that_fails_is_a_study_error(folder: Path, text: str, words: str) -> None:
    (folder / "own_net.py").write_text(text)
    with pytest.raises(StudyError, match=words):
        run(folder)


@pytest.mark.parametrize("name", [":x", "x:", ":", ".x:y", "x..y:z", "a b:c"])
def test_what_is_no_name_of_a_function_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(StudyError, match="is no name of a function"):
        run(folder, name)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return {'logits': x}", "the network returns dict; expected a tensor"),
        ("return x @ x", "fails on images of shape"),
        ("return x[0]", r"returns shape \[10\] for 500 images"),
        ("return x[:, :1]", "at least two outputs for each label"),
        ("return x[:, :5]", "labels reach from 0 to 9, but the network has 5 outputs"),
    ],
)
def test_outputs_that_cannot_be_judged_are_explained(folder: Path, body: str, words: str) -> None:
    (folder / "own_net.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.f = nn.Linear(64, 10)\n"
        f"    def forward(self, x):\n        x = self.f(x.flatten(1)); {body}\n"
        "def net():\n    return Net()\n"
    )
    with pytest.raises(StudyError, match=words):
        study.run(
            {
                "study": {"model": "own_net:net", "chips": 1},
                "train": {"epochs": 0},
                "crossbar": {"device": "ideal"},
            },
            folder / "out",
        )


def test_edited_code_is_seen_by_the_command_too(folder: Path) -> None:
    (folder / "own_net.py").write_text(NET)
    (folder / "s.toml").write_text(
        '[study]\nname = "s"\nmodel = "own_net:net"\nchips = 1\nsamples = 50\n'
        '[train]\nepochs = 1\n[crossbar]\ndevice = "ideal"\n'
    )
    study.run(Path("s.toml"), Path("results", "s"), progress=False)
    command = [sys.executable, "-m", "memcore", "run", "s.toml"]
    (folder / "own_net.py").write_text(NET.replace("ReLU()", "Tanh()"))
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "code.own_net" in done.stderr
