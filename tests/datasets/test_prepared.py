import json

import numpy as np
import pytest

from catfish.datasets import DataError, load_prepared, prepare
from catfish.datasets.arrays import check_counts
from catfish.datasets.prepared import channel_statistics, histogram, write_prepared
from catfish.files import checksum


@pytest.fixture
def folder(arrays, tmp_path):
    write_prepared("three", arrays, tmp_path / "three")
    return tmp_path / "three"


def rewrite(folder, **changes):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_written_is_read(arrays, folder):
    data = load_prepared(folder)
    assert (data.train_images == arrays.train_images).all() and (data.test_labels == arrays.test_labels).all()
    assert data.manifest["counts"] == {"train": 6, "test": 3}
    assert data.manifest["counts_per_class"] == {"train": [2, 2, 2], "test": [1, 1, 1]}
    assert data.manifest["image_shape"] == [3, 32, 32]
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "manifest.json"]


def test_statistics(arrays):
    mean, std = channel_statistics(histogram(arrays.train_images))
    assert np.allclose(mean, (arrays.train_images / 255).mean(axis=(0, 2, 3)), rtol=1e-12)
    assert np.allclose(std, (arrays.train_images / 255).std(axis=(0, 2, 3)), rtol=1e-12)


@pytest.mark.parametrize("name", ["arrays.npz", "manifest.json"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing; run `catfish prepare three` again"):
        load_prepared(folder)


def test_altered_arrays(folder):
    content = bytearray((folder / "arrays.npz").read_bytes())
    content[5000] ^= 1
    (folder / "arrays.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"arrays\.npz: damaged or altered.*run `catfish prepare three` again"):
        load_prepared(folder)


def test_manifest_of_other_shapes(folder):
    rewrite(folder, counts={"train": 7, "test": 3})
    with pytest.raises(DataError, match=r"train_images is uint8 \(6, 3, 32, 32\) where manifest\.json says"):
        load_prepared(folder)


def test_arrays_without_images(folder, arrays):
    np.savez(folder / "arrays.npz", train_labels=arrays.train_labels, test_labels=arrays.test_labels)
    rewrite(folder, sha256=checksum(folder / "arrays.npz", "sha256"))
    with pytest.raises(DataError, match=r"arrays\.npz: not a prepared data set \(train_images is not in it\)"):
        load_prepared(folder)


@pytest.mark.parametrize(
    "change", [{"sha256": None}, {"classes": "3"}, {"counts": {"train": 6}}, {"image_shape": [3, 32]}]
)
def test_manifest_of_wrong_types(folder, change):
    rewrite(folder, **change)
    with pytest.raises(DataError, match=rf"manifest\.json: damaged, '{next(iter(change))}'.*`catfish prepare three`"):
        load_prepared(folder)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_manifest_that_is_no_manifest(folder, text):
    (folder / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: damaged"):
        load_prepared(folder)


def test_unknown_name(tmp_path):
    with pytest.raises(DataError, match="'mnist' is unknown; allowed: digits, cifar10, cifar100, tinyimagenet"):
        prepare("mnist", tmp_path, tmp_path / "mnist")


def test_counts_with_a_label_beyond_the_classes():
    with pytest.raises(DataError, match="label 3 found; allowed: 0 to 2"):
        check_counts(np.array([0, 1, 2, 3]), 3, 1, "somewhere")
