"""`memcore convert-checkpoint`: the only place where a file is unpickled, and it says so."""

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

import memcore
from memcore.cli.main import main
from memcore.errors import StudyError
from memcore.study.checkpoints import load_weights
from memcore.study.foreign import convert_checkpoint


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))


WEIGHTS = network().state_dict()


@pytest.mark.parametrize(
    ("content", "key", "stripped", "left_out"),
    [
        (WEIGHTS, "", "", ()),
        ({"state_dict": WEIGHTS, "epoch": 3}, "state_dict", "", ("epoch",)),
        (
            {"model_state_dict": WEIGHTS, "optimizer": {"state": {}}},
            "model_state_dict",
            "",
            ("optimizer",),
        ),
        ({"net": WEIGHTS, "acc": 95.1, "epoch": 1}, "net", "", ("acc", "epoch")),
        ({f"module.{k}": v for k, v in WEIGHTS.items()}, "", "module.", ()),
        ({f"module._orig_mod.{k}": v for k, v in WEIGHTS.items()}, "", "module._orig_mod.", ()),
    ],
)
def test_weights_are_taken_out_of_what_training_scripts_wrap_them_in(
    tmp_path: Path, content: Any, key: str, stripped: str, left_out: tuple[str, ...]
) -> None:
    torch.save(content, tmp_path / "w.pt")
    done = convert_checkpoint(tmp_path / "w.pt", tmp_path / "w.safetensors")
    assert (done.key, done.stripped, done.left_out) == (key, stripped, left_out)
    model = network()
    load_weights(model, tmp_path / "w.safetensors")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, WEIGHTS[name])


def test_one_of_several_is_chosen_by_its_key(tmp_path: Path) -> None:
    ema = {name: 2 * tensor for name, tensor in WEIGHTS.items()}
    torch.save({"model": WEIGHTS, "ema": ema}, tmp_path / "w.pt")
    with pytest.raises(StudyError, match="several may be meant: model, ema; say which with --key"):
        convert_checkpoint(tmp_path / "w.pt", tmp_path / "w.safetensors")
    convert_checkpoint(tmp_path / "w.pt", tmp_path / "w.safetensors", key="ema")
    assert torch.equal(load_file(tmp_path / "w.safetensors")["0.weight"], ema["0.weight"])


def test_another_beginning_of_names_is_taken_off_on_request(tmp_path: Path) -> None:
    save_file({f"model.{k}": v for k, v in WEIGHTS.items()}, tmp_path / "w.safetensors")
    convert_checkpoint(tmp_path / "w.safetensors", tmp_path / "out.safetensors", strip="model.")
    assert set(load_file(tmp_path / "out.safetensors")) == set(WEIGHTS)
    with pytest.raises(StudyError, match="not all names begin with 'net'"):
        convert_checkpoint(tmp_path / "w.safetensors", tmp_path / "other", strip="net")


class Trap:
    """Unpickling it would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (network(), "save model.state_dict"),
        ([1, 2], "holds list; expected a state_dict"),
        ({"acc": 95.1, "epoch": 3}, "holds acc, epoch, of which none is a state_dict"),
        ({}, "none is a state_dict"),
        ({"0.weight": torch.eye(3).to_sparse()}, "sparse"),
    ],
)
def test_what_holds_no_weights_is_named(tmp_path: Path, content: Any, words: str) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(StudyError, match=words):
        convert_checkpoint(tmp_path / "w.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    torch.save({"weights": Trap(tmp_path / "trapped")}, tmp_path / "w.pt")
    with pytest.raises(StudyError, match="cannot be read as weights"):
        convert_checkpoint(tmp_path / "w.pt", tmp_path / "out.safetensors")
    assert not (tmp_path / "trapped").exists()


def test_the_command_says_what_it_does(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"net": {f"module.{k}": v for k, v in WEIGHTS.items()}, "acc": 95.1}, file)
    done = CliRunner().invoke(main, ["convert-checkpoint", str(file)])
    assert done.exit_code == 0, done.output
    for words in (
        "4 tensors",
        "entry 'net'",
        "took 'module.' off",
        "left out acc",
        "w.safetensors",
    ):
        assert words in done.output
    again = CliRunner().invoke(main, ["convert-checkpoint", str(file)])
    assert again.exit_code == 2
    assert "exists; expected a new file" in again.output
    missing = CliRunner().invoke(main, ["convert-checkpoint", str(tmp_path / "none.pt")])
    assert (missing.exit_code, "there is no file" in missing.output) == (2, True)


def test_nothing_else_in_memcore_unpickles() -> None:
    loads = {
        path.name
        for path in Path(memcore.__file__).parent.rglob("*.py")
        if "testing" not in path.parts  # the kit copies plugins that it made itself
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load")
        or (isinstance(node, ast.Import) and any(each.name == "pickle" for each in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "pickle")
    }
    assert loads == {"foreign.py", "aihwkit_weights.py"}  # with weights_only=True
