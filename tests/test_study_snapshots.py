"""The state of an interrupted training: whole, of this very training, or not at all."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from memcore.study import checkpoints, snapshots
from memcore.study.data import Dataset, Split
from memcore.study.training import Recipe, Training

CPU = torch.device("cpu")
RECIPES = [Recipe(epochs=4, batch=16, lr=0.01), Recipe(epochs=4, batch=16, optimizer="sgd")]


class Stopped(Exception):
    """Stands for a power cut."""


def small(count: int = 65) -> tuple[nn.Module, Dataset]:
    """A network and samples, of which one is too many for whole batches and left out."""
    torch.manual_seed(3)
    images, labels = torch.randn(count, 12), torch.arange(count) % 4
    split = Split(images, labels)
    network = nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
    return network, Dataset(train=split, test=split)


def stopped(file: Path, recipe: Recipe, epochs: int = 2) -> None:
    """A training that left a snapshot after some epochs."""
    network, data = small()
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        if len(lines) == epochs:
            raise Stopped

    with pytest.raises(Stopped):
        Training(data, recipe, 5, CPU, file).run(network, stop)


def finished(recipe: Recipe) -> str:
    network, data = small()
    Training(data, recipe, 5, CPU).run(network)
    return checkpoints.digest(network)


def continued(file: Path, recipe: Recipe) -> tuple[str, list[str]]:
    network, data = small()
    lines: list[str] = []
    Training(data, recipe, 5, CPU, file).run(network, lines.append)
    return checkpoints.digest(network), lines


def opened(file: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(str(file), framework="pt") as content:
        record = json.loads(content.metadata()["memcore.study"])
    return load_file(file), record


def rewritten(
    file: Path, tensors: dict[str, torch.Tensor], record: Any, *, sealed: bool = True
) -> None:
    """A snapshot as one would craft it who knows how they are made."""
    if sealed and isinstance(record, dict):
        record = {**record, "checksum": snapshots._checksum(tensors)}
    save_file(tensors, file, {"memcore.study": json.dumps(record)})


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_snapshot_continues_to_the_same_weights(
    tmp_path: Path, recipe: Recipe, epochs: int
) -> None:
    stopped(tmp_path / "s", recipe, epochs)
    digest, lines = continued(tmp_path / "s", recipe)
    assert lines[:epochs] == ["done before"] * epochs
    assert lines[epochs].startswith("loss")
    assert digest == finished(recipe)


@pytest.mark.parametrize(
    "done", ["x", "2", -5, 0, 4, 10**9, 10**400, True, None, [1], {"a": 1}, 1.5, 2.0]
)
def test_a_crafted_number_of_epochs_starts_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, done: Any
) -> None:
    recipe = RECIPES[0]
    stopped(tmp_path / "s", recipe)
    tensors, record = opened(tmp_path / "s")
    rewritten(tmp_path / "s", tensors, {**record, "done": done})
    digest, lines = continued(tmp_path / "s", recipe)
    assert "s cannot be continued (it claims" in caplog.text
    assert len(lines) == 4
    assert digest == finished(recipe)


@pytest.mark.parametrize("record", [None, "text", [], [1], 3, {}, {"of": []}, {"done": 2}])
def test_a_crafted_record_starts_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, record: Any
) -> None:
    stopped(tmp_path / "s", RECIPES[0])
    rewritten(tmp_path / "s", opened(tmp_path / "s")[0], record)
    assert continued(tmp_path / "s", RECIPES[0])[0] == finished(RECIPES[0])
    assert "s cannot be continued" in caplog.text


def test_a_deeply_nested_record_starts_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path / "s", RECIPES[0])
    deep = "[" * 100_000 + "]" * 100_000
    save_file(opened(tmp_path / "s")[0], tmp_path / "s", {"memcore.study": deep})
    assert continued(tmp_path / "s", RECIPES[0])[0] == finished(RECIPES[0])
    assert "s cannot be continued" in caplog.text


@pytest.mark.parametrize("content", [{"a": 1}, [1, 2], "text", None], ids=str)
def test_a_pickle_is_not_opened(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    content: Any,
) -> None:
    torch.save(content, tmp_path / "s")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("unpickled"))
    assert continued(tmp_path / "s", RECIPES[0])[0] == finished(RECIPES[0])
    assert "s cannot be continued" in caplog.text


CHANGES: dict[str, Any] = {
    "a weight of another shape": lambda t: t | {"model.0.weight": torch.zeros(8, 11)},
    "a weight of whole numbers": lambda t: t | {"model.0.weight": torch.zeros(8, 12).int()},
    "a weight that is missing": lambda t: {k: v for k, v in t.items() if k != "model.0.bias"},
    "a weight too many": lambda t: t | {"model.9.weight": torch.zeros(2)},
    "no weights": lambda t: {k: v for k, v in t.items() if k.startswith("optimizer")},
    "a moment of another shape": lambda t: t | {"optimizer.0.exp_avg": torch.zeros(3)},
    "a moment that is missing": lambda t: {k: v for k, v in t.items() if "3.exp_avg_sq" not in k},
    "a parameter too many": lambda t: t | {"optimizer.77.step": torch.zeros(())},
    "an odd parameter": lambda t: t | {"optimizer.x.step": torch.zeros(())},
    "an odd tensor": lambda t: t | {"mine": torch.zeros(1)},
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_snapshot_that_fails_half_way_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: str
) -> None:
    stopped(tmp_path / "s", RECIPES[0])
    tensors, record = opened(tmp_path / "s")
    foreign = {k: v + 1 if k.startswith("model") else v for k, v in tensors.items()}
    rewritten(tmp_path / "s", CHANGES[change](foreign), record)
    digest, lines = continued(tmp_path / "s", RECIPES[0])
    assert "s cannot be continued (it does not fit the network" in caplog.text
    assert len(lines) == 4
    assert digest == finished(RECIPES[0])


def test_a_snapshot_continues_where_the_last_batch_is_small(tmp_path: Path) -> None:
    network, data = small(70)
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        raise Stopped

    with pytest.raises(Stopped):
        Training(data, RECIPES[0], 5, CPU, tmp_path / "s").run(network, stop)
    again, whole = small(70)[0], small(70)[0]
    Training(data, RECIPES[0], 5, CPU, tmp_path / "s").run(again)
    Training(data, RECIPES[0], 5, CPU).run(whole)
    assert checkpoints.digest(again) == checkpoints.digest(whole)


def test_numbers_that_were_changed_are_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path / "s", RECIPES[0])
    tensors, record = opened(tmp_path / "s")
    tensors["model.0.weight"][0, 0] += 1
    rewritten(tmp_path / "s", tensors, record, sealed=False)
    assert continued(tmp_path / "s", RECIPES[0])[0] == finished(RECIPES[0])
    assert "its numbers are not those that were written" in caplog.text


def test_the_snapshot_of_another_optimiser_or_seed_is_another_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stopped(tmp_path / "s", RECIPES[1])
    assert continued(tmp_path / "s", RECIPES[0])[0] == finished(RECIPES[0])
    assert "it belongs to another training" in caplog.text


def test_a_parameter_without_a_gradient_has_no_state(tmp_path: Path) -> None:
    network, data = small()
    network[0].weight.requires_grad_(False)  # type: ignore[index,union-attr]
    lines: list[str] = []

    def stop(line: str) -> None:
        lines.append(line)
        raise Stopped

    with pytest.raises(Stopped):
        Training(data, RECIPES[0], 5, CPU, tmp_path / "s").run(network, stop)
    again, _ = small()
    again[0].weight.requires_grad_(False)  # type: ignore[index,union-attr]
    whole, _ = small()
    whole[0].weight.requires_grad_(False)  # type: ignore[index,union-attr]
    Training(data, RECIPES[0], 5, CPU, tmp_path / "s").run(again)
    Training(data, RECIPES[0], 5, CPU).run(whole)
    assert checkpoints.digest(again) == checkpoints.digest(whole)
