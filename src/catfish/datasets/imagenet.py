"""ImageNet (ILSVRC 2012) from a tree of JPEG files, resized once and written in shards.

The labels of the official test images were never published, so the official validation images are the test set.
"""

import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.ahead import ahead
from catfish.datasets.arrays import check_counts, libjpeg, versions
from catfish.datasets.errors import DataError
from catfish.datasets.prepared import MANIFEST, list_shards, write_files
from catfish.datasets.shards import PER_SHARD, finished, shard_path, write_record, write_shard

HOME = "https://www.image-net.org"
FOLDER = "imagenet"
FOLDERS = {"train": "train", "test": "val"}  # part -> folder of the tree
SIZES = {"imagenet": (256, 224), "imagenet64": (64, 64)}  # name -> shorter side after resizing, side of the crop
CURE = f"take the official ILSVRC 2012 files (an account at {HOME} is needed)"
SHOWN = 10  # damaged files that a message names


@dataclass(frozen=True)
class Counts:
    """How many classes there are, and how many images in all and in each class."""

    classes: int
    train: int
    train_per_class: tuple[int, int]  # the smallest and the largest
    test_per_class: int


OFFICIAL = Counts(classes=1000, train=1_281_167, train_per_class=(732, 1300), test_per_class=50)


@dataclass(frozen=True)
class Files:
    """The images of a part, ordered by class, then by name: paths below the tree, sizes in bytes, labels (N,)."""

    names: list[str]
    sizes: list[int]
    labels: np.ndarray
    wnids: list[str]


@dataclass(frozen=True)
class Piece:
    """What one shard is made from."""

    path: Path  # the shard
    names: list[str]
    made_of: str  # identifies files, resizing and decoder


def prepare_imagenet(
    name: str, raw: Path, out: Path, expected: Counts = OFFICIAL, per_shard: int = PER_SHARD
) -> dict[str, Any]:
    """Resize the images of `raw`/imagenet/{train,val}/<wnid>/*.JPEG into `out`; returns the manifest.

    name: imagenet (224x224 pixels, 193 GB / 1.3 million images x 150 kB) or imagenet64 (64x64, 16 GB). Class c is the
    c-th wnid in alphabetical order. A shard that is finished already is not made again.
    Raises DataError for missing or damaged images, links that leave the tree, wrong counts, and too little space.
    """
    root = raw / FOLDER
    files = {part: list_files(root, folder) for part, folder in FOLDERS.items()}
    check_files(root, files, expected)
    pieces = {part: list(_pieces(name, out, part, of, per_shard)) for part, of in files.items()}
    _make(root, out, SIZES[name], [piece for part in FOLDERS for piece in pieces[part]])
    records = {part: [finished(piece.path, piece.made_of) for piece in of] for part, of in pieces.items()}
    shards = {
        part: [
            {"file": piece.path.name, "images": len(piece.names), "sha256": record["sha256"]}
            for piece, record in zip(pieces[part], records[part])
        ]
        for part in FOLDERS
    }
    return write_files(
        out,
        {"train_labels": files["train"].labels, "test_labels": files["test"].labels, "shards": list_shards(shards)},
        {"name": name, "classes": expected.classes, "image_shape": [3, SIZES[name][1], SIZES[name][1]]},
        np.sum([record["histogram"] for record in records["train"]], axis=0),
        source={"home": HOME, "read": FOLDER, "resized": _recipe(name)},
        made_with=_decoder(),
        shards=shards,
    )


def list_files(root: Path, folder: str) -> Files:
    """The images in `root`/`folder`. Raises DataError for a missing folder and for links that leave `root`."""
    if not (root / folder).is_dir():
        raise DataError(
            f"{root / folder}: missing; put the images there, a folder for each class: {folder}/<wnid>/*.JPEG; {CURE}"
        )
    home = root.resolve()
    wnids = sorted(entry.name for entry in _entries(root / folder, home) if entry.is_dir())
    names, sizes, labels = [], [], []
    for c, wnid in enumerate(wnids):
        entries = [entry for entry in _entries(root / folder / wnid, home) if entry.name.endswith(".JPEG")]
        for entry in sorted(entries, key=lambda entry: entry.name):
            names.append(f"{folder}/{wnid}/{entry.name}")
            sizes.append(_size(entry))
            labels.append(c)
    return Files(names, sizes, np.array(labels, np.int64), wnids)


def _entries(folder: Path, home: Path) -> Iterator[os.DirEntry]:
    _check_inside(folder, home)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                _check_inside(Path(entry.path), home)
            yield entry


def _check_inside(path: Path, home: Path) -> None:
    if not path.resolve().is_relative_to(home):
        raise DataError(
            f"{path}: a link that leaves {home}; put the files themselves there, or make {FOLDER} itself a link to "
            "the folder that holds everything"
        )


def _size(entry: os.DirEntry) -> int:
    try:
        return entry.stat().st_size
    except OSError as error:
        raise DataError(f"{entry.path}: cannot be read ({error.strerror}); {CURE}") from error


