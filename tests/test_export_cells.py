"""What is exported of the cells is what the network computes with."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import memcore
from memcore.errors import ConfigError, ConversionError

NETWORK = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Conv1d(1, 2, 3))


def chip(**settings: object) -> nn.Module:
    config = memcore.CrossbarConfig(device="ideal", tile=(3, 4), **settings)  # type: ignore[arg-type]
    return memcore.convert(NETWORK, config, seed=0)


def weights_of(columns: dict[str, np.ndarray], gain: float) -> np.ndarray:
    """The weight that cells of a differential mapping stand for, [outputs, inputs]."""
    used = columns["output"] >= 0
    sign = np.where(columns["part"] == 0, 1.0, -1.0)
    weight = np.zeros((columns["output"].max() + 1, columns["input"].max() + 1))
    place = (columns["output"][used], columns["input"][used])
    np.add.at(weight, place, (sign * columns["conductance"] * gain)[used])
    return weight


def test_the_weights_of_a_layer_follow_from_the_exported_cells(tmp_path: Path) -> None:
    model = chip()
    path = memcore.export_cells(model, tmp_path / "cells.npz")
    with np.load(path) as file:
        columns = {key.removeprefix("0/"): file[key] for key in file if key.startswith("0/")}
    gain = float(model[0].matrices["weight"].crossbar.gain)  # type: ignore[index]
    assert np.allclose(weights_of(columns, gain), NETWORK[0].weight.detach(), atol=1e-5)


def test_a_csv_and_an_npz_hold_the_same(tmp_path: Path) -> None:
    model = chip(mapper="offset", nonidealities=["read_noise", {"name": "drift", "t0": 1.0}])
    memcore.age(model, seconds=100.0)
    with memcore.export_cells(model, tmp_path / "cells.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with np.load(memcore.export_cells(model, tmp_path / "cells.npz")) as file:
        for column in ("bit_line", "output", "programmed", "conductance"):
            every = np.concatenate([file[f"{name}/{column}"] for name in ("0", "2")])
            assert np.allclose([float(row[column]) for row in rows], every, rtol=1e-6)
        assert bool((file["0/conductance"] < file["0/programmed"]).all())  # it has drifted
    references = [row for row in rows if row["output"] == "-1"]
    assert references
    assert {row["matrix"] for row in rows} == {"0", "2"}


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.csv or \.npz"):
        memcore.export_cells(chip(), tmp_path / "cells.txt")
    with pytest.raises(ConfigError, match="cannot be written"):
        memcore.export_cells(chip(), tmp_path / "missing" / "cells.csv")
    with pytest.raises(ConversionError, match="no memristive layer"):
        memcore.export_cells(NETWORK, tmp_path / "cells.csv")


def test_the_noise_of_reads_is_not_exported(tmp_path: Path) -> None:
    model = chip(nonidealities=["read_noise"])
    one = memcore.export_cells(model, tmp_path / "a.csv").read_bytes()
    model(torch.rand(1, 5))
    assert memcore.export_cells(model, tmp_path / "b.csv").read_bytes() == one


def test_pulses_of_each_cell_are_exported_where_they_were_recorded(tmp_path: Path) -> None:
    with memcore.recorded_writes() as writes:
        model = chip(programmer="write_verify")
    path = memcore.export_cells(model, tmp_path / "cells.npz", writes=writes)
    report = memcore.yields.yield_report(model)
    with np.load(path) as file:
        pulses = np.concatenate([file["0/pulses"], file["2/pulses"]])
        assert pulses.mean() == pytest.approx(report.pulses)
        energy = file["0/energy"].sum() + file["2/energy"].sum()
        assert energy == pytest.approx(report.energy, rel=1e-5)
        assert set(file["0/accepted"]) <= {0, 1}
    chip()  # is written after the block, and not recorded
    assert float(writes["0"].pulses.max()) > 0  # type: ignore[union-attr]


def test_a_network_whose_writing_was_not_recorded_is_refused(tmp_path: Path) -> None:
    with memcore.recorded_writes() as writes:
        pass
    with pytest.raises(ConfigError, match="writes has no record of '0'"):
        memcore.export_cells(chip(), tmp_path / "cells.csv", writes=writes)


@pytest.mark.parametrize(
    ("path", "writes", "told"),
    [(None, None, "path=None"), ("cells.csv", 3, "writes=3"), ("no/cells.csv", None, "folder")],
)
def test_paths_and_records_of_another_kind_are_refused(path, writes, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    chip = memcore.convert(torch.nn.Linear(3, 2), memcore.CrossbarConfig(device="ideal"), seed=0)
    with pytest.raises(memcore.ConfigError, match=told):
        memcore.export_cells(chip, path, writes=writes)
