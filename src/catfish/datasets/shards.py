"""Images larger than memory: a part of a data set as several npy files, each written once and then memory-mapped.

A finished shard is a pair `train-003.npy`, `train-003.json`; the second is written last and says what the first was
made from, so a preparation that was killed goes on after the last finished shard.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.errors import DataError
from catfish.files import replacing

PER_SHARD = 5000  # images: all of ImageNet in 267 files, fewer than a process may usually hold open


class Shards:
    """Images uint8 of a part, read from memory-mapped files when they are gathered; channels last.

    shape: (N, H, W, 3).
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        self.arrays = arrays
        self.ends = np.cumsum([len(array) for array in arrays])
        self.shape = (int(self.ends[-1]), *arrays[0].shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def gather(self, index: np.ndarray, out: np.ndarray) -> None:
        """Copy the images at positions `index` (B,), in that order, into `out` (B, H, W, 3)."""
        shards = np.searchsorted(self.ends, index, side="right")
        for row, (shard, position) in enumerate(zip(shards, index)):
            out[row] = self.arrays[shard][position - self.ends[shard]]  # counted from the shard's end


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


def open_shards(folder: Path, listed: list[dict[str, Any]], shape: tuple[int, int, int], cure: str) -> Shards:
    """Map the shards that a manifest lists, whose images have `shape` (H, W, 3).

    Sizes are checked, checksums are not: that would read everything. Raises DataError, ending in `cure`, for a file
    that is missing or of another size.
    """
    arrays = []
    for entry in listed:
        path = folder / entry["file"]
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise DataError(f"{path}: missing; {cure}") from error
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path}: damaged ({error}); {cure}") from error
        if array.dtype != np.uint8 or array.shape != (entry["images"], *shape):
            raise DataError(
                f"{path}: {array.dtype} {array.shape} where the manifest says uint8 {(entry['images'], *shape)}; {cure}"
            )
        arrays.append(array)
    return Shards(arrays)