def check_files(root: Path, files: dict[str, Files], expected: Counts) -> None:
    """Raise DataError unless both parts have the expected classes and numbers of images."""
    for part, folder in FOLDERS.items():
        found = len(files[part].wnids)
        if found != expected.classes:
            raise DataError(f"{root / folder}: {found} classes (folders) instead of {expected.classes}; {CURE}")
    train, test = files["train"], files["test"]
    strange = sorted(set(train.wnids) ^ set(test.wnids))
    if strange:
        raise DataError(f"{root}: {strange[0]} is a class of only one of train and val; {CURE}")
    low, high = expected.train_per_class
    for wnid, count in zip(train.wnids, np.bincount(train.labels, minlength=expected.classes)):
        if not low <= count <= high:
            raise DataError(f"{root / 'train' / wnid}: {count} images named *.JPEG instead of {low} to {high}; {CURE}")
    if len(train.names) != expected.train:
        raise DataError(f"{root / 'train'}: {len(train.names)} images instead of {expected.train}; {CURE}")
    check_counts(test.labels, expected.classes, expected.test_per_class, f"{root / 'val'}")


def _pieces(name: str, out: Path, part: str, files: Files, per_shard: int) -> Iterator[Piece]:
    for number, start in enumerate(range(0, len(files.names), per_shard)):
        chosen = slice(start, start + per_shard)
        made_of = [files.names[chosen], files.sizes[chosen], _recipe(name), _decoder()]
        digest = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
        yield Piece(shard_path(out, part, number), files.names[chosen], digest)


def _recipe(name: str) -> str:
    shorter, crop = SIZES[name]
    return f"shorter side to {shorter}, bilinear with antialiasing; central {crop}x{crop}"


def _decoder() -> dict[str, str]:
    return {**versions("numpy", "pillow"), "libjpeg": libjpeg()}


def _make(root: Path, out: Path, size: tuple[int, int], pieces: list[Piece]) -> None:
    """Make the shards that are not finished."""
    from tqdm import tqdm

    missing = [piece for piece in pieces if finished(piece.path, piece.made_of) is None]
    if not missing:
        return
    _check_space(out, size[1], sum(len(piece.names) for piece in missing))
    out.mkdir(parents=True, exist_ok=True)
    (out / MANIFEST).unlink(missing_ok=True)  # it would describe a mixture
    for leftover in out.glob("*.tmp"):  # of a process that was killed while it wrote
        leftover.unlink()
    total = sum(len(piece.names) for piece in pieces)
    done = total - sum(len(piece.names) for piece in missing)
    with tqdm(total=total, initial=done, desc=out.name, unit="image", disable=None) as bar, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # odd metadata and palettes, of which only the pixels matter
        for piece in missing:
            counted = np.zeros((3, 256), np.int64)
            images = _decoded(root, piece.names, size, counted, bar)
            sha256 = write_shard(piece.path, images, (len(piece.names), size[1], size[1], 3))
            write_record(piece.path, {"made_of": piece.made_of, "sha256": sha256, "histogram": counted.tolist()})


def _check_space(out: Path, side: int, images: int) -> None:
    place = next(folder for folder in (out, *out.absolute().parents) if folder.is_dir())
    needed, free = images * side * side * 3, shutil.disk_usage(place).free
    if needed > free:
        raise DataError(
            f"{out}: {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free; free some, choose another place "
            "with --prepared, or use imagenet64, which needs 16 GB in all"
        )


def _decoded(root: Path, names: list[str], size: tuple[int, int], counted: np.ndarray, bar: Any) -> Iterator[bytes]:
    """The images as bytes (H, W, 3), decoded by all processors; adds their histograms to `counted` (3, 256).

    Threads, since decoding and resizing leave Python's lock. All damaged files are reported at once.
    """
    threads, damaged = os.cpu_count() or 1, []
    for result in ahead(lambda name: decode(root / name, *size), names, threads, 4 * threads):
        bar.update()
        if isinstance(result, DataError):
            damaged.append(result)
        else:
            pixels, found = result
            counted += np.reshape(found, (3, 256))
            yield pixels
    if damaged:
        more = f"\n... and {len(damaged) - SHOWN} more" if len(damaged) > SHOWN else ""
        raise DataError("\n".join(map(str, damaged[:SHOWN])) + f"{more}\n{CURE}; what is finished is kept")


def decode(path: Path, shorter: int, crop: int) -> tuple[bytes, list[int]] | DataError:
    """An image file -> its shorter side resized to `shorter`, the central `crop` x `crop` pixels as RGB bytes and
    their histogram (768 values, by channel); or the error, for the caller to raise.

    The pixels are those of torchvision's Resize and CenterCrop; as there, an orientation in the EXIF data is ignored.
    Grey and CMYK images become RGB; some of ImageNet's files are PNG images whatever their names say.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["JPEG", "PNG"]) as image:
            rgb = image.convert("RGB")
        width, height = (int(shorter * side / min(rgb.size)) for side in rgb.size)
        left, top = round((width - crop) / 2), round((height - crop) / 2)
        resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
        pixels = resized.crop((left, top, left + crop, top + crop))
    except FileNotFoundError:
        return DataError(f"{path}: missing")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return DataError(f"{path}: not a readable JPEG or PNG image ({error})")
    return pixels.tobytes(), pixels.histogram()
