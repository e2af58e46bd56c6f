"""Small raw data in the official layouts."""

import numpy as np
import pytest
from PIL import Image

from catfish.datasets.arrays import Arrays

WNIDS = ("n02", "n01", "n03")  # not in alphabetical order: the order of the file counts
PER_CLASS = (4, 2)


@pytest.fixture
def arrays():
    """Six training and three test images of three classes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (9, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(9) % 3
    return Arrays(images[:6], labels[:6], images[6:], labels[6:], 3, source={"read": "test"}, made_with={})


@pytest.fixture
def tiny_raw(tmp_path):
    """raw/tiny-imagenet-200/ with 3 classes, 4 training and 2 validation images each; every class has its colour."""
    root = tmp_path / "raw" / "tiny-imagenet-200"
    annotations = []
    for c, wnid in enumerate(WNIDS):
        folder = root / "train" / wnid / "images"
        folder.mkdir(parents=True)
        for k in range(PER_CLASS[0]):
            _save(folder / f"{wnid}_{k}.JPEG", 80 * c + 10 * k)
    (root / "val" / "images").mkdir(parents=True)
    for k in range(len(WNIDS) * PER_CLASS[1]):
        c = k % len(WNIDS)
        _save(root / "val" / "images" / f"val_{k}.JPEG", 80 * c + 5)
        annotations.append(f"val_{k}.JPEG\t{WNIDS[c]}\t0\t0\t62\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(annotations))
    (root / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in WNIDS))
    return tmp_path / "raw"


def _save(path, grey):
    Image.new("RGB", (64, 64), (grey, grey, grey)).save(path, "JPEG", quality=95)
