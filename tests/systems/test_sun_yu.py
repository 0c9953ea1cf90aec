"""Sun and Yu, IEEE J. Emerg. Sel. Topics Circuits Syst. 9:570 (2019): bent pulses, drift, wear.

The numbers of pulses and positions are those of a run of DNN+NeuroSim V2.1. The accuracies that the
experiment must reach were found with an independent program in numpy, on digits.
"""

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from memcore_plugins.devices._neurosim_label import rate_of
from memcore_plugins.devices.neurosim import NeuroSim

import memcore
from memcore.study import read, run
from memcore.study.data import digits
from memcore.study.in_place import InPlace, train_in_place
from memcore.study.models import RECIPES, digits_mlp
from memcore.study.sweeps import configuration, points
from memcore.study.training import Recipe, Training

COUNTS = (1, 2, 4, 8, 16)
CURVES = {
    (1.75, 32): (-0.885335, -0.775662, -0.570431, -0.210921, 0.34176, 1.0),
    (2.4, 97): (-0.952744, -0.906455, -0.816695, -0.647924, -0.349466, 1.0),
    (0.5, 64): (-0.962257, -0.924748, -0.850424, -0.704512, -0.423323, 1.0),
}
#: LTD with a positive label, from 0.999999.
FALL = (0.966641, 0.932032, 0.858872, 0.695349, 0.286339, -1.0)


def cells(pulses: int, **parameters: Any) -> NeuroSim:
    settings = {"nl_ltp": 0.0, "nl_ltd": 0.0, "c2c": 0.0, "n_ltp": pulses, "n_ltd": pulses}
    return NeuroSim(**{**settings, **parameters})


def pulsed(device: NeuroSim, weight: Any, count: int, ctx: memcore.Context) -> torch.Tensor:
    """Weights in [-1, 1] after pulses."""
    state = (torch.as_tensor(weight, dtype=torch.float64).reshape(1, -1) + 1) / 2
    return 2 * device.pulses(state, torch.tensor(count), ctx)[0] - 1


@pytest.fixture
def ctx() -> memcore.Context:
    return memcore.Context(random=memcore.Stream(3))


def test_ac_sy_1_the_label_gives_the_published_constant() -> None:
    wanted = {
        0.01: 126.268958,
        1.0: 1.251653,
        1.46: 0.848677,
        1.75: 0.702081,
        2.4: 0.499181,
        9.0: 0.022810,
    }
    for label, constant in wanted.items():
        assert 1 / rate_of(label).item() == pytest.approx(constant, abs=1e-6)
        assert rate_of(-label).item() == -rate_of(label).item()


@pytest.mark.parametrize(("label", "most"), CURVES)
def test_ac_sy_2_potentiation_is_that_of_the_reference(
    label: float, most: int, ctx: memcore.Context
) -> None:
    device = cells(most, nl_ltp=label)
    for count, weight in zip((*COUNTS, most), CURVES[label, most], strict=True):
        assert pulsed(device, -1.0, count, ctx).item() == pytest.approx(weight, abs=2e-6)


def test_ac_sy_2_depression_with_a_positive_label_is_that_of_the_reference(
    ctx: memcore.Context,
) -> None:
    device = cells(32, nl_ltd=1.46)
    for count, weight in zip((*COUNTS, 32), FALL, strict=True):
        assert pulsed(device, 0.999999, -count, ctx).item() == pytest.approx(weight, abs=2e-6)


@pytest.mark.parametrize("start", [-0.9, -0.3, 0.2])
def test_ac_sy_3_labels_of_one_sign_retrace_one_curve(start: float, ctx: memcore.Context) -> None:
    for nl_ltd, returns in ((3.0, True), (-3.0, False)):
        device = cells(100, nl_ltp=3.0, nl_ltd=nl_ltd)
        there = pulsed(device, start, 5, ctx)
        back = pulsed(device, there, -5, ctx).item()
        assert (abs(back - start) < 1e-9) is returns


@pytest.mark.parametrize("count", [1, 9, 64])
def test_ac_sy_4_noise_of_pulses_adds_up_and_noise_of_updates_does_not(
    count: int, ctx: memcore.Context
) -> None:
    start, c2c = torch.zeros(100_000), 0.01
    each, once = (cells(10_000, c2c=c2c, noise=name) for name in ("per_pulse", "per_update"))
    for device, updates, wanted in ((each, 1, count), (once, 1, 1), (once, count, count)):
        weight = start
        for number in range(updates):
            weight = pulsed(device, weight, count // updates, ctx.child("update", number))
        # A window is 2 in weights.
        assert weight.std().item() == pytest.approx(2 * c2c * math.sqrt(wanted), rel=0.01)


def test_cells_without_a_pulse_keep_still_where_updates_are_noisy(ctx: memcore.Context) -> None:
    device = cells(32, c2c=0.05, noise="per_update")
    start = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64)
    assert torch.equal(pulsed(device, start, 0, ctx), start)


# -- the experiment -------------------------------------------------------------------------------


