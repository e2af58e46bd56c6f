"""What every reader of raw files returns, and the check that it is the whole data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from catfish.datasets.errors import DataError


@dataclass(frozen=True, eq=False)
class Arrays:
    """A data set as read: uint8 images (N, 3, H, W), int64 labels (N,), and where they came from."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int
    source: dict[str, Any]  # what was read, with its checksum where there is one
    made_with: dict[str, str]  # package -> version: the decoder's may change pixel values


def check_counts(labels: np.ndarray, classes: int, per_class: int | Sequence[int], where: str) -> None:
    """Raise DataError unless class c occurs per_class[c] times (an integer: that often in every class)."""
    found = np.bincount(labels, minlength=classes)
    expected = np.broadcast_to(per_class, (classes,))
    if len(found) > classes:
        raise DataError(f"{where}: label {len(found) - 1} found; allowed: 0 to {classes - 1}")
    wrong = np.flatnonzero(found != expected)
    if len(wrong):
        c = wrong[0]
        raise DataError(
            f"{where}: {found[c]} examples of class {c} instead of {expected[c]} ({len(wrong)} of {classes} classes "
            f"have a wrong count, {len(labels)} examples in all instead of {expected.sum()}); "
            "the files are not the complete official ones: get them again"
        )


def versions(*packages: str) -> dict[str, str]:
    """Installed version of each package."""
    return {package: version(package) for package in packages}


def libjpeg() -> str:
    """Version of the library that decodes JPEG images for Pillow."""
    from PIL import features

    return f"{features.version('libjpeg_turbo') or features.version('jpg')}"
