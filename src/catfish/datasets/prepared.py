"""A prepared data set: a folder with arrays.npz and manifest.json, and shards where the images exceed memory."""

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.arrays import Arrays
from catfish.datasets.errors import DataError
from catfish.datasets.shards import Shards, open_shards
from catfish.files import checksum, replacing

ARRAYS = "arrays.npz"
MANIFEST = "manifest.json"
PARTS = ("train", "test")
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
    """Images uint8, as an array (N, 3, H, W) or as shards; labels int64 (N,); the manifest (see `write_files`)."""

    train_images: np.ndarray | Shards
    train_labels: np.ndarray
    test_images: np.ndarray | Shards
    test_labels: np.ndarray
    manifest: dict[str, Any]


def write_prepared(name: str, arrays: Arrays, folder: Path) -> dict[str, Any]:
    """Write both files, the manifest last, and return the manifest.

    Same arrays, same bytes: np.savez gives every member the same fixed date, and the manifest holds no time.
    """
    members = {
        "train_images": arrays.train_images,
        "train_labels": arrays.train_labels,
        "test_images": arrays.test_images,
        "test_labels": arrays.test_labels,
    }
    facts = {"name": name, "classes": arrays.classes, "image_shape": list(arrays.train_images.shape[1:])}
    return write_files(
        folder, members, facts, histogram(arrays.train_images), source=arrays.source, made_with=arrays.made_with
    )


def write_files(
    folder: Path, members: dict[str, np.ndarray], facts: dict[str, Any], counted: np.ndarray, **origin: Any
) -> dict[str, Any]:
    """Write the members into arrays.npz, train_labels and test_labels among them, and the manifest; returns it.

    facts: name, classes and image_shape (C, H, W). counted (C, 256): `histogram` of the training images. origin:
    source, made_with, and shards, if images are in shards.
    """
    with replacing(folder / ARRAYS) as file:
        np.savez(file, **members)
    labels = {part: members[f"{part}_labels"] for part in PARTS}
    per_class = {part: np.bincount(of, minlength=facts["classes"]).tolist() for part, of in labels.items()}
    mean, std = channel_statistics(counted)
    manifest = {
        **facts,
        "counts": {part: len(of) for part, of in labels.items()},
        "counts_per_class": per_class,
        "mean": mean,
        "std": std,
        "sha256": checksum(folder / ARRAYS, "sha256"),
        **origin,
    }
    with replacing(folder / MANIFEST) as file:
        file.write((json.dumps(manifest, indent=2) + "\n").encode())
    return manifest


def load_prepared(folder: Path) -> Prepared:
    """Read a prepared data set; images in shards stay there.

    Raises DataError, naming the file and the cure, if a file is missing, damaged, or not the one that the others
    belong to. Of shards the size alone is checked.
    """
    manifest = _read_manifest(folder)
    path, cure = folder / ARRAYS, f"run `catfish prepare {manifest['name']}` again"
    if not path.is_file():
        raise DataError(f"{path}: missing; {cure}")
    if checksum(path, "sha256") != manifest["sha256"]:
        raise DataError(f"{path}: damaged or altered, its sha256 is not the one in {MANIFEST}; {cure}")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a prepared data set ({error}); {cure}") from error
    sharded = "shards" in manifest
    for part, count in manifest["counts"].items():
        if not sharded:
            _check(path, f"{part}_images", arrays, np.uint8, (count, *manifest["image_shape"]), cure)
        _check(path, f"{part}_labels", arrays, np.int64, (count,), cure)
    images = _open_images(folder, manifest, arrays, cure) if sharded else [arrays[f"{part}_images"] for part in PARTS]
    return Prepared(images[0], arrays["train_labels"], images[1], arrays["test_labels"], manifest)


def list_shards(shards: dict[str, list[dict[str, Any]]]) -> np.ndarray:
    """The checksums of a manifest's shards as a member of arrays.npz, whose own checksum so covers the images."""
    return np.array([entry["sha256"] for part in PARTS for entry in shards[part]])


def _open_images(folder: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray], cure: str) -> list[Shards]:
    channels, height, width = manifest["image_shape"]
    damaged = DataError(f"{folder / MANIFEST}: damaged, 'shards' are not those of {ARRAYS}; {cure}")
    try:
        if not np.array_equal(list_shards(manifest["shards"]), arrays["shards"]):
            raise damaged
        return [open_shards(folder, manifest["shards"][part], (height, width, channels), cure) for part in PARTS]
    except (KeyError, TypeError) as error:
        raise damaged from error


def histogram(images: np.ndarray) -> np.ndarray:
    """How often each value occurs in each channel of uint8 images (N, C, H, W); (C, 256) int64."""
    counted = np.zeros((images.shape[1], 256), np.int64)
    for channel, row in enumerate(counted):
        for part in np.array_split(images[:, channel], max(1, len(images) // 10000)):  # bincount copies to int64
            row += np.bincount(part.ravel(), minlength=256)
    return counted


def channel_statistics(counted: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel from its `histogram` (C, 256), in units where 255 is 1.

    In integers: exact, whatever the order of summation, and without a float copy of the images.
    """
    mean, std = [], []
    for row in counted:
        n, first, second = (sum(int(count) * value**power for value, count in enumerate(row)) for power in (0, 1, 2))
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
    if len(manifest["image_shape"]) != 3:
        raise DataError(f"{path}: damaged, 'image_shape' must be channels, height, width; {cure}")
    if set(manifest["counts"]) != set(PARTS):
        raise DataError(f"{path}: damaged, 'counts' must name train and test; {cure}")
    return manifest


def _check(path: Path, key: str, arrays: dict[str, np.ndarray], dtype: type, shape: tuple[int, ...], cure: str) -> None:
    if key not in arrays:
        raise DataError(f"{path}: not a prepared data set ({key} is not in it); {cure}")
    array = arrays[key]
    if array.dtype != dtype or array.shape != shape:
        raise DataError(
            f"{path}: {key} is {array.dtype} {array.shape} where {MANIFEST} says {np.dtype(dtype)} {shape}; {cure}"
        )
