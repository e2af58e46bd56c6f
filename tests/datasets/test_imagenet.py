import hashlib
import json
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, Resize

from catfish.datasets import DataError, imagenet, load_prepared, load_split, make_split, prepare, write_split
from catfish.datasets.imagenet import OFFICIAL, SIZES, Counts, decode, prepare_imagenet
from catfish.training.batches import epoch_order, on_device

WNIDS = ("n01", "n02", "n03")
EXPECTED = Counts(classes=3, train=13, train_per_class=(4, 5), test_per_class=2)
SIDES = [(500, 375), (375, 500), (80, 64), (40, 90), (257, 256), (64, 64)]  # width, height


def picture(seed, width=120, height=90):
    """Smooth colours with some noise, as in a photograph."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (5, 5, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    return Image.fromarray((smooth + generator.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8))


@pytest.fixture
def raw(tmp_path):
    """raw/imagenet/ with 3 classes, 5 + 4 + 4 training and 2 validation images each, of several sizes and modes."""
    number = 0
    for folder, counts in (("train", (5, 4, 4)), ("val", (2, 2, 2))):
        for wnid, count in zip(WNIDS, counts):
            place = tmp_path / "raw" / "imagenet" / folder / wnid
            place.mkdir(parents=True)
            for k in range(count):
                mode = {3: "L", 7: "CMYK"}.get(number, "RGB")
                image = picture(number, *SIDES[number % len(SIDES)]).convert(mode)
                image.save(place / f"{wnid}_{k}.JPEG", "PNG" if number == 5 else "JPEG")
                number += 1
    return tmp_path / "raw"


def run(raw, name="imagenet64", out="out", **options):
    return prepare_imagenet(name, raw, raw.parent / out, **{"expected": EXPECTED, "per_shard": 4} | options)


def paths(raw, folder):
    return sorted((raw / "imagenet" / folder).glob("*/*.JPEG"))


def gathered(shards, index=None):
    index = np.arange(len(shards)) if index is None else np.array(index)
    out = np.empty((len(index), *shards.shape[1:]), np.uint8)
    shards.gather(index, out)
    return out


def by_torchvision(path, name):
    shorter, crop = SIZES[name]
    return np.asarray(Compose([Resize(shorter), CenterCrop(crop)])(Image.open(path).convert("RGB")))


@pytest.mark.parametrize("name", ["imagenet", "imagenet64"])
def test_images_labels_and_manifest(raw, name):
    manifest = run(raw, name)
    data = load_prepared(raw.parent / "out")
    side = SIZES[name][1]
    assert data.manifest == manifest == json.loads((raw.parent / "out" / "manifest.json").read_text())
    assert manifest["image_shape"] == [3, side, side]
    assert manifest["counts"] == {"train": 13, "test": 6}
    assert data.train_labels.tolist() == [0] * 5 + [1] * 4 + [2] * 4 and data.test_labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [entry["images"] for entry in manifest["shards"]["train"]] == [4, 4, 4, 1]
    for part, folder in (("train", "train"), ("test", "val")):
        images = gathered(getattr(data, f"{part}_images"))
        expected = np.stack([by_torchvision(path, name) for path in paths(raw, folder)])
        assert np.array_equal(images, expected)
    train = gathered(data.train_images) / 255
    assert np.allclose(manifest["mean"], train.mean((0, 1, 2)), rtol=1e-12)
    assert np.allclose(manifest["std"], train.std((0, 1, 2)), rtol=1e-12)


def test_checksums_are_those_of_the_files(raw):
    manifest = run(raw)
    for part in ("train", "test"):
        for entry in manifest["shards"][part]:
            content = (raw.parent / "out" / entry["file"]).read_bytes()
            assert hashlib.sha256(content).hexdigest() == entry["sha256"]


def test_positions_in_any_order_across_shards(raw):
    run(raw)
    shards = load_prepared(raw.parent / "out").train_images
    every = gathered(shards)
    index = [12, 0, 3, 4, 11, 7, 8, 3]
    assert len(shards) == 13
    assert np.array_equal(gathered(shards, index), every[index])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_an_orientation_in_the_metadata_and_broken_metadata_change_nothing(tmp_path):
    image = picture(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    image.save(tmp_path / "plain.JPEG")
    image.save(tmp_path / "rotated.JPEG", exif=exif)
    image.save(tmp_path / "broken.JPEG", exif=b"Exif\0\0II*\0garbage")
    plain, rotated, broken = (decode(tmp_path / f"{name}.JPEG", 64, 64)[0] for name in ("plain", "rotated", "broken"))
    assert plain == rotated == broken


def test_killed_and_resumed_gives_the_same_bytes_and_repeats_nothing(raw, monkeypatch):
    run(raw, out="whole")
    decoded = []

    def interrupted(path, *size):
        decoded.append(path.name)
        if len(decoded) == 10:  # in the third shard
            raise KeyboardInterrupt
        return decode(path, *size)

    monkeypatch.setattr(imagenet, "decode", interrupted)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    with pytest.raises(KeyboardInterrupt):
        run(raw)
    out = raw.parent / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        f"train-00{k}.{ending}" for k in (0, 1) for ending in ("json", "npy")
    ]
    (out / "train-002.npy.123.tmp").write_bytes(b"of a process that was killed")
    before = (out / "train-000.npy").stat().st_mtime_ns
    decoded.clear()
    monkeypatch.setattr(imagenet, "decode", lambda path, *size: decoded.append(path.name) or decode(path, *size))
    run(raw)
    assert decoded == [path.name for folder in ("train", "val") for path in paths(raw, folder)][8:]
    assert (out / "train-000.npy").stat().st_mtime_ns == before
    names = {path.name for path in out.iterdir()}
    assert names == {path.name for path in (raw.parent / "whole").iterdir()}
    assert all((out / name).read_bytes() == (raw.parent / "whole" / name).read_bytes() for name in names)


def test_only_what_changed_is_made_again(raw, monkeypatch):
    first = run(raw)
    picture(99).save(paths(raw, "train")[5], "JPEG")  # in the second shard
    os.truncate(raw.parent / "out" / "test-001.npy", 100)
    decoded = []
    monkeypatch.setattr(imagenet, "decode", lambda path, *size: decoded.append(path.name) or decode(path, *size))
    second = run(raw)
    assert sorted(decoded) == sorted(p.name for p in paths(raw, "train")[4:8] + paths(raw, "val")[4:])
    changed = [a["sha256"] != b["sha256"] for a, b in zip(first["shards"]["train"], second["shards"]["train"])]
    assert changed == [False, True, False, False]
    assert first["sha256"] != second["sha256"]  # a run's fingerprint sees it
    assert first["shards"]["test"] == second["shards"]["test"]


def test_all_damaged_images_of_a_shard_are_named(raw):
    first, second, third, *_ = paths(raw, "train")
    os.truncate(first, first.stat().st_size // 2)
    second.write_text("not an image")
    third.unlink()
    third.symlink_to("nothing")
    with pytest.raises(DataError, match=r"n01_2\.JPEG: cannot be read"):
        run(raw)
    third.unlink()
    shutil.copy(paths(raw, "train")[-1], third)
    with pytest.raises(DataError) as error:
        run(raw)
    message = str(error.value)
    assert "n01_0.JPEG: not a readable" in message and "n01_1.JPEG: not a readable" in message
    assert "n01_2" not in message and "take the official ILSVRC 2012 files" in message
    assert not list((raw.parent / "out").iterdir())


def test_a_long_list_of_damaged_images_is_cut(raw, monkeypatch):
    monkeypatch.setattr(imagenet, "SHOWN", 1)
    for path in paths(raw, "train")[:3]:
        path.write_text("not an image")
    with pytest.raises(DataError, match=r"n01_0\.JPEG: not a readable .*\n\.\.\. and 2 more\n"):
        run(raw)


def test_half_of_a_new_preparation_is_not_taken_for_the_old_one(raw):
    run(raw)
    paths(raw, "train")[5].write_text("not an image")
    with pytest.raises(DataError, match=r"n02_0\.JPEG"):
        run(raw)
    with pytest.raises(DataError, match=r"manifest\.json: missing"):
        load_prepared(raw.parent / "out")


def test_a_shard_that_shrinks_while_it_is_used_is_named(raw):
    run(raw)
    shards = load_prepared(raw.parent / "out").train_images
    os.truncate(raw.parent / "out" / "train-003.npy", 200)
    assert gathered(shards, [0]).any()
    with pytest.raises(DataError, match=r"train-003\.npy: shorter"):
        gathered(shards, [0, 12])


def test_an_image_that_vanishes_is_named(tmp_path):
    assert str(decode(tmp_path / "gone.JPEG", 64, 64)).endswith("gone.JPEG: missing")


@pytest.mark.parametrize("place", ["train/n04", "train/n02/n02_9.JPEG", "val"])
def test_links_that_leave_the_tree(raw, tmp_path, place):
    elsewhere = tmp_path / "elsewhere"
    (raw / "imagenet" / "val").rename(elsewhere) if place == "val" else elsewhere.mkdir()
    (raw / "imagenet" / place).symlink_to(elsewhere)
    with pytest.raises(DataError, match=rf"{place}: a link that leaves"):
        run(raw)


def test_links_within_the_tree_and_a_link_to_the_whole_tree(raw, tmp_path):
    expected = run(raw)
    (raw / "imagenet").rename(tmp_path / "disk")
    (raw / "imagenet").symlink_to(tmp_path / "disk")
    folder = tmp_path / "disk" / "train"
    (folder / "n01").rename(tmp_path / "disk" / "first")
    (folder / "n01").symlink_to("../first")
    assert run(raw, out="linked")["shards"] == expected["shards"]


def test_wrong_counts(raw):
    with pytest.raises(DataError, match=r"train: 3 classes .* instead of 1000"):
        run(raw, expected=OFFICIAL)
    with pytest.raises(DataError, match="train: 13 images instead of 14"):
        run(raw, expected=Counts(3, 14, (4, 5), 2))
    paths(raw, "val")[3].unlink()
    with pytest.raises(DataError, match="val: 1 examples of class 1 instead of 2"):
        run(raw)
    paths(raw, "train")[-1].unlink()
    with pytest.raises(DataError, match=r"train/n03: 3 images named \*\.JPEG instead of 4 to 5"):
        run(raw)
    (raw / "imagenet" / "val" / "n01").rename(raw / "imagenet" / "val" / "n00")
    with pytest.raises(DataError, match="n00 is a class of only one"):
        run(raw)


def test_missing_tree_says_what_to_put_where(tmp_path):
    with pytest.raises(DataError, match=r"imagenet/train: missing; put the images there.*https://www\.image-net\.org"):
        prepare("imagenet64", tmp_path / "raw", tmp_path / "out")


def test_space_is_checked_before_any_work(raw, monkeypatch):
    usage = namedtuple("usage", "free")
    needed = 19 * 64 * 64 * 3
    monkeypatch.setattr(imagenet, "decode", None)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(needed - 1))
    with pytest.raises(DataError, match=r"GB are needed, .* GB are free; .*--prepared"):
        run(raw)
    assert not (raw.parent / "out").exists()


def test_a_missing_or_shortened_shard_is_noticed_when_data_are_loaded(raw):
    run(raw)
    out = raw.parent / "out"
    os.truncate(out / "test-001.npy", 500)
    with pytest.raises(DataError, match=r"test-001\.npy: damaged .*run `catfish prepare imagenet64` again"):
        load_prepared(out)
    (out / "test-001.npy").unlink()
    with pytest.raises(DataError, match=r"test-001\.npy: missing"):
        load_prepared(out)


@pytest.mark.parametrize("damage", [lambda m: m["shards"]["train"].pop(), lambda m: m["shards"]["test"][0].pop("file")])
def test_a_manifest_of_other_shards(raw, damage):
    manifest = run(raw)
    damage(manifest)
    (raw.parent / "out" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=r"manifest\.json: damaged, 'shards' are not those of arrays\.npz"):
        load_prepared(raw.parent / "out")


def test_from_files_to_a_training_step(raw):
    """Prepare, split with held-out images, batches, a step that lowers the loss."""
    run(raw)
    prepared = load_prepared(raw.parent / "out")
    split = make_split(prepared.train_labels, 3, validation=3, examples=8, seed=1)
    write_split(split, raw.parent / "out" / "split.npz")
    data = on_device(prepared, load_split(raw.parent / "out" / "split.npz"), "standardised", torch.device("cpu"))
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 3, 6)
    every = gathered(prepared.train_images)
    assert np.array_equal(data.validation.images[:].numpy(), every[split.validation_index])

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(),
        torch.nn.Linear(64, 3),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    order = list(epoch_order(8, 4, torch.Generator().manual_seed(0)))
    assert len(order) == 2
    losses = []
    for images, labels in [*data.train.batches(order)] * 5:
        loss = torch.nn.functional.cross_entropy(model(data.pixels(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-2:]) < sum(losses[:2])
