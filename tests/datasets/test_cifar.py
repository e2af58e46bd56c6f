import hashlib
import pickle
import tarfile

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from catfish.datasets import DataError, prepare
from catfish.datasets.cifar import read_cifar


@pytest.fixture
def official(tmp_path):
    """A class as torchvision's CIFAR10 for a folder of four training and two test images of two classes."""
    folder = tmp_path / "raw" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((folder / name).read_bytes()).hexdigest()]

    def batch(labels):
        return {"data": generator.integers(0, 256, (len(labels), 3072), dtype=np.uint8), "labels": labels}

    published = {
        "train_list": [write("data_batch_1", batch([0, 1])), write("data_batch_2", batch([1, 0]))],
        "test_list": [write("test_batch", batch([1, 0]))],
        "meta": dict(zip(("filename", "md5"), write("batches.meta", {"label_names": ["a", "b"]})), key="label_names"),
    }
    return type("Small", (CIFAR10,), published)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "raw" / "cifar-10-batches-py"


def pack(official, folder):
    """Replace the extracted folder by the archive that the class calls official."""
    archive = folder.parent / official.filename
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    official.tgz_md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    return archive


def test_extracted_folder(official, folder):
    arrays = read_cifar(official, folder.parent, False, classes=2, per_class=(2, 1))
    first = pickle.loads((folder / "data_batch_1").read_bytes())["data"][0]
    assert arrays.train_labels.tolist() == [0, 1, 1, 0] and arrays.test_labels.tolist() == [1, 0]
    assert arrays.train_images.shape == (4, 3, 32, 32) and arrays.test_images.shape == (2, 3, 32, 32)
    assert (arrays.train_images[0].ravel() == first).all()


def test_archive_gives_the_same_and_leaves_no_folder(official, folder):
    expected = read_cifar(official, folder.parent, False, classes=2, per_class=(2, 1))
    archive = pack(official, folder)
    found = read_cifar(official, folder.parent, False, classes=2, per_class=(2, 1))
    assert (found.train_images == expected.train_images).all() and found.source == expected.source
    assert list(archive.parent.iterdir()) == [archive]


def test_damaged_archive(official, folder):
    archive = pack(official, folder)
    archive.write_bytes(archive.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: damaged"):
        read_cifar(official, folder.parent, True, classes=2, per_class=(2, 1))


def test_damaged_file_is_named_and_never_unpickled(official, folder, tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (folder / "test_batch").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(DataError, match="test_batch: damaged"):
        read_cifar(official, folder.parent, True, classes=2, per_class=(2, 1))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["data_batch_2", "batches.meta"])
def test_partial_folder(official, folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"{name}: missing; delete the folder"):
        read_cifar(official, folder.parent, True, classes=2, per_class=(2, 1))


def test_wrong_counts(official, folder):
    with pytest.raises(DataError, match="training set: 2 examples of class 0 instead of 5000"):
        read_cifar(official, folder.parent, False, classes=2, per_class=(5000, 1000))


@pytest.mark.parametrize("name, file", [("cifar10", "cifar-10-python.tar.gz"), ("cifar100", "cifar-100-python.tar.gz")])
def test_missing_without_download_says_what_to_put_where(tmp_path, name, file):
    with pytest.raises(DataError) as error:
        prepare(name, tmp_path / "raw", tmp_path / "out", download=False)
    for part in (file, "https://www.cs.toronto.edu/~kriz/cifar.html", str(tmp_path / "raw")):
        assert part in str(error.value)
    assert not (tmp_path / "out").exists()


def test_download_is_checked_and_read(official, folder, tmp_path):
    archive = pack(official, folder)
    official.url = archive.rename(tmp_path / "server.tar.gz").as_uri()
    arrays = read_cifar(official, folder.parent, True, classes=2, per_class=(2, 1))
    assert archive.exists() and len(arrays.train_images) == 4


def test_offline(official, tmp_path):
    official.url = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # refuses at once
    with pytest.raises(DataError, match=r"could not be downloaded .*; put the official cifar-10-python\.tar\.gz from"):
        read_cifar(official, tmp_path / "empty", True, classes=2, per_class=(2, 1))