def test_each_cell_is_asked_for_the_pulses_of_its_gradient() -> None:
    """-lr g P_max / 2 pulses for the gradient g of a weight in [-1, 1]: rates undo other steps."""
    rates = {"fast": 4.0, "slow": 2.0, "easy": 0.05}
    for point in points(read("sun_yu")):
        if "nl" not in point.setting:
            continue
        assert point.in_place is not None
        chip = memcore.convert(digits_mlp(levels=32), configuration(point), seed=0)
        train_in_place(chip, digits(), InPlace(epochs=0, headroom=1.0), 0)
        step = memcore.optim.granularity(chip)["1"]
        most = 64 if point.sweep == "easy" else 32
        wanted = rates[point.sweep] * most / 2 * math.sqrt(6 / 64)
        assert point.in_place.lr / step == pytest.approx(wanted, rel=1e-3)


def test_first_weights_lie_on_levels_from_end_to_end_of_the_window() -> None:
    torch.manual_seed(0)
    weight = digits_mlp(levels=32)[1].weight
    bound = math.sqrt(6 / 64)
    levels = (weight / bound + 1) * 31 / 2
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert (levels.min().round().item(), levels.max().round().item()) == (0, 31)
    with pytest.raises(memcore.StudyError, match=r"levels = 1; expected at least 2"):
        digits_mlp(levels=1)


#: Gives a folder of a name to one worker after the other.
Shared = Callable[[str], AbstractContextManager[Path]]


@cache
def accuracies(sweep: str, only: str, chips: int, shared: Shared) -> dict[Any, torch.Tensor]:
    """Accuracies of all chips in %, by the value of the axis; only some values, or all for ""."""
    whole = read("sun_yu", chips=chips).model_dump(mode="json", exclude_unset=True)
    (mine,) = (each for each in whole["sweep"] if each["name"] == sweep)
    (axis,) = mine["axes"].values()
    kept = [
        k for k, value in enumerate(axis["values"]) if str(value) in only.split(", ") or not only
    ]
    axis["values"] = [axis["values"][k] for k in kept]
    axis["moves"] = {
        path: [move[k] for k in kept] if isinstance(move, list) else move
        for path, move in axis["moves"].items()
    }
    with shared(f"sun_yu_{sweep}") as folder:
        found = run({**whole, "sweep": [mine]}, folder, progress=False)
    return {
        next(iter(row.setting.values())): 100 * torch.tensor(row.correct) / row.samples
        for row in found.rows
    }


@pytest.mark.slow
def test_ac_sy_5_asymmetry_hurts_and_nonlinearity_does_not(shared: Shared) -> None:
    slow = accuracies("slow", "0 / 0, 3 / 3, 3 / -3", 5, shared)
    slow = {labels: found.mean().item() for labels, found in slow.items()}
    assert slow["3 / 3"] - slow["3 / -3"] >= 5
    assert abs(slow["3 / 3"] - slow["0 / 0"]) <= 3
    fast = accuracies("fast", "3 / 3, 3 / -3", 5, shared)
    assert fast["3 / 3"].mean() - fast["3 / -3"].mean() >= 12


@pytest.mark.slow
def test_ac_sy_5_a_small_rate_and_fine_steps_hide_asymmetry(shared: Shared) -> None:
    easy = accuracies("easy", "", 3, shared)
    assert abs(easy["0 / 0"].mean() - easy["3 / -3"].mean()) <= 1


@pytest.mark.slow
def test_ac_sy_6_noise_of_pulses_hurts(shared: Shared) -> None:
    straight = accuracies("slow", "0 / 0, 3 / 3, 3 / -3", 5, shared)["0 / 0"]
    noisy = accuracies("noise", "0.05", 5, shared)[0.05]
    assert int((straight - noisy >= 0.5).sum()) >= 4


def drifted(weight: torch.Tensor, towards: str, seed: int) -> torch.Tensor:
    """Weights whose cells have drifted over six decades, less a reference that has not."""
    low, high = 1e-6, 1e-5
    middle, half = 0.5 * (high + low), 0.5 * (high - low)
    scale = weight.abs().max()
    drift = {"name": "drift", "nu": 0.01, "t0": 1.0, "towards": towards}
    arrays = memcore.Crossbar(
        middle + half * weight / scale,
        device={"name": "ideal", "r_on": 1 / high, "r_off": 1 / low},
        nonidealities=[drift],
        seed=seed,
    )
    arrays.age(seconds=1e6 - 1)
    return (arrays.conductance[0] - middle) / half * scale


@pytest.mark.slow
def test_ac_sy_7_random_drift_is_best_where_references_stay() -> None:
    data, found = digits(), {"highest": [], "lowest": [], "middle": [], "random": []}
    for seed in range(5):
        torch.manual_seed(seed)
        model = digits_mlp()
        recipe = Recipe(**RECIPES["digits_mlp"])
        Training(data, recipe, seed, torch.device("cpu")).run(model)
        for towards, each in found.items():
            aged = copy.deepcopy(model)
            with torch.no_grad():
                for layer in (aged[1], aged[3]):
                    layer.weight.copy_(drifted(layer.weight, towards, seed))
                right = aged(data.test.images).argmax(1) == data.test.labels
            each.append(100 * right.float().mean().item())
    means = {towards: sum(each) / len(each) for towards, each in found.items()}
    assert means["random"] - max(means["highest"], means["lowest"]) >= 8
    assert means["highest"] > means["lowest"]


@pytest.mark.slow
def test_ac_sy_8_cells_that_endure_more_learn_more(shared: Shared) -> None:
    found = [each.mean().item() for each in accuracies("endurance", "", 3, shared).values()]
    assert all(more > less for less, more in pairwise(found))
