"""What a study judges: accuracies, sequences, numbers, and functions of the user's own."""

import csv
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from memcore import study
from memcore.errors import StudyError
from memcore.study.config import General
from memcore.study.data import Dataset, Split
from memcore.study.evaluation import judged
from memcore.study.metrics import METRICS, default_loss, metric

OWN = """
import torch
from torch import nn
from memcore.study import Dataset, Split

def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 1))

def data(whole=False):
    x = torch.rand(300, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = x.flatten(1).sum(1)
    y = (y * 3).long() if whole else y
    return Dataset(train=Split(x[:200], y[:200]), test=Split(x[200:], y[200:]))

def tagger():
    return nn.Linear(5, 3)

def words():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 7, 5, generator=generator)
    y = x[..., :3].argmax(-1)
    y[:, 5:] = -100
    return Dataset(train=Split(x[:80], y[:80]), test=Split(x[80:], y[80:]))

def largest(outputs, targets, scale=1.0):
    return -scale * (outputs.flatten() - targets).abs().max()

def bad(outputs, targets):
    return outputs
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_task.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(folder: Path, general: dict[str, Any], **more: Any) -> study.Results:
    task = {"model": "own_task:net", "data": "own_task:data", "chips": 3, **general}
    noise = [{"name": "read_noise", "relative": 0.0}]
    content = {
        "study": task,
        "train": {"epochs": 20, "lr": 0.05, "batch": 20},
        "crossbar": {"device": "ideal", "nonidealities": noise},
        "sweep": [{"name": "noise", "axes": {"nonidealities.read_noise.relative": [0.0, 0.5]}}],
        **more,
    }
    return study.run(content, folder / "out")


@pytest.mark.parametrize("whole", [False, True])
def test_targets_that_are_no_labels_need_a_metric_of_their_own(folder: Path, whole: bool) -> None:
    with pytest.raises(StudyError) as caught:
        run(folder, {"data": {"name": "own_task:data", "whole": whole}}, train={"epochs": 0})
    assert "metric" in str(caught.value)
    assert ("float32" in str(caught.value)) is not whole  # whole numbers: one output is no class
    assert not (folder / "out" / "results.csv").exists()


def test_float_targets_are_refused_before_the_training(folder: Path) -> None:
    with pytest.raises(StudyError, match="there are accuracy, sequence, mse, rmse, mae, r2"):
        run(folder, {})
    assert not (folder / "out").exists()


def test_a_regression_is_trained_and_judged_by_its_error(folder: Path) -> None:
    results = run(folder, {"metric": "mse"})
    exact, noisy = results
    assert results.baseline < 0.05
    assert exact.mean == pytest.approx(results.baseline, rel=1e-4)
    assert noisy.mean > 2 * exact.mean
    assert results.drop(noisy) > 0  # a larger error is a loss
    assert noisy.correct == ()
    assert len(noisy.scores) == 3
    assert "digital baseline mean squared error" in str(results)
    assert "%" not in str(results).replace("95 %", "")
    lines = list(csv.DictReader(results.csv.read_text().splitlines()))
    assert float(lines[1]["mean"]) == pytest.approx(noisy.mean, rel=1e-5)
    assert str(study.load(folder / "out")) == str(results)
    assert str(run(folder, {"metric": "mse"})) == str(results)


def test_r2_says_how_much_is_explained(folder: Path) -> None:
    results = run(folder, {"metric": "r2"})
    assert 0.9 < results.baseline <= 1.0
    assert results.drop(results.rows[1]) > 0
    assert "R²" in str(results)


def test_every_place_of_a_sequence_counts_but_padding(folder: Path) -> None:
    task = {"model": "own_task:tagger", "data": "own_task:words", "metric": "sequence"}
    results = run(folder, task)
    assert results.samples == 40 * 5
    assert results.baseline > 0.8
    assert results.rows[0].correct == (round(200 * results.baseline),) * 3
    assert "200 answers" in str(results)


def test_a_function_of_ones_own_judges_all_outputs_at_once(folder: Path) -> None:
    one = run(folder, {"metric": "own_task:largest", "batch": 7})
    scaled = {"name": "own_task:largest", "scale": 3.0}
    two = study.run(
        {
            "study": {
                "model": "own_task:net",
                "data": "own_task:data",
                "chips": 3,
                "metric": scaled,
                "checkpoint": str(folder / "out" / "model.safetensors"),
            },
            "crossbar": {"device": "ideal"},
        },
        folder / "other",
    )
    assert one.baseline < 0
    assert two.baseline == pytest.approx(3 * one.baseline, rel=1e-4)
    assert one.drop(one.rows[1]) > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("acuracy", "no metric named 'acuracy'; did you mean 'accuracy'"),
        ({"name": "own_task:largest", "size": 3}, "unexpected keyword argument 'size'"),
        ({"name": "mse", "size": 3}, "unexpected keyword argument 'size'"),
        ("own_task:bad", "expected one finite number"),
        ("own_task:missing", "cannot be imported"),
    ],
)
def test_a_metric_that_does_not_fit_is_named(folder: Path, name: Any, words: str) -> None:
    with pytest.raises(StudyError, match=words):
        run(folder, {"metric": name}, train={"epochs": 0})


def score(name: Any, outputs: Tensor, targets: Tensor, batch: int = 2) -> float:
    found = metric({"name": name} if isinstance(name, str) else name, Path())
    split = Split(outputs, targets)
    network = torch.nn.Identity()
    found.require(targets)
    general = General(batch=batch)
    return judged(network, Dataset(train=split, test=split), split, general, found).value


def test_regressions_are_what_their_names_say() -> None:
    outputs, targets = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 2.0])
    assert score("mse", outputs, targets) == pytest.approx(5 / 3)
    assert score("rmse", outputs, targets) == pytest.approx(math.sqrt(5 / 3))
    assert score("mae", outputs, targets) == pytest.approx(1.0)
    assert score("r2", outputs, targets) == pytest.approx(1 - 5 / 2)
    sklearn = pytest.importorskip("sklearn.metrics")
    a, b = torch.randn(50, 3), torch.randn(50, 3)
    assert score("r2", a, b) == pytest.approx(sklearn.r2_score(b.numpy(), a.numpy()), rel=1e-6)


@pytest.mark.parametrize("form", ["lambda x: (x, x[:, :2])", "lambda x: {'a': x, 'b': x[:, :2]}"])
def test_a_network_may_have_several_inputs(folder: Path, form: str) -> None:
    (folder / "own_two.py").write_text(
        "import torch\nfrom torch import nn\nfrom memcore.study import Dataset, Split\n"
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.f, self.g = nn.Linear(4, 3), nn.Linear(2, 3)\n"
        "    def forward(self, a, b):\n        return self.f(a) + self.g(b)\n"
        "def data():\n    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))\n"
        "    split = Split(x, x[:, :3].argmax(1))\n"
        f"    return Dataset(train=split, test=split, prepare={form})\n"
    )
    general = {"model": "own_two:Net", "data": "own_two:data", "chips": 1}
    crossbar = {"device": "ideal", "adc": "uniform"}
    results = run(folder, general, crossbar=crossbar, sweep=[{"name": "s"}])
    assert results.baseline > 0.8
    assert results.rows[0].mean == pytest.approx(results.baseline, abs=0.1)


@pytest.mark.parametrize("name", ["mse", "mae", "r2"])
def test_a_column_beside_a_row_is_not_spread_into_a_square(name: str) -> None:
    targets = torch.arange(6.0)
    assert score(name, targets[:, None], targets) == score(name, targets, targets)
    with pytest.raises(StudyError, match="expected one output for each target"):
        score(name, torch.zeros(6, 2), targets)
    with pytest.raises(StudyError, match="expected one output for each target"):
        default_loss(torch.zeros(6, 2), targets)


def test_images_are_labelled_pixel_by_pixel() -> None:
    targets = torch.randint(0, 3, (4, 5, 6))
    outputs = torch.nn.functional.one_hot(targets, 3).float().movedim(-1, 1)
    assert score({"name": "sequence", "dim": 1}, outputs, targets) == 1.0
    with pytest.raises(StudyError, match=r"a sample has .* not one"):
        score("accuracy", outputs, targets)


@pytest.mark.parametrize("name", list(METRICS))
def test_the_score_does_not_depend_on_the_batch(name: str) -> None:
    labels = torch.randint(0, 4, (30, 2) if name == "sequence" else (30,))
    outputs = torch.randn(*labels.shape, 4)
    if name not in ("accuracy", "sequence"):
        labels, outputs = outputs[:, 0].clone(), torch.randn(30)
    assert score(name, outputs, labels, 1) == score(name, outputs, labels, 30)


def test_targets_without_finite_values_are_refused() -> None:
    with pytest.raises(StudyError, match="some are not finite"):
        score("mse", torch.zeros(2), torch.tensor([1.0, float("nan")]))
    with pytest.raises(StudyError, match="all equal"):
        score("r2", torch.zeros(2), torch.ones(2))


@pytest.mark.parametrize("label", [-1, 4])
def test_labels_that_no_output_stands_for_are_no_mistakes_of_the_network(label: int) -> None:
    with pytest.raises(StudyError, match="expected labels from 0 to 3"):
        score("accuracy", torch.zeros(2, 4), torch.tensor([0, label]))


FORMS = ["y[0]", "y.sum()", "y[:0]", "y.long()", "y > 0", "y + 0j", "y[:, None]", "[y]", "None"]


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("form", FORMS)
def test_odd_outputs_are_errors_of_a_study(folder: Path, form: str, epochs: int) -> None:
    (folder / "own_odd.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.f = nn.Linear(16, 9)\n"
        f"    def forward(self, x):\n        y = self.f(x.flatten(1))\n        return {form}\n"
    )
    task = {"model": "own_odd:Net", "data": {"name": "own_task:data", "whole": True}}
    with pytest.raises(StudyError):
        run(
            folder,
            {**task, "metric": "r2" if form == "y + 0j" else "accuracy"},
            train={"epochs": epochs, "batch": 20},
        )


@pytest.mark.parametrize("epochs", [0, 1])
@pytest.mark.parametrize("targets", ["y - 1", "y + 50", "y[:, None]", "y + 0j", "y * float('nan')"])
def test_odd_targets_are_errors_of_a_study(folder: Path, targets: str, epochs: int) -> None:
    (folder / "own_odd.py").write_text(
        "import torch\nfrom torch import nn\nfrom memcore.study import Dataset, Split\n"
        "def data():\n    x, y = torch.randn(30, 1, 4, 4), torch.arange(30) % 3\n"
        f"    split = Split(x, {targets})\n    return Dataset(train=split, test=split)\n"
        "def net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))\n"
    )
    with pytest.raises(StudyError):
        run(
            folder,
            {"model": "own_odd:net", "data": "own_odd:data"},
            train={"epochs": epochs, "batch": 20},
        )
