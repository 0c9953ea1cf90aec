"""Networks of studies that are trained through their hardware: the table `[train.crossbar]`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from memcore import CrossbarConfig, StudyError
from memcore.study import Dataset, General, Recipe, Split, checkpoints, read, run
from memcore.study.data import digits, orders
from memcore.study.evaluation import evaluate_chip
from memcore.study.hardware import Hardware
from memcore.study.life import Life
from memcore.study.metrics import accuracy, sequence
from memcore.study.models import RECIPES, digits_lstm, orders_gpt
from memcore.study.orders import NAMES, WORDS
from memcore.study.sweeps import configuration, points
from memcore.study.training import Training

CPU = torch.device("cpu")
SPREAD = {"device": "ideal", "nonidealities": [{"name": "d2d", "std": 0.5}]}
BITS = {"name": "uniform", "bits": 6}
TRAINED = ["spread_gpt_trained", "spread_lstm_trained", "spread_vgg_trained"]


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))


def few(count: int = 1297) -> Dataset:
    data = digits()
    train = Split(data.train.images[:count], data.train.labels[:count])
    return Dataset(train=train, test=data.test.head(200))


def trained(**recipe: Any) -> nn.Module:
    model = network()
    Training(few(), Recipe(lr=1e-2, batch=64, **recipe), 5, CPU).run(model)
    return model


def accuracy_of(model: nn.Module) -> float:
    config, general = CrossbarConfig(**SPREAD), General()
    scores = [
        evaluate_chip(model, config, few(), general, accuracy(), Life(), number)
        for number in range(6)
    ]
    return sum(score.value for score in scores) / len(scores)


def test_a_network_that_was_trained_through_its_spread_is_right_more_often_on_chips() -> None:
    plain, aware = trained(epochs=10), trained(epochs=10, crossbar=SPREAD)
    assert accuracy_of(aware) > accuracy_of(plain) + 0.02


def test_a_network_is_digital_before_and_after_its_training() -> None:
    model = trained(epochs=1, crossbar=SPREAD)
    assert [type(layer) for layer in model] == [nn.Flatten, nn.Linear, nn.ReLU, nn.Linear]
    assert not model.training


def test_a_training_through_hardware_that_was_interrupted_goes_on_bit_for_bit(
    tmp_path: Path,
) -> None:
    recipe = Recipe(epochs=3, batch=30, crossbar={**SPREAD, "adc": BITS, "tile": [32, 32]})
    whole, file = network(), tmp_path / "snapshot"
    Training(few(90), recipe, 5, CPU).run(whole)

    def stop(line: str) -> None:
        if file.exists():
            raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        Training(few(90), recipe, 5, CPU, file).run(network(), stop)
    again = network()
    Training(few(90), recipe, 5, CPU, file).run(again)
    assert checkpoints.digest(again) == checkpoints.digest(whole)


def test_the_ranges_of_converters_follow_the_weights_from_epoch_to_epoch() -> None:
    hardware = Hardware({**SPREAD, "dac": BITS, "adc": BITS}, few(), 0, "cpu")
    chip = hardware.around(network())
    hardware.begin(chip)
    arrays = chip[3].crossbar
    before = arrays.input.range[0, 1].clone(), arrays.output.range.clone()
    with torch.no_grad():
        chip[1].weight.mul_(5)
        chip[1].bias.mul_(5)
        chip[3].weight[0].mul_(3)  # so that the cells of other outputs conduct less
    hardware.begin(chip)
    assert not torch.equal(arrays.output.range, before[1])
    torch.testing.assert_close(arrays.input.range[0, 1], 5 * before[0], rtol=0.2, atol=0)


def test_the_crossbar_of_a_training_is_that_of_the_study_but_for_what_it_says() -> None:
    content = {"crossbar": {**SPREAD, "tile": [64, 64]}, "train": {"crossbar": {"adc": BITS}}}
    crossbar = read(content).train.crossbar
    assert crossbar is not None
    assert (crossbar["tile"], crossbar["adc"]) == ([64, 64], BITS)
    assert read({"crossbar": SPREAD, "train": {"crossbar": {}}}).train.crossbar == SPREAD


def test_what_is_wrong_in_the_crossbar_of_a_training_is_named() -> None:
    with pytest.raises(StudyError, match=r"train\.crossbar: a crossbar has no setting 'tlie'"):
        read({"crossbar": SPREAD, "train": {"crossbar": {"tlie": [1, 1]}}})


def test_networks_that_were_trained_without_hardware_are_still_known() -> None:
    assert "crossbar" not in Recipe().model_dump(mode="json")


def test_a_study_trains_through_hardware_before_it_judges(tmp_path: Path) -> None:
    content = {
        "study": {"model": "digits_lstm", "chips": 1, "samples": 20},
        "crossbar": {"device": "ideal", "nonidealities": [{"name": "d2d", "std": 0.1}]},
        "train": {"epochs": 1, "crossbar": {}},
    }
    first = run(content, tmp_path)
    record = checkpoints.checkpoint_record(tmp_path / "model.safetensors")
    assert record is not None
    assert record["recipe"]["crossbar"] == content["crossbar"]
    assert run(content, tmp_path).rows[0].correct == first.rows[0].correct


@pytest.mark.parametrize("name", TRAINED)
def test_a_packaged_study_trains_through_the_spread_that_its_pair_meets_unprepared(
    name: str,
) -> None:
    aware, plain = read(name), read(name.removesuffix("_trained"))
    assert aware.train.crossbar is not None
    assert plain.train.crossbar is None
    pairs = zip(points(aware), points(plain), strict=True)
    for mine, other in pairs:
        assert configuration(mine) == configuration(other)


def test_an_lstm_reads_digits_row_by_row() -> None:
    assert digits_lstm()(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_a_gpt_sees_no_word_that_follows() -> None:
    model, texts = orders_gpt(), orders(train=4, test=1).train.images
    changed = texts.clone()
    changed[:, 30:] = 0
    with torch.no_grad():
        first, second = model(texts), model(changed)
    torch.testing.assert_close(first[:, :30], second[:, :30])
    assert not torch.allclose(first[:, 30:], second[:, 30:])


def test_what_is_judged_of_orders_follows_from_the_words_before() -> None:
    data = orders(train=20, test=200)
    assert torch.equal(data.test.images, orders(train=1, test=219).test.images[19:])
    judged = 0
    for text, labels in zip(data.test.images.tolist(), data.test.labels.tolist(), strict=True):
        wants: dict[int, int] = {}
        for place in range(0, 47, 3):
            name, thing = text[place], labels[place]
            assert WORDS[name] in NAMES
            assert thing == wants.get(name, -100)
            wants[name] = text[place + 1]
            judged += thing != -100
        assert set(labels[1::3]) | set(labels[2::3]) == {-100}
    assert judged > 200 * 8


@pytest.mark.slow
def test_a_small_gpt_remembers_who_wants_what() -> None:
    torch.manual_seed(0)
    data, model, metric = orders(test=100), orders_gpt(), sequence()
    recipe = Recipe(**RECIPES["orders_gpt"])
    Training(data, recipe, 0, CPU, loss=metric.loss).run(model)
    with torch.no_grad():
        score = metric.judge([(model(data.test.images), data.test.labels)])
    assert score.value > 0.95


def test_the_study_of_a_gpt_runs_in_small(tmp_path: Path) -> None:
    whole = read("spread_gpt_trained", chips=1, samples=2).model_dump(
        mode="json", exclude_unset=True
    )
    whole["study"]["data"] = {"name": "orders", "train": 64, "test": 4}
    whole["train"]["epochs"] = 1
    whole["sweep"][0]["axes"]["spread"]["values"] = [0, 50]
    found = run(whole, tmp_path, progress=False)
    assert [row.samples for row in found.rows] == [found.rows[0].samples] * 2
    assert all(0 <= row.mean <= 1 for row in found.rows)
