import os
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from catfish.datasets import DataError, tinyimagenet
from catfish.datasets.tinyimagenet import read_tinyimagenet

FOLDER = "tiny-imagenet-200"


def read(raw, download=False):
    return read_tinyimagenet(raw, download, per_class=(4, 2), classes=3)


def pack(raw):
    """Replace the tree in `raw` by a zip of it."""
    archive = raw / f"{FOLDER}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in (raw / FOLDER).rglob("*"):
            file.write(path, path.relative_to(raw))
    (raw / FOLDER).rename(raw.parent / "moved")
    return archive


def test_tree_order_labels_and_values(tiny_raw):
    arrays = read(tiny_raw)
    assert arrays.train_labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert arrays.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert arrays.train_images.shape == (12, 3, 32, 32) and arrays.train_images.dtype == np.uint8
    greys = [80 * c + 10 * k for c in range(3) for k in range(4)]
    assert np.abs(arrays.train_images[:, 0, 0, 0].astype(int) - greys).max() <= 1
    assert np.abs(arrays.test_images[:, 0, 0, 0].astype(int) - [5, 5, 85, 85, 165, 165]).max() <= 1
    assert arrays.source["original_sizes"] == {"64x64": 18}


def test_zip_gives_the_same_as_the_tree(tiny_raw):
    tree = read(tiny_raw)
    pack(tiny_raw)
    packed = read(tiny_raw)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert (getattr(tree, name) == getattr(packed, name)).all()
    assert len(packed.source["md5"]) == 32
    assert [path.name for path in tiny_raw.iterdir()] == [f"{FOLDER}.zip"]  # nothing extracted


def image_path(raw):
    return raw / FOLDER / "train" / "n02" / "images" / "n02_0.JPEG"  # becomes row 0


def test_an_image_of_32x32_is_kept_exactly(tiny_raw):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image_path(tiny_raw), "JPEG")
    decoded = np.asarray(Image.open(image_path(tiny_raw)))
    assert (read(tiny_raw).train_images[0] == decoded.transpose(2, 0, 1)).all()


def test_downsizing_takes_the_mean_of_four_pixels(tiny_raw):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(image_path(tiny_raw), "JPEG", quality=100, subsampling=0)
    decoded = np.asarray(Image.open(image_path(tiny_raw))).astype(float)
    means = decoded.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(read(tiny_raw).train_images[0] - means).max() <= 0.5  # rounded once


def test_downsizing_does_not_alias(tiny_raw):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200  # the finest pattern: picking every other pixel would turn it all 0 or all 200
    Image.fromarray(stripes).save(image_path(tiny_raw), "JPEG", quality=100, subsampling=0)
    assert np.abs(read(tiny_raw).train_images[0] - 100.0).max() <= 3


def test_a_grey_jpeg_gets_three_channels(tiny_raw):
    Image.new("L", (64, 64), 77).save(image_path(tiny_raw), "JPEG")
    assert np.abs(read(tiny_raw).train_images[0].astype(int) - 77).max() <= 1


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", f"{FOLDER}/../../evil", "C:\\evil", "a\\..\\..\\evil"])
def test_unsafe_member(tiny_raw, name):
    with zipfile.ZipFile(pack(tiny_raw), "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(DataError, match=r"unsafe member .*evil"):
        read(tiny_raw)


def test_symlink_member(tiny_raw):
    link = zipfile.ZipInfo(f"{FOLDER}/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(pack(tiny_raw), "a") as file:
        file.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match=f"unsafe member '{FOLDER}/link'"):
        read(tiny_raw)


def test_truncated_zip(tiny_raw):
    archive = pack(tiny_raw)
    os.truncate(archive, archive.stat().st_size // 2)
    with pytest.raises(DataError, match=r"tiny-imagenet-200\.zip: damaged"):
        read(tiny_raw)


def test_flipped_bit_in_the_zip(tiny_raw):
    archive = pack(tiny_raw)
    with zipfile.ZipFile(archive) as file:
        member = file.getinfo(f"{FOLDER}/train/n01/images/n01_3.JPEG")
    content = bytearray(archive.read_bytes())
    content[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"n01_3\.JPEG: cannot be read"):
        read(tiny_raw)


def test_truncated_jpeg(tiny_raw):
    os.truncate(image_path(tiny_raw), 400)
    with pytest.raises(DataError, match=r"n02_0\.JPEG: not a readable JPEG"):
        read(tiny_raw)


def test_a_file_that_is_no_jpeg(tiny_raw):
    image_path(tiny_raw).write_text("not an image")
    with pytest.raises(DataError, match=r"n02_0\.JPEG: not a readable JPEG"):
        read(tiny_raw)


def test_missing_training_image(tiny_raw):
    image_path(tiny_raw).unlink()
    with pytest.raises(DataError, match="training set: 3 examples of class 0 instead of 4"):
        read(tiny_raw)


def test_missing_validation_image(tiny_raw):
    (tiny_raw / FOLDER / "val" / "images" / "val_3.JPEG").unlink()
    with pytest.raises(DataError, match=r"val/images/val_3\.JPEG: missing"):
        read(tiny_raw)


def test_missing_annotations(tiny_raw):
    (tiny_raw / FOLDER / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DataError, match=r"val_annotations\.txt: missing"):
        read(tiny_raw)


def test_unknown_class_in_annotations(tiny_raw):
    with open(tiny_raw / FOLDER / "val" / "val_annotations.txt", "a") as file:
        file.write("val_9.JPEG\tn99\t0\t0\t1\t1\n")
    with pytest.raises(DataError, match="line 7: unknown class 'n99'"):
        read(tiny_raw)


def test_the_product_expects_the_whole_data_set(tiny_raw):
    with pytest.raises(DataError, match="3 classes instead of 200"):
        read_tinyimagenet(tiny_raw, download=False)


def test_missing_without_download(tmp_path):
    with pytest.raises(DataError, match=r"put the official tiny-imagenet-200\.zip .* into .*http://cs231n"):
        read(tmp_path / "raw")


def test_download_needs_the_published_md5(tiny_raw, tmp_path, monkeypatch):
    pack(tiny_raw).rename(tmp_path / f"{FOLDER}.zip")
    monkeypatch.setattr(tinyimagenet, "HOME", tmp_path.as_uri())
    with pytest.raises(DataError, match="not the published 90528d7ca1a48142e341f4ef8d21d0de"):
        read(tiny_raw, download=True)
    assert not list(tiny_raw.iterdir())
