from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from memcore.errors import StudyError
from memcore.study import checkpoints, training
from memcore.study.config import General, read
from memcore.study.data import Dataset, Split, digits
from memcore.study.evaluation import judged
from memcore.study.metrics import accuracy
from memcore.study.models import RECIPES, digits_vgg, model, vgg16
from memcore.study.training import Recipe, Training

CPU = torch.device("cpu")


def weights(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters() if p.ndim > 1)


def test_vgg16_has_thirteen_convolutions_and_14_7_million_weights() -> None:
    network = vgg16()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 13
    assert weights(network) == 14_715_584
    assert (network.classifier.in_features, network.classifier.out_features) == (512, 10)
    assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_digits_vgg_maps_digits_to_ten_logits() -> None:
    assert digits_vgg().eval()(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


def test_digits_vgg_learns_the_digits() -> None:
    torch.manual_seed(0)
    network, data = digits_vgg(), digits()
    recipe = Recipe().over(data.augment, RECIPES["digits_vgg"])
    Training(data, recipe, 0, CPU).run(network)
    correct = judged(network, data, data.test, General(), accuracy()).right
    assert correct / len(data.test) >= 0.985


def small() -> tuple[nn.Module, Dataset]:
    torch.manual_seed(3)
    data = digits()
    part = Split(data.train.images[:65], data.train.labels[:65])
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))
    return network, Dataset(train=part, test=data.test)


def test_training_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    digests = []
    for global_seed in (1, 2):
        network, data = small()
        torch.manual_seed(global_seed)
        before = torch.get_rng_state()
        recipe = Recipe(epochs=2, batch=16, shift=1, flip=True)
        Training(data, recipe, 5, CPU).run(network)
        assert torch.equal(torch.get_rng_state(), before)
        digests.append(checkpoints.digest(network))
    assert digests[0] == digests[1]


@pytest.mark.parametrize("steps", range(1, 7))
def test_a_training_may_be_of_few_steps(steps: int) -> None:
    network, data = small()
    before = checkpoints.digest(network)
    Training(data, Recipe(epochs=steps, batch=64), 5, CPU).run(network)
    assert checkpoints.digest(network) != before


def test_the_seed_of_the_training_matters() -> None:
    digests = set()
    for seed in (5, 6):
        network, data = small()
        Training(data, Recipe(epochs=1, batch=16), seed, CPU).run(network)
        digests.add(checkpoints.digest(network))
    assert len(digests) == 2


def test_shifted_images_are_moved_whole_and_filled_with_zeros() -> None:
    images = torch.zeros(200, 1, 5, 5)
    images[:, 0, 2, 2] = 1.0
    moved = training._shifted(images, 1, torch.Generator().manual_seed(0))
    assert moved.sum((1, 2, 3)).eq(1).all()
    reached = moved.sum(0)[0] > 0
    assert reached[1:4, 1:4].all()
    assert int(reached.sum()) == 9


def test_a_recipe_says_what_the_file_says_and_else_what_suits_the_model() -> None:
    recipe = Recipe(epochs=3).over({"shift": 1}, {"epochs": 50, "lr": 0.5})
    assert (recipe.epochs, recipe.lr, recipe.shift) == (3, 0.5, 1)


def test_a_checkpoint_comes_back_with_its_record(tmp_path: Path) -> None:
    network, _ = small()
    path = tmp_path / "model.safetensors"
    checkpoints.save_checkpoint(network, path, {"seed": 1})
    other, _ = small()
    nn.init.zeros_(other[1].weight)  # type: ignore[arg-type,union-attr]
    checkpoints.load_weights(other, path)
    assert checkpoints.digest(other) == checkpoints.digest(network)
    assert checkpoints.checkpoint_record(path) == {"seed": 1}


