"""A prepared data set: a folder with arrays.npz and manifest.json."""

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.arrays import IMAGE_SHAPE, Arrays
from catfish.datasets.errors import DataError
from catfish.files import checksum, replacing

ARRAYS = "arrays.npz"
MANIFEST = "manifest.json"
MANIFEST_TYPES = {  # what a reader relies on
    "name": str,
    "classes": int,
    "image_shape": list,
    "counts": dict,
    "mean": list,
    "std": list,
    "sha256": str,
}


@dataclass(frozen=True, eq=False)
class Prepared:
    """Images uint8 (N, 3, 32, 32), labels int64 (N,), and the manifest (see `write_prepared`)."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    manifest: dict[str, Any]


def write_prepared(name: str, arrays: Arrays, folder: Path) -> dict[str, Any]:
    """Write both files, the manifest last, and return the manifest.

    Same arrays, same bytes: np.savez gives every member the same fixed date, and the manifest holds no time.
    """
    with replacing(folder / ARRAYS) as file:
        np.savez(
            file,
            train_images=arrays.train_images,
            train_labels=arrays.train_labels,
            test_images=arrays.test_images,
            test_labels=arrays.test_labels,
        )
    mean, std = channel_statistics(arrays.train_images)
    labels = {"train": arrays.train_labels, "test": arrays.test_labels}
    manifest = {
        "name": name,
        "classes": arrays.classes,
        "image_shape": list(IMAGE_SHAPE),
        "counts": {part: len(of) for part, of in labels.items()},
        "counts_per_class": {part: np.bincount(of, minlength=arrays.classes).tolist() for part, of in labels.items()},
        "mean": mean,
        "std": std,
        "sha256": checksum(folder / ARRAYS, "sha256"),
        "source": arrays.source,
        "made_with": arrays.made_with,
    }
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(manifest, indent=2) + "\n").encode())
    return manifest


def load_prepared(folder: Path) -> Prepared:
    """Read a prepared data set.

    Raises DataError, naming the file and the cure, if one of the two files is missing, damaged, or not the one that
    the other belongs to.
    """
    manifest = _read_manifest(folder)
    path, cure = folder / ARRAYS, f"run `catfish prepare {manifest['name']}` again"
    if not path.is_file():
        raise DataError(f"{path}: missing; {cure}")
    if checksum(path, "sha256") != manifest["sha256"]:
        raise DataError(f"{path}: damaged or altered, its sha256 is not the one in {MANIFEST}; {cure}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("train_images", "train_labels", "test_images", "test_labels")}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a prepared data set ({error}); {cure}") from error
    for part, count in manifest["counts"].items():
        _check(path, f"{part}_images", arrays[f"{part}_images"], np.uint8, (count, *manifest["image_shape"]), cure)
        _check(path, f"{part}_labels", arrays[f"{part}_labels"], np.int64, (count,), cure)
    return Prepared(**arrays, manifest=manifest)


def channel_statistics(images: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel of uint8 images (N, C, H, W), in units where 255 is 1.

    From the histogram, in integers: exact, whatever the order of summation, and without a float copy of the images.
    """
    mean, std = [], []
    for channel in range(images.shape[1]):
        histogram = np.zeros(256, np.int64)
        for part in np.array_split(images[:, channel], max(1, len(images) // 10000)):  # bincount copies to int64
            histogram += np.bincount(part.ravel(), minlength=256)
        n, first, second = (int((histogram * np.arange(256) ** power).sum()) for power in (0, 1, 2))
        mean.append(first / (n * 255))
        std.append(math.sqrt(n * second - first**2) / (n * 255))
    return mean, std


def _read_manifest(folder: Path) -> dict[str, Any]:
    path, cure = folder / MANIFEST, f"run `catfish prepare {folder.name}` again"
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; {cure}") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); {cure}") from error
    for key, kind in MANIFEST_TYPES.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise DataError(f"{path}: damaged, {key!r} is missing or of the wrong type; {cure}")
    if set(manifest["counts"]) != {"train", "test"}:
        raise DataError(f"{path}: damaged, 'counts' must name train and test; {cure}")
    return manifest


def _check(path: Path, key: str, array: np.ndarray, dtype: type, shape: tuple[int, ...], cure: str) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise DataError(
            f"{path}: {key} is {array.dtype} {array.shape} where {MANIFEST} says {np.dtype(dtype)} {shape}; {cure}"
        )
