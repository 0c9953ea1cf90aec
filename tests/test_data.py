import gzip
from pathlib import Path

import pytest
import torch

from memcore.errors import StudyError
from memcore.study.data import (
    CIFAR10_RECORD,
    Dataset,
    Split,
    cifar10,
    dataset,
    digits,
    mnist,
    products,
)
from memcore.study.metrics import rmse
from memcore.study.models import matrix


def write_batch(file: Path, labels: list[int]) -> None:
    """Records whose pixels count up from ten times the label, modulo 256."""
    content = bytearray()
    for label in labels:
        content.append(label)
        content += bytes((10 * label + i) % 256 for i in range(CIFAR10_RECORD - 1))
    file.write_bytes(content)


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    for i in range(1, 6):
        write_batch(tmp_path / f"data_batch_{i}.bin", [i, 0])
    write_batch(tmp_path / "test_batch.bin", [9, 3, 7])
    return tmp_path


def test_digits_are_all_there_once_and_split_by_class() -> None:
    data = digits()
    assert data.train.images.shape == (1297, 1, 8, 8)
    assert data.test.images.shape == (500, 1, 8, 8)
    assert data.test.labels.bincount().tolist() == [50] * 10
    assert data.train.images.dtype == torch.float32
    assert float(data.train.images.min()) == 0.0
    assert float(data.train.images.max()) == 1.0


def test_digits_share_no_image_between_training_and_test() -> None:
    data = digits()
    train = {image.numpy().tobytes() for image in data.train.images}
    assert not any(image.numpy().tobytes() in train for image in data.test.images)


def test_digits_are_the_same_every_time() -> None:
    assert torch.equal(digits().test.images, digits().test.images)


def test_products_are_those_of_the_matrix_that_is_judged() -> None:
    data = products(size=6, train=500, noise=0.1)
    weight = data.test.labels.T
    assert weight.shape == (6, 6)
    assert float(weight.abs().max()) <= 0.5
    rest = data.train.labels - data.train.images @ weight.T
    assert rest.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(data.train.images.std().item() - 1) < 0.05
    assert torch.equal(products(size=6, train=500).test.labels, data.test.labels)


def test_the_error_of_products_is_that_of_the_weights() -> None:
    data, model = products(size=6, train=1), matrix(6)
    outputs = model(data.test.images).detach()
    error = (model.weight.detach() - data.test.labels.T).double().square().mean().sqrt().item()
    assert rmse().judge([(outputs, data.test.labels)]).value == pytest.approx(error)


def test_products_of_nothing_are_refused() -> None:
    with pytest.raises(StudyError, match=r"size = 20, train = 0 .*expected at least one"):
        products(train=0)


def test_cifar10_reads_labels_and_planes_in_order(batches: Path) -> None:
    data = cifar10(batches)
    assert data.train.labels.tolist() == [1, 0, 2, 0, 3, 0, 4, 0, 5, 0]
    assert data.test.labels.tolist() == [9, 3, 7]
    image = data.test.images[1]
    assert image.shape == (3, 32, 32)
    assert image[0, 0, :3].tolist() == [30, 31, 32]  # red, first line
    assert int(image[1, 0, 0]) == (30 + 1024) % 256  # green plane follows the red one
    assert int(image[0, 1, 0]) == (30 + 32) % 256  # lines of 32 pixels


def test_cifar10_is_standardised_with_the_constants_of_the_training_set(batches: Path) -> None:
    data = cifar10(batches)
    prepared = data.prepare(data.test.images)
    assert prepared.dtype == torch.float32
    expected = (31 / 255 - 0.4914) / 0.2470
    assert float(prepared[1, 0, 0, 1]) == pytest.approx(expected, rel=1e-5)


