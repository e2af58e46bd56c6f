"""CIFAR-10 and CIFAR-100 from the official Python archives or folders."""

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from catfish.datasets.arrays import Arrays, check_counts, versions
from catfish.datasets.download import fetch
from catfish.datasets.errors import DataError
from catfish.files import checksum

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"


def read_cifar10(raw: Path, download: bool = True, per_class: tuple[int, int] = (5000, 1000)) -> Arrays:
    """50,000 training and 10,000 test images of 10 classes; see `read_cifar`."""
    from torchvision.datasets import CIFAR10

    return read_cifar(CIFAR10, raw, download, classes=10, per_class=per_class)


def read_cifar100(raw: Path, download: bool = True, per_class: tuple[int, int] = (500, 100)) -> Arrays:
    """50,000 training and 10,000 test images of 100 (fine) classes; see `read_cifar`."""
    from torchvision.datasets import CIFAR100

    return read_cifar(CIFAR100, raw, download, classes=100, per_class=per_class)


def read_cifar(official: type, raw: Path, download: bool, classes: int, per_class: tuple[int, int]) -> Arrays:
    """Read one of torchvision's CIFAR classes, which brings the names and published md5 of the official files.

    Taken is the first of: the extracted folder in `raw`, the archive in `raw`, the archive after a download to `raw`.
    `per_class`: the training and test examples expected in every class.
    Raises DataError for a missing, damaged or incomplete file, and when the download fails.
    """
    with _extracted(official, raw, download) as root:
        # The files are pickles, so nothing is loaded before every md5 is right.
        _verify(official, root / official.base_folder)
        train, test = (official(root, train=flag) for flag in (True, False))
    train_labels, test_labels = np.array(train.targets, np.int64), np.array(test.targets, np.int64)
    check_counts(train_labels, classes, per_class[0], f"{official.base_folder}, training set")
    check_counts(test_labels, classes, per_class[1], f"{official.base_folder}, test set")
    return Arrays(
        _channels_first(train.data),
        train_labels,
        _channels_first(test.data),
        test_labels,
        classes,
        source={"home": HOME, "read": official.base_folder, "md5": _published(official)},
        made_with=versions("numpy", "torchvision"),
    )


@contextmanager
def _extracted(official: type, raw: Path, allowed_to_download: bool) -> Iterator[Path]:
    """A folder that holds the extracted official folder."""
    if (raw / official.base_folder).exists():
        yield raw
        return
    archive = raw / official.filename
    put = f"put the official {official.filename} from {HOME} into {raw}"
    if not archive.exists():
        if not allowed_to_download:
            raise DataError(f"{archive}: missing, and so is the folder {official.base_folder}; {put}")
        fetch(official.url, archive, official.tgz_md5, put)
    found = checksum(archive, "md5")
    if found != official.tgz_md5:
        raise DataError(f"{archive}: damaged (md5 {found}, published {official.tgz_md5}); delete it, then {put}")
    # A temporary place: an interrupted extraction leaves nothing half done in `raw`, which may also be read-only.
    with TemporaryDirectory() as temporary:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
        yield Path(temporary)


def _published(official: type) -> dict[str, str]:
    """File name -> md5, as torchvision states them."""
    meta = official.meta
    return dict([*official.train_list, *official.test_list, (meta["filename"], meta["md5"])])


def _verify(official: type, folder: Path) -> None:
    cure = f"delete the folder {folder}, then put the official {official.filename} from {HOME} beside it"
    for name, md5 in _published(official).items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path}: missing; {cure}")
        if checksum(path, "md5") != md5:
            raise DataError(f"{path}: damaged (its md5 is not the published {md5}); {cure}")


def _channels_first(images: np.ndarray) -> np.ndarray:
    """(N, 32, 32, 3) -> contiguous (N, 3, 32, 32)."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
