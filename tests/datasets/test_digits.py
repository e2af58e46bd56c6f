import json

import numpy as np

from catfish.datasets import load_prepared, prepare
from catfish.datasets.digits import TRAIN_PER_CLASS, enlarge


def test_digits_end_to_end(tmp_path):
    manifest = prepare("digits", tmp_path / "raw", tmp_path / "digits", download=False)
    data = load_prepared(tmp_path / "digits")

    assert data.manifest == manifest == json.loads((tmp_path / "digits" / "manifest.json").read_text())
    assert data.train_images.shape == (1397, 3, 32, 32) and data.test_images.shape == (400, 3, 32, 32)
    assert data.train_images.dtype == np.uint8 and data.train_labels.dtype == np.int64
    assert data.train_images.min() == 0 and data.train_images.max() == 255
    assert (data.train_images[:, 0] == data.train_images[:, 2]).all()
    assert manifest["classes"] == 10
    assert manifest["counts_per_class"] == {"train": list(TRAIN_PER_CLASS), "test": [40] * 10}


def test_same_bytes_twice(tmp_path):
    for folder in ("a", "b"):
        prepare("digits", tmp_path, tmp_path / folder)
    for name in ("arrays.npz", "manifest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_train_and_test_share_no_image(tmp_path):
    prepare("digits", tmp_path, tmp_path)
    data = load_prepared(tmp_path)
    train, test = ({image.tobytes() for image in images} for images in (data.train_images, data.test_images))
    assert len(train) + len(test) == 1797
    assert not train & test


def test_enlarge_is_bilinear():
    ramp = np.tile(np.arange(8.0) * 2, (8, 1))  # 0, 2, ..., 14 of 16 from left to right
    large = enlarge(ramp)
    expected = np.clip((np.arange(32) + 0.5) / 4 - 0.5, 0, 7) * 2 * 255 / 16
    assert np.abs(large[1, 16] - expected).max() <= 1  # rounded twice
