"""Training in several processes: each draws the noise of its reads, all read the same cells."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch was built without gloo",
)


@pytest.fixture(scope="module")
def found(shared):
    """What two processes under torchrun found out."""
    with shared("distributed") as folder:
        result = folder / "found.json"
        if not result.exists():
            search(result)
        return json.loads(result.read_text())


def search(result):
    """Let two processes find out."""
    script = Path(__file__).with_name("distributed_script.py")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *torchrun, str(script), str(result)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_two_processes_with_half_a_batch_each_train_as_one_with_the_whole(found):
    assert found["data parallel"] == pytest.approx(found["one process"], abs=1e-6)


def test_parameters_that_are_spread_over_the_processes_train_alike(found):
    assert found["sharded"] == pytest.approx(found["one process"], abs=1e-6)


def test_processes_write_the_same_cells_and_read_them_with_noise_of_their_own(found):
    assert not found["cells differ"]
    assert not found["programmed cells differ"]
    assert not found["parameters differ"]
    assert found["reads differ"]


@pytest.mark.parametrize("kept", ["float16", "codes"])
def test_cells_in_fewer_bits_are_the_same_in_processes_that_train_together(found, kept):
    assert found[f"kept as {kept}"] == pytest.approx(found[f"alone as {kept}"], abs=1e-6)
    assert not found[f"cells differ, {kept}"]


def test_ranges_and_steps_that_are_spread_over_the_processes_are_found_alike(found):
    """The gradient of a range is divided by a root of the outputs of one input, not of a batch."""
    assert found["ranged sharded"] == pytest.approx(found["ranged alone"], abs=1e-5)
    for together, alone in zip(found["ranged reads"], found["ranged reads alone"], strict=True):
        assert together == pytest.approx(alone, abs=1e-4)


def test_a_range_that_the_first_batches_set_is_that_of_all_processes(found):
    """A decay of weights leaves it alone, whether or not the others ask it for a gradient."""
    assert not found["found ranges differ"]
    assert found["found"] == pytest.approx(found["found alone"], abs=1e-4)


def test_a_range_that_the_first_batches_set_is_not_lost_in_silence(found):
    assert "fully_shard keeps no change of a parameter" in found["lost"]
    assert "batches=0" in found["lost"]


@pytest.mark.parametrize("ends", ["max", "least_error"])
@pytest.mark.parametrize("way", ["parallel", "sharded"])
def test_ranges_that_nobody_calibrated_are_those_of_the_batch_of_all_processes(found, way, ends):
    together = found[f"fresh {way}, {ends}"]
    assert not together["differ"]
    assert together["ranges"] == pytest.approx(found[f"fresh alone, {ends}"], rel=1e-5)
    assert all("first batch (8 reads);" in each for each in together["said"])
    assert len(together["said"]) == 1


def test_recurrent_layers_find_the_ranges_of_whole_passes_together(found):
    assert not found["recurrent differs"]
    assert found["recurrent"] == pytest.approx(found["recurrent alone"], rel=1e-5)


@pytest.mark.parametrize("ends", ["max", "least_error"])
def test_a_process_that_evaluates_alone_waits_for_nobody_and_says_that_its_ranges_differ(
    found, ends
):
    (said,) = found[f"fresh sharded, {ends}"]["said in evaluation"]
    assert "first batch (16 reads) of this process, one of 2 that then differ;" in said


def test_cells_of_several_processes_are_not_trained_apart_in_silence(found):
    assert "2 processes train together" in found["in place"]
    assert "without torch.distributed" in found["in place"]
