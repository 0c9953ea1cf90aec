"""Studies whose chips are trained in place: the table `[in_place]`, and the packaged ones."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

import memcore
from memcore import StudyError
from memcore.study import estimate_units, read, run
from memcore.study.data import MNIST_FILES, digits
from memcore.study.in_place import shuffled
from memcore.study.sweeps import points

EVEN = {"name": "constant_step", "dw_min": 0.005, "c2c": 0.0}


def study(**more: Any) -> dict[str, Any]:
    return {
        "study": {"model": "digits_mlp", "chips": 2, "samples": 200},
        "train": {"epochs": 1},
        "in_place": {"lr": 0.5, "epochs": 1},
        "crossbar": {"device": EVEN, "mapper": "offset"},
        **more,
    }


def test_chips_begin_untrained_and_learn_on_their_cells(tmp_path: Path) -> None:
    sweep = [{"name": "epochs", "axes": {"epochs": {"values": [0, 1], "moves": {MOVED: 1}}}}]
    found = run(study(sweep=sweep), tmp_path / "a", progress=False)
    before, after = found.rows
    assert before.mean < 0.3
    assert after.mean > 0.6
    assert found.baseline > 0.4  # the digital network, trained as [train] says
    again = run(study(sweep=sweep), tmp_path / "b", progress=False, executor="inline")
    assert [row.correct for row in again.rows] == [row.correct for row in found.rows]


MOVED = "in_place.epochs"


def test_each_chip_begins_with_weights_of_its_own(tmp_path: Path) -> None:
    found = run(study(in_place={"epochs": 0, "lr": 0.5}), tmp_path, progress=False)
    (row,) = found.rows
    first, second = row.correct
    assert first != second


def test_a_study_that_trains_otherwise_is_another_one(tmp_path: Path) -> None:
    few = study(study={"model": "digits_mlp", "chips": 1, "samples": 20})
    run(few, tmp_path, progress=False)
    with pytest.raises(StudyError, match=r"in_place.lr: 0.5 there, 0.25 now"):
        run({**few, "in_place": {"lr": 0.25, "epochs": 1}}, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("table", "sweep", "message"),
    [
        ({"rule": "agat"}, {}, "no update rule named 'agat'"),
        ({"rate": 1.0}, {}, "in_place has no key 'rate'"),
        ({"lr": 0.0}, {}, "in_place.lr"),
        ({}, {"in_place.lr": [0.1, -1.0]}, "in_place.lr = -1.0"),
        ({}, {"in_place.epoch": [1, 2]}, "in_place.epoch"),
        (None, {"in_place.lr": [0.1, 0.2]}, r"nothing is trained in place; expected \[in_place\]"),
    ],
)
def test_what_does_not_fit_is_said(
    table: dict[str, Any] | None, sweep: dict[str, Any], message: str
) -> None:
    content = study()
    content.pop("in_place")
    if table is not None:
        content["in_place"] = table
    if sweep:
        axis = {"values": ["a", "b"], "moves": sweep}
        content["sweep"] = [{"name": "s", "axes": {"what": axis}}]
    with pytest.raises(StudyError, match=message):
        points(read(content))


def test_batches_are_whole_and_drawn_anew_for_each_epoch() -> None:
    data = digits()
    first, second = (list(shuffled(data, 16, 0, epoch)) for epoch in (0, 1))
    assert {len(labels) for _, labels in first} == {16}
    assert len(first) == 1297 // 16
    assert not torch.equal(first[0][0], second[0][0])
    assert torch.equal(first[0][0], next(shuffled(data, 16, 0, 0))[0])


def test_counts_that_are_rounded_at_random_are_right_on_average() -> None:
    config = memcore.CrossbarConfig(device=EVEN, mapper="offset")
    moved = []
    for seed in range(40):
        mem = memcore.convert(torch.nn.Linear(3, 2, bias=False), config, seed=seed)
        rule = {"name": "sgd_counts", "counts": "stochastic"}
        optimizer = memcore.optim.InSitu(mem, rule=rule, lr=1.0)
        step, before = memcore.optim.granularity(mem)[""], mem.weight.detach().clone()
        x = torch.tensor([[1.0, -0.5, 0.25]])
        (mem(x) * torch.tensor([[1.3, -0.4]])).sum().mul(step).backward()
        optimizer.step()
        moved.append((mem.weight.detach() - before) / step)
    counts = torch.stack(moved)
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=2e-3)
    wanted = -torch.outer(torch.tensor([1.3, -0.4]), torch.tensor([1.0, -0.5, 0.25]))
    assert (counts.mean(0) - wanted).abs().max() < 4 * 0.5 / 40**0.5
    assert ((counts - wanted).abs() < 1.01).all()


def means(
    name: str, sweep: str, chips: int, tmp_path: Path, **some: tuple[int, ...]
) -> dict[tuple[Any, ...], float]:
    """Means of the metric, times 100, at the points of one sweep, by their settings.

    Of the axes that are named, only some places are looked at.
    """
    whole = read(name, chips=chips).model_dump(mode="json", exclude_unset=True)
    (only,) = (each for each in whole["sweep"] if each["name"] == sweep)
    for axis, places in some.items():
        keep(only["axes"][axis], places)
    found = run({**whole, "sweep": [only]}, tmp_path / sweep, progress=False)
    return {tuple(row.setting.values()): 100 * row.mean for row in found.rows}


def keep(axis: dict[str, Any], places: Iterable[int]) -> None:
    """Leave only some values of an axis of a sweep."""
    for key in (axis, axis["moves"]):
        for entry in [each for each in key if isinstance(key[each], list)]:
            key[entry] = [key[entry][place] for place in places]


@pytest.mark.slow
def test_synapses_learn_digits_in_the_published_order(tmp_path: Path) -> None:
    found = synapses("analog_synapses", ("epiram", "taox_hfox", "pcmo"), tmp_path, chips=3)
    assert found["epiram"] > 90
    assert found["epiram"] > found["taox_hfox"] + 5
    assert found["taox_hfox"] > found["pcmo"] + 10


def synapses(name: str, presets: tuple[str, ...], tmp_path: Path, **study: Any) -> dict[str, float]:
    """Percentages that some synapses of a packaged study learn."""
    content = read(name).model_dump(mode="json", exclude_unset=True)
    axis = content["sweep"][0]["axes"]["synapse"]
    keep(axis, [axis["moves"]["device.preset"].index(preset) for preset in presets])
    content["study"] |= study
    found = run(content, tmp_path / "out", progress=False)
    return {preset: 100 * row.mean for preset, row in zip(presets, found.rows, strict=True)}


@pytest.fixture
def few_of_mnist(tmp_path: Path) -> Path:
    """A stand-in for MNIST in its own format: digits enlarged to 20 x 20 pixels, with a margin."""
    data = digits()
    for (images, labels), split in zip(
        MNIST_FILES.values(), (data.train, data.test.head(200)), strict=True
    ):
        large = torch.nn.functional.interpolate(split.images, size=(20, 20), mode="bilinear")
        pixels = torch.nn.functional.pad((255 * large[:, 0]).round().to(torch.uint8), (4, 4, 4, 4))
        heads = (b"".join(n.to_bytes(4) for n in each.shape) for each in (pixels, split.labels))
        (tmp_path / images).write_bytes(b"\0\0\x08\x03" + next(heads) + pixels.numpy().tobytes())
        values = split.labels.to(torch.uint8).numpy().tobytes()
        (tmp_path / labels).write_bytes(b"\0\0\x08\x01" + next(heads) + values)
    return tmp_path


def test_a_synapse_learns_from_files_in_the_format_of_mnist(
    few_of_mnist: Path, tmp_path: Path
) -> None:
    data = {"name": "mnist", "folder": str(few_of_mnist)}
    found = synapses("analog_synapses_mnist", ("epiram",), tmp_path, data=data, chips=1)
    assert found["epiram"] > 80


@pytest.mark.slow
def test_ac_sy_9_synapses_learn_mnist_in_the_published_order(tmp_path: Path) -> None:
    folder = os.environ.get("MEMCORE_MNIST")
    if folder is None:
        pytest.skip("MEMCORE_MNIST names no folder with the IDX files of MNIST")
    order = ("epiram", "gst_pcm", "hzo_fefet", "taox_hfox", "ag_a_si", "pcmo", "alox_hfo2")
    data = {"name": "mnist", "folder": folder}
    found = synapses("analog_synapses_mnist", order, tmp_path, data=data)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::memcore.SaturationWarning")  # trains of a few slots
def test_only_agad_is_flat_in_the_error_of_the_references(tmp_path: Path) -> None:
    found = means("reference_offset", "offset", 2, tmp_path, offset=(0, 2))
    lost = {rule: found[0.0, rule] - found[0.6, rule] for rule in ("tiki_taka2", "chopped", "agad")}
    assert lost["agad"] < 3
    assert lost["tiki_taka2"] > 4
    assert lost["chopped"] > 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::memcore.SaturationWarning")  # fast arrays are pulsed hard
def test_weights_come_near_their_targets_by_agad_alone_wherever_references_lie(
    tmp_path: Path,
) -> None:
    met, spread, offset = (
        means("reference_states", sweep, 1, tmp_path, states=(0, 1, 2), rule=rules)
        for sweep, rules in (("met", (0, 1, 2)), ("spread", (0, 2)), ("offset", (0, 1, 2)))
    )
    for states in (10, 30, 100):
        for missed in (spread, offset):
            assert missed[states, "tiki_taka2"] > 2 * met[states, "tiki_taka2"]
            assert missed[states, "agad"] < 1.3 * met[states, "agad"]
    for rule in ("tiki_taka2", "chopped", "agad"):  # finer steps, where references are right
        assert met[100, rule] < 0.5 * met[30, rule] + 0.5 * met[10, rule]
    assert offset[100, "chopped"] > 3 * met[100, "chopped"]


def test_a_study_in_place_is_told_how_long_all_steps_of_all_chips_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each step of each chip counts, whatever the number of epochs of its point."""
    told: list[float] = []
    monkeypatch.setattr(estimate_units, "tell", lambda what, seconds: told.append(seconds))
    monkeypatch.setattr(estimate_units, "second", lambda act: (act(), 100.0)[1])
    monkeypatch.setattr(estimate_units, "_reading", lambda bench, network: 0.0)
    sweep = [{"name": "epochs", "axes": {"epochs": {"values": [0, 1, 2], "moves": {MOVED: 1}}}}]
    settings = study(sweep=sweep, train={"epochs": 0}, in_place={"lr": 0.5, "batch": 700})
    caplog.set_level("INFO", "memcore.study")
    run(settings, tmp_path / "told", progress=False)
    steps = len(digits().train) // 700
    assert told == [pytest.approx(2 * (0 + 1 + 2) * steps * 100.0, abs=50.0)]
    caplog.set_level("WARNING", "memcore.study")
    run(settings, tmp_path / "silent", progress=False)
    first, second = ((tmp_path / name / "results.csv").read_bytes() for name in ("told", "silent"))
    assert first == second