def test_cifar10_is_found_in_the_folder_that_the_archive_unpacks(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        write_batch(folder / f"data_batch_{i}.bin", [i])
    write_batch(folder / "test_batch.bin", [1])
    assert len(cifar10(tmp_path).train) == 5


def test_a_missing_batch_is_named_with_where_to_get_it(batches: Path) -> None:
    (batches / "data_batch_3.bin").unlink()
    with pytest.raises(StudyError, match=r"data_batch_3\.bin' is missing") as caught:
        cifar10(batches)
    assert "cifar-10-binary.tar.gz" in str(caught.value)
    assert "University of Toronto" in str(caught.value)


def test_a_torn_batch_is_named(batches: Path) -> None:
    file = batches / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(StudyError, match=r"test_batch\.bin' has 9218 bytes"):
        cifar10(batches)


def test_a_batch_with_impossible_labels_is_refused(batches: Path) -> None:
    write_batch(batches / "test_batch.bin", [10])
    with pytest.raises(StudyError, match="label 10"):
        cifar10(batches)


def test_a_function_beside_the_study_file_gives_the_data(tmp_path: Path) -> None:
    (tmp_path / "my_blobs.py").write_text(
        "import torch\n"
        "from memcore.study import Dataset, Split\n"
        "def blobs(count):\n"
        "    split = Split(torch.zeros(count, 2), torch.zeros(count, dtype=torch.int64))\n"
        "    return Dataset(train=split, test=split, classes=2)\n"
    )
    data = dataset({"name": "my_blobs:blobs", "count": 3}, tmp_path)
    assert len(data.test) == 3


def test_unknown_data_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="did you mean 'cifar10'") as caught:
        dataset({"name": "cifar"}, tmp_path)
    assert "package.module:function" in str(caught.value)


def test_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"'digits'.*unexpected keyword argument 'size'"):
        dataset({"name": "digits", "size": 3}, tmp_path)


def test_a_function_that_returns_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"returned list; expected a memcore\.study.Dataset"):
        dataset({"name": "builtins:list"}, tmp_path)


def test_labels_must_match_the_images() -> None:
    with pytest.raises(StudyError, match=r"labels have shape \(2,\), but there are 3 images"):
        Split(torch.zeros(3, 1), torch.zeros(2))


def test_a_dataset_leaves_images_as_they_are_unless_told() -> None:
    split = Split(torch.ones(2, 1), torch.zeros(2, dtype=torch.int64))
    assert torch.equal(Dataset(train=split, test=split).prepare(split.images), split.images)


def write_idx(path: Path, values: torch.Tensor, *, packed: bool = False) -> None:
    head = bytes([0, 0, 8, values.dim()])
    sizes = b"".join(size.to_bytes(4) for size in values.shape)
    content = head + sizes + values.to(torch.uint8).numpy().tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    """Files of MNIST with few images, some of them packed."""
    for name, count in (("train", 6), ("t10k", 3)):
        images = torch.arange(count * 28 * 28).view(count, 28, 28) % 256
        write_idx(tmp_path / f"{name}-images-idx3-ubyte.gz", images, packed=True)
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", torch.arange(count) % 10)
    return tmp_path


def test_mnist_reads_images_and_labels_packed_or_not(idx: Path) -> None:
    data = dataset({"name": "mnist", "folder": str(idx)}, Path("elsewhere"))
    assert data.train.labels.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test.images.shape == (3, 1, 28, 28)
    assert data.test.images[0, 0, 1, :2].tolist() == [28, 29]
    prepared = data.prepare(data.test.images)
    assert float(prepared[0, 0, 0, 1]) == pytest.approx((1 / 255 - 0.1307) / 0.3081)


def test_a_missing_file_of_mnist_is_named(idx: Path) -> None:
    (idx / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(StudyError, match="t10k-labels-idx1-ubyte' is missing"):
        mnist(idx)


@pytest.mark.parametrize("content", [b"", b"\0\0\x09\x01", b"\0\0\x08\x01\0\0\0\x09abc"])
def test_a_file_that_is_no_idx_file_is_named(content: bytes, idx: Path) -> None:
    (idx / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(StudyError, match="train-labels-idx1-ubyte' has"):
        mnist(idx)


def test_a_torn_archive_is_named(idx: Path) -> None:
    file = idx / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(StudyError, match="cannot be read"):
        mnist(idx)
