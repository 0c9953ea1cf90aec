"""Data for studies: digits, texts and products made by rule, files, or a function's."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from memcore._text import needed
from memcore.errors import StudyError
from memcore.study.components import build
from memcore.study.files import is_regular
from memcore.study.orders import WORDS, told
from memcore.study.products import vectors

CIFAR10_PAGE: Final = "https://www.cs.toronto.edu/~kriz/cifar.html"
CIFAR10_TRAIN: Final = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
CIFAR10_TEST: Final = ("test_batch.bin",)
CIFAR10_RECORD: Final = 1 + 3 * 32 * 32  # bytes: the label, then red, green and blue planes
DIGITS_TEST_PER_CLASS: Final = 50
#: The files of the training set and of the test set, images before labels, packed or not.
MNIST_FILES: Final = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


@dataclass(frozen=True, eq=False)
class Split:
    """Images [n, channels, height, width] and their labels, int64 [n].

    The images may be any inputs [n, ...], and the labels any targets [n, ...] that the metric of
    the study judges.
    """

    images: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        for name, value in (("images", self.images), ("labels", self.labels)):
            if not isinstance(value, Tensor) or not value.dim():
                came = "a number" if isinstance(value, Tensor) else type(value).__name__
                raise StudyError(f"{name} are {came}; expected a tensor with an entry per sample")
        if self.labels.shape[:1] != self.images.shape[:1]:
            raise StudyError(
                f"labels have shape {tuple(self.labels.shape)}, but there are "
                f"{len(self.images)} images; expected one int64 label for each image"
            )

    def __len__(self) -> int:
        return len(self.images)

    def head(self, count: int | None) -> "Split":
        """The first `count` samples, all of them for `None`."""
        return Split(self.images[:count], self.labels[:count])


def _unchanged(images: Tensor) -> Tensor:
    return images


@dataclass(frozen=True, eq=False)
class Dataset:
    """The data set that a data function returns.

    Attributes:
        train: samples for training the model and for calibrating converters.
        test: samples for the results, never for anything else.
        classes: number of labels.
        prepare: function that is applied to each batch of images and returns the input of the
            model (float32); several in a tuple, or by keywords in a mapping.
        augment: keywords of `memcore.study.training.Recipe` that suit these images.
    """

    train: Split
    test: Split
    classes: int = 10
    prepare: Callable[[Tensor], Any] = _unchanged
    augment: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, split in (("train", self.train), ("test", self.test)):
            if not isinstance(split, Split) or not len(split):
                came = "empty" if isinstance(split, Split) else type(split).__name__
                raise StudyError(f"the {name} split is {came}; expected Split(images, labels)")


def digits() -> Dataset:
    """The 1797 handwritten digits of scikit-learn, 8 x 8 pixels in [0, 1].

    50 images of each class are the test set, always the same ones; 1297 are left for training.
    """
    library = needed("sklearn.datasets", "the data set 'digits' of scikit-learn")
    images, labels = _written(library.load_digits)
    # RandomState's stream is frozen by numpy's compatibility policy, so the split is for ever.
    order = torch.from_numpy(np.random.RandomState(0).permutation(len(labels)))
    held = torch.cat([order[labels[order] == c][:DIGITS_TEST_PER_CLASS] for c in range(10)])
    is_test = torch.zeros(len(labels), dtype=torch.bool, device="cpu")
    is_test[held] = True
    return Dataset(
        train=Split(images[~is_test], labels[~is_test]),
        test=Split(images[is_test], labels[is_test]),
        augment={"shift": 1},
    )


@cache
def _written(load: Callable[[], Any]) -> tuple[Tensor, Tensor]:
    """All digits and their labels, which a process reads from their file once."""
    bunch = load()
    images = torch.from_numpy(bunch.images / 16.0).to(torch.float32).unsqueeze(1)
    return images, torch.from_numpy(bunch.target).to(torch.int64)


def orders(train: int = 4000, test: int = 500) -> Dataset:
    """Texts of a small language, whose words are to be foretold: sixteen orders at a counter.

    "ann tea . ben milk . ann tea ." A sample is the words of a text, int64 [47], and its labels are
    the words behind them. Those of the test texts are -100, which the metric `sequence` does not
    judge, but for what somebody wants who was there before: who knows only what there is to eat is
    right once in eight.

    Args:
        train: number of texts to learn from.
        test: number of texts to be judged.
    """
    words, is_known = told(train + test)
    inputs, labels = words[:, :-1], words[:, 1:]
    judged = torch.where(is_known[:, 1:], labels, -100)
    return Dataset(
        train=Split(inputs[:train], labels[:train]),
        test=Split(inputs[train:], judged[train:]),
        classes=len(WORDS),
    )


def products(size: int = 20, train: int = 12_000, noise: float = 0.3) -> Dataset:
    """Noisy products of one matrix with vectors, by which that matrix is to be learned.

    Weights are uniform between -0.5 and 0.5, inputs normal with a standard deviation of 1. The test
    inputs are the unit vectors and their targets the columns of the matrix, so that the metric
    `rmse` of a network of one matrix is the error of its weights.

    Args:
        size: number of inputs, and of outputs.
        train: number of vectors to learn from.
        noise: standard deviation of what is added to each output of these.

    Raises:
        StudyError: a number is too small.
    """
    if min(size, train) < 1 or not noise >= 0:
        raise StudyError(
            f"size = {size!r}, train = {train!r} and noise = {noise!r} came; expected at least one "
            "input and one vector, and a noise of 0 or more"
        )
    matrix, inputs, outputs = vectors(size, train, noise)
    return Dataset(
        train=Split(inputs, outputs),
        test=Split(torch.eye(size, device="cpu"), matrix.T.clone()),
        classes=size,
    )


def cifar10(folder: str | Path = "cifar-10-batches-bin") -> Dataset:
    """The 60 000 images of CIFAR-10 (Krizhevsky 2009) from the official binary batches.

    Images stay uint8 until a batch is prepared: scaled to [0, 1], then to zero mean and unit
    standard deviation per channel, with the constants of the training set.

    Args:
        folder: folder that holds `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.

    Raises:
        StudyError: a file is missing or is not made of whole records.
    """
    folder = Path(folder)
    if (folder / "cifar-10-batches-bin").is_dir():
        folder = folder / "cifar-10-batches-bin"
    return Dataset(
        train=_read_batches(folder, CIFAR10_TRAIN),
        test=_read_batches(folder, CIFAR10_TEST),
        prepare=standardise_cifar10,
        augment={"shift": 4, "flip": True},
    )


def standardise_cifar10(images: Tensor) -> Tensor:
    """Map uint8 [n, 3, 32, 32] to float32 with the training set's channel mean and deviation."""
    mean = images.new_tensor([0.4914, 0.4822, 0.4465], dtype=torch.float32)
    std = images.new_tensor([0.2470, 0.2435, 0.2616], dtype=torch.float32)
    return (images.to(torch.float32) / 255.0 - mean[:, None, None]) / std[:, None, None]


def _read_batches(folder: Path, names: tuple[str, ...]) -> Split:
    records = torch.cat([_read_batch(folder / name) for name in names])
    return Split(records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].to(torch.int64))


def _read_batch(file: Path) -> Tensor:
    try:
        content = file.read_bytes() if is_regular(file) else b""
        missing = not file.exists()
    except OSError as error:
        raise StudyError(
            f"'{file}' cannot be read: {error.strerror}; expected a file of the binary version of "
            "CIFAR-10"
        ) from error
    if missing:
        raise StudyError(
            f"CIFAR-10 is not complete: '{file}' is missing; get cifar-10-binary.tar.gz "
            f"from the CIFAR-10 page of the University of Toronto ({CIFAR10_PAGE}), unpack it and "
            'give its folder: --data FOLDER, or data = { name = "cifar10", folder = "..." }'
        )
    if not content or len(content) % CIFAR10_RECORD:
        raise StudyError(
            f"'{file}' has {len(content)} bytes, which is no whole number of records of "
            f"{CIFAR10_RECORD} bytes; it is torn or not of the binary version of CIFAR-10"
        )
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, CIFAR10_RECORD)
    if int(records[:, 0].max()) > 9:
        raise StudyError(f"'{file}' holds a label {int(records[:, 0].max())}; CIFAR-10 has 0 to 9")
    return records


def mnist(folder: str | Path = "mnist") -> Dataset:
    """The 70 000 handwritten digits of MNIST (LeCun 1998), 28 x 28 pixels.

    Images stay uint8 until a batch is prepared, with the mean and the deviation of the training
    set.

    Args:
        folder: folder that holds the four IDX files, packed with gzip or not.

    Raises:
        StudyError: a file is missing or is no IDX file of bytes.
    """
    splits = {}
    for name, (images, labels) in MNIST_FILES.items():
        pixels, digits = _read_idx(Path(folder), images), _read_idx(Path(folder), labels)
        if pixels.dim() != 3 or digits.dim() != 1 or int(digits.max()) > 9:
            raise StudyError(
                f"'{images}' has shape {list(pixels.shape)} and '{labels}' {list(digits.shape)}; "
                "expected images [n, rows, columns] and digits [n]"
            )
        splits[name] = Split(pixels.unsqueeze(1), digits.long())
    return Dataset(train=splits["train"], test=splits["test"], prepare=standardise_mnist)


def standardise_mnist(images: Tensor) -> Tensor:
    """Map uint8 images to float32 with the mean and the deviation of the training set."""
    return (images.to(torch.float32) / 255.0 - 0.1307) / 0.3081


def _read_idx(folder: Path, name: str) -> Tensor:
    """The bytes of an IDX file in the shape that its head says."""
    packed, plain = folder / f"{name}.gz", folder / name
    file = packed if packed.exists() else plain
    if not is_regular(file):
        raise StudyError(
            f"MNIST is not complete: '{plain}' is missing, with or without .gz; expected its four "
            'IDX files in one folder: data = { name = "mnist", folder = "..." }'
        )
    try:
        content = file.read_bytes()
        content = gzip.decompress(content) if file is packed else content
    except (OSError, EOFError, zlib.error) as error:
        raise StudyError(f"'{file}' cannot be read: {error}; expected an IDX file") from error
    dims = content[3] if content[:3] == b"\0\0\x08" and len(content) > 4 else 0
    shape = [int.from_bytes(content[4 * k : 4 * k + 4]) for k in range(1, dims + 1)]
    start = 4 * (dims + 1)
    if not dims or len(content) - start != torch.Size(shape).numel() or 0 in shape:
        raise StudyError(
            f"'{file}' has {len(content)} bytes, which are no IDX file of bytes of shape {shape}; "
            "expected one that is whole"
        )
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).view(shape)


DATASETS: Final[dict[str, Callable[..., Any]]] = {
    "digits": digits,
    "orders": orders,
    "products": products,
    "cifar10": cifar10,
    "mnist": mnist,
}
#: Those that are read from a folder, and its name by default.
FOLDERS: Final = {"cifar10": "cifar-10-batches-bin", "mnist": "mnist"}


def dataset(component: Mapping[str, Any], folder: Path) -> Dataset:
    """Build the dataset that a study names.

    Args:
        component: mapping `{"name": ..., parameters}` with a name of `DATASETS` or
            "package.module:function".
        folder: folder of the study file, where relative paths and modules are found.

    Raises:
        StudyError: the name or a parameter is unknown, or the function returns something else.
    """
    options = dict(component)
    if options["name"] in FOLDERS:
        options["folder"] = folder / str(options.get("folder", FOLDERS[options["name"]]))
    elif "folder" in options and options["name"] in DATASETS:
        raise StudyError(
            f"data {options['name']!r} came with the folder {str(options['folder'])!r}, but needs "
            f"no files; expected no folder, or data = {' or '.join(map(repr, FOLDERS))}"
        )
    built = build("data", options, DATASETS, folder)
    if not isinstance(built, Dataset):
        raise StudyError(
            f"data {component['name']!r} returned {type(built).__name__}; expected a "
            "memcore.study.Dataset(train=Split(images, labels), test=Split(images, labels))"
        )
    return built