def test_a_checkpoint_is_the_same_file_every_time(tmp_path: Path) -> None:
    network, _ = small()
    for name in ("a", "b"):
        checkpoints.save_checkpoint(network, tmp_path / name, {"seed": 1, "model": {"name": "x"}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_torn_checkpoint_has_no_record(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert checkpoints.checkpoint_record(path) is None


def test_a_file_of_torch_save_is_never_unpickled_on_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, _ = small()
    path = tmp_path / "weights.pt"
    torch.save({"model_state_dict": network.state_dict(), "epoch": 3}, path)
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("unpickled"))
    with pytest.raises(StudyError, match="memcore convert-checkpoint"):
        checkpoints.load_weights(network, path)


def test_weights_that_do_not_fit_are_listed_and_change_nothing(tmp_path: Path) -> None:
    network, _ = small()
    before = checkpoints.digest(network)
    state = {name: 2 * tensor for name, tensor in network.state_dict().items()}
    state["1.weight"] = torch.zeros(8, 63)
    state["head.bias"] = state.pop("3.bias")
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(StudyError) as caught:
        checkpoints.load_weights(network, tmp_path / "weights.safetensors")
    text = str(caught.value)
    assert "1.weight: shape [8, 63], the model has [8, 64]" in text
    assert "missing: 3.bias" in text
    assert "not in the model: head.bias" in text
    assert checkpoints.digest(network) == before


def test_a_common_beginning_of_all_names_is_recognised(tmp_path: Path) -> None:
    network, _ = small()
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")
    with pytest.raises(StudyError, match=r"begin with 'module\.'.*\n.*--strip module\. "):
        checkpoints.load_weights(network, tmp_path / "weights.safetensors")


def test_a_state_that_is_no_tensor_is_named(tmp_path: Path) -> None:
    class Odd(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"calls": 3}

        def set_extra_state(self, state: object) -> None:
            del state

    with pytest.raises(StudyError, match="state '_extra_state' of Odd is dict; expected tensors"):
        checkpoints.save_checkpoint(Odd(2, 2), tmp_path / "odd.safetensors", {})


def test_a_missing_or_unreadable_checkpoint_is_named(tmp_path: Path) -> None:
    network, _ = small()
    with pytest.raises(StudyError, match=r"there is no checkpoint .*; memcore brings .*digits_vgg"):
        checkpoints.load_weights(network, tmp_path / "none.safetensors")
    (tmp_path / "bad.pt").write_bytes(b"nonsense")
    with pytest.raises(StudyError, match=r"bad\.pt' cannot be read"):
        checkpoints.load_weights(network, tmp_path / "bad.pt")


@pytest.mark.parametrize("name", ["demo", "ir_drop_sizes", "sensing"])
def test_a_packaged_study_brings_weights_of_its_own_recipe_and_seed(
    name: str, tmp_path: Path
) -> None:
    study, data = read(name), digits()
    path = checkpoints.located(study.study.checkpoint or "", tmp_path)  # as from a copy elsewhere
    recipe = study.train.over(data.augment, RECIPES["digits_vgg"])
    assert checkpoints.checkpoint_record(path) == {
        "model": {"name": "digits_vgg"},
        "data": checkpoints.digest_dataset(data),
        "seed": study.study.seed,
        "recipe": recipe.model_dump(mode="json"),
    }
    network = digits_vgg()
    checkpoints.load_weights(network, path)
    assert judged(network, data, data.test, General(), accuracy()).right == 498


def test_a_file_beside_the_study_wins_over_weights_of_the_same_name(tmp_path: Path) -> None:
    assert checkpoints.located("digits_vgg", tmp_path).suffix == ".safetensors"
    (tmp_path / "digits_vgg").touch()
    assert checkpoints.located("digits_vgg", tmp_path) == tmp_path / "digits_vgg"
    assert checkpoints.located("other.pt", tmp_path) == tmp_path / "other.pt"


def test_digests_see_names_shapes_and_values() -> None:
    base = {"w": torch.zeros(2, 3)}
    others = [{"v": torch.zeros(2, 3)}, {"w": torch.zeros(3, 2)}, {"w": torch.full((2, 3), 1e-9)}]
    assert all(checkpoints.digest_tensors(o) != checkpoints.digest_tensors(base) for o in others)


def test_an_unknown_model_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no model named 'vgg'; did you mean 'vgg16'"):
        model({"name": "vgg"}, tmp_path)


def test_a_model_function_that_cannot_be_imported_is_explained(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="'no_such_module:net' cannot be imported"):
        model({"name": "no_such_module:net"}, tmp_path)
    with pytest.raises(StudyError, match=r"returned dict; expected a torch\.nn\.Module"):
        model({"name": "builtins:dict"}, tmp_path)


class Stopped(Exception):
    """Stands for a power cut."""


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_an_interrupted_training_gives_the_same_weights(tmp_path: Path, optimizer: str) -> None:
    recipe = Recipe(epochs=4, batch=16, shift=1, lr=0.01, optimizer=optimizer)  # type: ignore[arg-type]
    whole, data = small()
    Training(data, recipe, 5, CPU).run(whole)

    def stop(_: str) -> None:
        raise Stopped

    work = Training(data, recipe, 5, CPU, tmp_path / "snapshot")
    for _ in range(2):
        part, _ = small()
        with pytest.raises(Stopped):
            work.run(part, stop)
    again, _ = small()
    lines: list[str] = []
    work.run(again, lines.append)
    assert lines[0] == "done before"
    assert checkpoints.digest(again) == checkpoints.digest(whole)


@pytest.mark.parametrize("spoil", [b"", b"nonsense", None])
def test_a_snapshot_of_something_else_is_named_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: bytes | None
) -> None:
    whole, data = small()
    Training(data, Recipe(epochs=2), 5, CPU).run(whole)
    file = tmp_path / "snapshot"
    if spoil is None:
        Training(data, Recipe(epochs=3), 5, CPU, file).run(small()[0])
    else:
        file.write_bytes(spoil)
    again, _ = small()
    Training(data, Recipe(epochs=2), 5, CPU, file).run(again)
    assert "snapshot cannot be continued" in caplog.text
    assert checkpoints.digest(again) == checkpoints.digest(whole)
