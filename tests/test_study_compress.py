"""Studies whose networks are compressed before they are written: the table `[compress]`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import memcore
from memcore import StudyError
from memcore.compression import sizes
from memcore.study import read, run
from memcore.study.compressing import Compression, Smaller
from memcore.study.data import digits
from memcore.study.metrics import default_loss
from memcore.study.models import digits_mlp
from memcore.study.sweeps import points

ADMM = {"name": "admm", "keep": 0.5, "epochs": 1}
CONFIG = memcore.CrossbarConfig(device="ideal", mapper="differential", tile=(32, 32))


def study(**more: Any) -> dict[str, Any]:
    return {
        "study": {"model": "digits_mlp", "chips": 2, "samples": 100},
        "train": {"epochs": 1},
        "compress": {"passes": [ADMM, "remove_unused"]},
        "crossbar": {"device": "ideal", "mapper": "differential", "tile": [32, 32]},
        **more,
    }


def keeping(*shares: float) -> list[dict[str, Any]]:
    axis = {"values": shares, "moves": {"compress.passes.0.keep": 1.0}}
    return [{"name": "keep", "axes": {"keep": axis}}]


def smaller() -> Smaller:
    return Smaller(digits(), 0, torch.device("cpu"), default_loss)


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return digits_mlp()


def test_networks_become_smaller_and_are_the_same_in_every_process() -> None:
    model, recipe = network(), Compression(passes=(ADMM, "remove_unused"))
    here = smaller().of(model, CONFIG, recipe)
    before, after = sizes(model, CONFIG), sizes(here, CONFIG)
    assert sum(each.kept for each in after.values()) < 0.5 * sum(e.kept for e in before.values())
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        there = smaller().of(model, CONFIG, recipe)
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_the_table_the_network_is_the_one_given() -> None:
    model = network()
    assert smaller().of(model, CONFIG, None) is model


def test_a_sweep_over_a_pass_costs_less_the_less_stays(tmp_path: Path) -> None:
    content = study(sweep=keeping(1.0, 0.3))
    content["study"]["cost"] = ["array"]
    found = run(content, tmp_path / "a", progress=False)
    whole, little = (found.prices[f"keep-{number:03d}"][0] for number in (0, 1))
    assert little.energy < whole.energy
    assert little.area < whole.area
    again = run(content, tmp_path / "b", progress=False, executor="inline")
    assert [row.correct for row in again.rows] == [row.correct for row in found.rows]
    assert again.prices == found.prices


def test_chips_of_looked_up_products_are_alike(tmp_path: Path) -> None:
    table = {"passes": [{"name": "codebook", "weights": 16, "inputs": 16}]}
    found = run(study(compress=table), tmp_path, progress=False)
    (row,) = found.rows
    assert len(set(row.correct)) == 1
    assert row.mean > found.baseline - 0.1


def test_a_study_that_compresses_otherwise_is_another_one(tmp_path: Path) -> None:
    run(study(study={"model": "digits_mlp", "chips": 1, "samples": 20}), tmp_path, progress=False)
    other = {"passes": [ADMM, "remove_unused"], "lr": 0.01}
    content = study(study={"model": "digits_mlp", "chips": 1, "samples": 20}, compress=other)
    with pytest.raises(StudyError, match=r"compress.lr: 0.001 there, 0.01 now"):
        run(content, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("table", "sweep", "message"),
    [
        ({"passes": ["admn"]}, {}, "no compression pass named 'admn'"),
        ({"passes": []}, {}, "compress.passes"),
        ({"passes": [ADMM], "rate": 1.0}, {}, "compress has no key 'rate'"),
        ({"passes": [ADMM]}, {"compress.passes.0.keep": [0.5, -1.0]}, "keep=-1.0"),
        ({"passes": [ADMM]}, {"compress.passes.1.keep": [0.5, 0.2]}, "compress.passes has no '1'"),
        (None, {"compress.lr": [0.1, 0.2]}, r"nothing is compressed; expected \[compress\]"),
    ],
)
def test_what_does_not_fit_is_said(
    table: dict[str, Any] | None, sweep: dict[str, Any], message: str
) -> None:
    content = study()
    content.pop("compress")
    if table is not None:
        content["compress"] = table
    if sweep:
        axis = {"values": ["a", "b"], "moves": sweep}
        content["sweep"] = [{"name": "s", "axes": {"what": axis}}]
    with pytest.raises(StudyError, match=message):
        points(read(content))


def test_a_record_says_who_provides_the_passes(tmp_path: Path) -> None:
    found = run(
        study(study={"model": "digits_mlp", "chips": 1, "samples": 20}), tmp_path, progress=False
    )
    record = json.loads((found.folder / "study.resolved.json").read_text())
    passes = [each for each in record["plugins"] if each["kind"] == "compressions"]
    assert [each["name"] for each in passes] == ["admm", "remove_unused"]
    for each in passes:
        assert each["distribution"] == "memcore"
        assert each["version"] == memcore.__version__
        assert each["code"]


def test_crossbars_of_single_layers_are_refused() -> None:
    with pytest.raises(StudyError, match="settings for all layers alike"):
        smaller().of(network(), {"0": CONFIG}, Compression(passes=(ADMM,)))


@pytest.mark.parametrize("name", ["compress_digits", "codebook_digits"])
def test_the_packaged_studies_fit_their_networks(name: str) -> None:
    for point in points(read(name)):
        assert point.compress is not None
        memcore.CrossbarConfig.from_mapping(point.crossbar)
