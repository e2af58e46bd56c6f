"""TinyImageNet, downsized to 32x32: 200 classes, 500 training images each.

The labels of the official test images were never published, so the official validation images are the test set.
"""

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from catfish.datasets.arrays import Arrays, check_counts, libjpeg, versions
from catfish.datasets.download import fetch
from catfish.datasets.errors import DataError
from catfish.files import checksum

HOME = "http://cs231n.stanford.edu"
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"{FOLDER}.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"  # 248,100,043 bytes
SIZE = 32  # pixels, after downsizing
CURE = f"take the official files from {HOME}/{ARCHIVE}"


@dataclass(frozen=True)
class Tree:
    """The official tree, on disk or inside the zip; names are relative to tiny-imagenet-200/."""

    path: Path
    names: frozenset[str]
    read: Callable[[str], bytes]
    source: dict[str, Any]


def read_tinyimagenet(
    raw: Path, download: bool = True, per_class: tuple[int, int] = (500, 50), classes: int = 200
) -> Arrays:
    """100,000 training and 10,000 test images; class c is line c of wnids.txt.

    Taken is the first of: the folder tiny-imagenet-200 in `raw`, the zip in `raw`, the zip after a download to `raw`.
    Images are ordered by class, then by file name. `per_class`: training and test images expected in every class.
    Raises DataError for a missing, damaged or unsafe file, for wrong counts, and when the download fails.
    """
    with _open_tree(raw, download) as tree:
        wnids = _text(tree, "wnids.txt").split()
        if len(set(wnids)) != classes:
            raise DataError(f"{tree.path}/wnids.txt: {len(set(wnids))} classes instead of {classes}; {CURE}")
        train_names, train_labels = _training_files(tree, wnids)
        test_names, test_labels = _validation_files(tree, wnids)
        check_counts(train_labels, classes, per_class[0], f"{tree.path}, training set")
        check_counts(test_labels, classes, per_class[1], f"{tree.path}, validation folder")
        sizes: Counter[str] = Counter()
        train_images = _read_images(tree, train_names, sizes)
        test_images = _read_images(tree, test_names, sizes)
    return Arrays(
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes,
        source={"home": HOME, **tree.source, "original_sizes": dict(sorted(sizes.items()))},
        made_with={**versions("numpy", "pillow"), "libjpeg": libjpeg()},
    )


@contextmanager
def _open_tree(raw: Path, allowed_to_download: bool) -> Iterator[Tree]:
    folder, archive = raw / FOLDER, raw / ARCHIVE
    if folder.is_dir():
        names = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        yield Tree(folder, names, lambda name: (folder / name).read_bytes(), {"read": FOLDER})
        return
    if not archive.exists():
        put = f"put the official {ARCHIVE} (or the folder {FOLDER} from it) into {raw}"
        if not allowed_to_download:
            raise DataError(f"{archive}: missing, and so is the folder {FOLDER}; {put}, from {HOME}/{ARCHIVE}")
        fetch(f"{HOME}/{ARCHIVE}", archive, ARCHIVE_MD5, put)
    try:
        opened = zipfile.ZipFile(archive)
    except zipfile.BadZipFile as error:
        raise DataError(f"{archive}: damaged ({error}); delete it, then {CURE}") from error
    with opened:
        yield _zip_tree(opened, archive)


def _zip_tree(opened: zipfile.ZipFile, archive: Path) -> Tree:
    """Members are read straight out of the zip; still, a zip with a member that could escape a folder is refused."""
    for member in opened.infolist():
        path = PureWindowsPath(member.filename)  # splits at / and at \, and knows drives
        if path.drive or path.root or ".." in path.parts or stat.S_ISLNK(member.external_attr >> 16):
            raise DataError(f"{archive}: unsafe member {member.filename!r} (absolute, '..' or a link); {CURE}")
    prefix = f"{FOLDER}/"
    names = frozenset(name.removeprefix(prefix) for name in opened.namelist() if name.startswith(prefix))
    source = {"read": ARCHIVE, "md5": checksum(archive, "md5"), "official_md5": ARCHIVE_MD5}
    return Tree(archive / FOLDER, names, lambda name: opened.read(prefix + name), source)


def _read(tree: Tree, name: str) -> bytes:
    if name not in tree.names:
        raise DataError(f"{tree.path}/{name}: missing; {CURE}")
    try:
        return tree.read(name)
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{tree.path}/{name}: cannot be read ({error}); {CURE}") from error


def _text(tree: Tree, name: str) -> str:
    return _read(tree, name).decode("utf-8", errors="replace")


def _training_files(tree: Tree, wnids: list[str]) -> tuple[list[str], np.ndarray]:
    label = {f"train/{wnid}/images": c for c, wnid in enumerate(wnids)}
    found = [(name, str(PurePosixPath(name).parent)) for name in tree.names if name.endswith(".JPEG")]
    return _ordered([(label[folder], name) for name, folder in found if folder in label])


def _validation_files(tree: Tree, wnids: list[str]) -> tuple[list[str], np.ndarray]:
    label = {wnid: c for c, wnid in enumerate(wnids)}
    found = []
    for number, line in enumerate(_text(tree, "val/val_annotations.txt").splitlines(), start=1):
        name, wnid, *_box = [*line.split("\t"), ""]
        if wnid not in label:
            raise DataError(f"{tree.path}/val/val_annotations.txt, line {number}: unknown class {wnid!r}; {CURE}")
        found.append((label[wnid], f"val/images/{name}"))
    return _ordered(found)


def _ordered(labelled: list[tuple[int, str]]) -> tuple[list[str], np.ndarray]:
    labelled = sorted(labelled)
    return [name for _, name in labelled], np.array([c for c, _ in labelled], np.int64)


def _read_images(tree: Tree, names: list[str], sizes: Counter[str]) -> np.ndarray:
    """The named images (N, 3, 32, 32); counts their original sizes into `sizes`."""
    from tqdm import tqdm

    images = np.empty((len(names), 3, SIZE, SIZE), np.uint8)
    for row, name in enumerate(tqdm(names, desc=f"{FOLDER}/{names[0].split('/')[0]}", unit="image", disable=None)):
        images[row], size = _decode(_read(tree, name), f"{tree.path}/{name}")
        sizes[size] += 1
    return images


def _decode(data: bytes, where: str) -> tuple[np.ndarray, str]:
    """JPEG -> RGB uint8 (3, 32, 32) and its original size.

    The box filter at half the size is the plain mean of 2x2 pixels: no aliasing, no ringing at edges, and the filter
    that the downsampled ImageNet data sets chose (Chrabaszcz et al. 2017, arXiv:1707.08819).
    """
    from PIL import Image

    try:
        image = Image.open(BytesIO(data), formats=["JPEG"])
        # A copy where it is 32x32 already. The gap of 1 takes the mean in one step; two, across and down, would round
        # twice and brighten the data by half a grey value.
        pixels = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX, reducing_gap=1)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: not a readable JPEG image ({error}); {CURE}") from error
    return np.asarray(pixels).transpose(2, 0, 1), f"{image.width}x{image.height}"  # (32, 32, 3) -> (3, 32, 32)
