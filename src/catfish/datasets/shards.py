"""Images larger than memory: a part of a data set as several npy files, each written once.

A finished shard is a pair `train-003.npy`, `train-003.json`; the second is written last and says what the first was
made from, so a preparation that was killed goes on after the last finished shard.
"""

import hashlib
import json
import os
import weakref
from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.errors import DataError
from catfish.files import replacing

PER_SHARD = 5000  # images: all of ImageNet in 267 files, fewer than the 1024 that a process may usually hold open


class Shards:
    """Images uint8 of a part that stay in their files until they are gathered; channels last.

    shape: (N, H, W, 3). Files are read, not mapped: scattered images come several times faster from a cold disk, and
    a disk that fails raises an error where a map would end the process.
    """

    def __init__(self, paths: Sequence[Path], offsets: Sequence[int], counts: Sequence[int], image: tuple):
        """Of every file its images: where they begin in bytes, how many; `image`: (H, W, 3)."""
        self.paths, self.offsets, self.ends = paths, offsets, np.cumsum(counts)
        self.shape = (int(self.ends[-1]), *image)
        self.descriptors = [os.open(path, os.O_RDONLY) for path in paths]
        weakref.finalize(self, lambda opened: [os.close(descriptor) for descriptor in opened], self.descriptors)

    def __len__(self) -> int:
        return self.shape[0]

    def gather(self, index: np.ndarray, out: np.ndarray) -> None:
        """Read the images at positions `index` (B,), in that order, into `out` (B, H, W, 3); threads may share it."""
        starts = np.concatenate([[0], self.ends[:-1]])
        shards = np.searchsorted(self.ends, index, side="right")
        for image, shard, position in zip(out, shards, index - starts[shards]):
            place = self.offsets[shard] + int(position) * image.nbytes
            if os.preadv(self.descriptors[shard], [image], place) != image.nbytes:
                raise DataError(f"{self.paths[shard]}: shorter than when it was opened; prepare the data set again")


def shard_path(folder: Path, part: str, number: int) -> Path:
    return folder / f"{part}-{number:03d}.npy"


def write_shard(path: Path, images: Iterable[bytes], shape: tuple[int, ...]) -> str:
    """Write images, each as its bytes, as one uint8 array of `shape` (N, H, W, 3); returns the file's sha256."""
    header, digest = BytesIO(), hashlib.sha256()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with replacing(path) as file:
        for data in chain([header.getvalue()], images):
            file.write(data)
            digest.update(data)
    return digest.hexdigest()


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Declare the shard at `path` finished; `made_of` in the record identifies what it was made from."""
    with replacing(path.with_suffix(".json")) as file:
        file.write(json.dumps(record | {"bytes": path.stat().st_size}).encode())


def finished(path: Path, made_of: str) -> dict[str, Any] | None:
    """The record of the shard at `path`, or None if it is not finished or was made from something else."""
    try:
        record = json.loads(path.with_suffix(".json").read_bytes())
        return record if record["made_of"] == made_of and record["bytes"] == path.stat().st_size else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def open_shards(folder: Path, listed: list[dict[str, Any]], image: tuple[int, int, int], cure: str) -> Shards:
    """Open the shards that a manifest lists; `image` is (H, W, 3).

    Sizes are checked, checksums are not: that would read everything. Raises DataError, ending in `cure`, for a file
    that is missing or of another size.
    """
    paths, counts = [folder / entry["file"] for entry in listed], [entry["images"] for entry in listed]
    offsets = []
    for path, count in zip(paths, counts):
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise DataError(f"{path}: missing; {cure}") from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: damaged ({error}); {cure}") from error
        if array.dtype != np.uint8 or array.shape != (count, *image):
            found = f"{array.dtype} {array.shape}"
            raise DataError(f"{path}: {found} where the manifest says uint8 {(count, *image)}; {cure}")
        offsets.append(array.offset)
    return Shards(paths, offsets, counts, image)
