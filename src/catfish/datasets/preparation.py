"""From a data set's name to its prepared folder."""

from pathlib import Path
from typing import Any

from catfish.datasets.cifar import read_cifar10, read_cifar100
from catfish.datasets.digits import read_digits
from catfish.datasets.errors import DataError
from catfish.datasets.imagenet import prepare_imagenet
from catfish.datasets.prepared import write_prepared
from catfish.datasets.tinyimagenet import read_tinyimagenet

READERS = {
    "digits": read_digits,
    "cifar10": read_cifar10,
    "cifar100": read_cifar100,
    "tinyimagenet": read_tinyimagenet,
}
LARGER_THAN_MEMORY = ("imagenet", "imagenet64")


def prepare(name: str, raw: Path, out: Path, download: bool = True) -> dict[str, Any]:
    """Read the raw files of a data set and write `out`/arrays.npz and `out`/manifest.json; returns the manifest.

    raw: the folder where official files are looked for, and downloaded to unless `download` is False. ImageNet, which
    nobody may download without an account, is read and written shard by shard; its images are in files of their own.
    Raises DataError for an unknown name, a file that is missing, damaged or incomplete, and a failed download.
    """
    if name in LARGER_THAN_MEMORY:
        return prepare_imagenet(name, Path(raw), Path(out))
    if name not in READERS:
        raise DataError(f"dataset: {name!r} is unknown; allowed: {', '.join([*READERS, *LARGER_THAN_MEMORY])}")
    return write_prepared(name, READERS[name](Path(raw), download), Path(out))
