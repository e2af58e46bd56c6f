from dataclasses import replace

import numpy as np
import pytest
import torch

from catfish.datasets import load_prepared, load_split
from catfish.datasets.shards import open_shards, write_shard
from catfish.training.batches import PADDING, StoredImages, epoch_order, flip, flip_and_crop, on_device
from catfish.training.checkpoint import Keeper
from catfish.training.loop import train_run


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_an_epoch_visits_every_example_once_but_for_the_incomplete_batch():
    batches = list(epoch_order(70, 16, generator()))
    seen = torch.cat(batches)
    assert [len(batch) for batch in batches] == [16] * 4
    assert len(seen.unique()) == 64
    assert seen.max() < 70


def test_epochs_differ_and_the_seed_decides():
    source = generator(3)
    first, second = (torch.cat(list(epoch_order(64, 16, source))) for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(first, torch.cat(list(epoch_order(64, 16, generator(3)))))


def test_augmentation_is_a_crop_of_the_padded_image_possibly_mirrored():
    images = torch.randint(1, 256, (40, 8, 6, 3), dtype=torch.uint8, generator=generator())
    results = flip_and_crop(images, generator(1))
    assert results.shape == images.shape
    assert results.dtype == torch.uint8
    found = set()
    for image, result in zip(images, results):
        padded = np.pad(image.numpy(), ((PADDING, PADDING), (PADDING, PADDING), (0, 0)))
        matches = [
            (row, column, flip)
            for row in range(2 * PADDING + 1)
            for column in range(2 * PADDING + 1)
            for flip in (False, True)
            if np.array_equal(padded[row : row + 8, column : column + 6][:, :: -1 if flip else 1], result.numpy())
        ]
        assert len(matches) == 1
        found.add(matches[0])
    rows, columns, flips = (set(values) for values in zip(*found))
    assert len(rows) > 4
    assert len(columns) > 4
    assert flips == {False, True}


def test_flips_alone_mirror_some_images_and_change_nothing_else():
    images = torch.randint(256, (40, 8, 6, 3), dtype=torch.uint8, generator=generator())
    results = flip(images, generator(1))
    mirrored = [torch.equal(result, image.flip(1)) for image, result in zip(images, results)]
    same = [torch.equal(result, image) for image, result in zip(images, results)]
    assert all(one != other for one, other in zip(mirrored, same))
    assert 10 < sum(mirrored) < 30


@pytest.mark.parametrize("inputs", ["unit", "standardised"])
def test_pixels_become_the_networks_input(make_data, inputs):
    data = make_data(inputs=inputs)
    x = data.pixels(data.train.images)
    assert x.shape == (96, 3, 32, 32)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    stored = data.train.images[5, 7, 9, 1].item() / 255
    if inputs == "unit":
        assert x[5, 1, 7, 9].item() == pytest.approx(stored)
        assert x.min() >= 0 and x.max() <= 1
    else:
        assert abs(x.mean().item()) < 0.05
        assert x.std().item() == pytest.approx(1, abs=0.05)


def test_validation_images_never_train_and_keep_clean_labels(make_data):
    clean, noisy = make_data("simplecnn_c10"), make_data("vgg11_c100_noise25")
    training = {image.numpy().tobytes() for image in noisy.train.images}
    assert not any(image.numpy().tobytes() in training for image in noisy.validation.images)
    assert torch.equal(clean.validation.images, noisy.validation.images)
    assert torch.equal(clean.validation.labels, noisy.validation.labels)
    assert noisy.train.noisy.sum() == round(0.25 * 96)
    changed = clean.train.labels != noisy.train.labels
    assert changed.any()
    assert not (changed & ~noisy.train.noisy).any()


@pytest.fixture
def make_stored(project, plan):
    """The data that `make_data` makes, with the images left in files of 100."""

    def shards(name, images):
        listed = []
        for start in range(0, len(images), 100):
            part = np.ascontiguousarray(images[start : start + 100].transpose(0, 2, 3, 1))
            listed.append({"file": f"{name}-{start}.npy", "images": len(part)})
            write_shard(project / listed[-1]["file"], [image.tobytes() for image in part], part.shape)
        return open_shards(project, listed, (32, 32, 3), "cure")

    def make(setting="simplecnn_c10", inputs="unit"):
        split = plan.split(setting)
        prepared = load_prepared(plan.manifest_path(split.dataset).parent)
        images = {key: shards(key, getattr(prepared, key)) for key in ("train_images", "test_images")}
        stored = replace(prepared, **images)
        return on_device(stored, load_split(plan.split_path(split)), inputs, torch.device("cpu"))

    return make


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_images_in_files_are_the_same_examples(make_data, make_stored, part):
    resident, stored = (getattr(make("vgg11_c100_noise25"), part) for make in (make_data, make_stored))
    assert isinstance(stored.images, StoredImages) and isinstance(resident.images, torch.Tensor)
    assert torch.equal(stored.images[:], resident.images) and len(stored.images) == len(stored)
    assert torch.equal(stored.labels, resident.labels) and torch.equal(stored.noisy, resident.noisy)
    for a, b in zip(stored.images.split(33), resident.images.split(33), strict=True):
        assert torch.equal(a, b)


def test_batches_from_files_are_the_same_with_augmentation(make_data, make_stored):
    found = []
    for data in (make_data(), make_stored()):
        order, augmentation = list(epoch_order(96, 16, generator(1))), generator(2)
        batches = [(data.pixels(flip_and_crop(images, augmentation)), y) for images, y in data.train.batches(order)]
        found.append((torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])))
    (x, y), (stored_x, stored_y) = found
    assert len(x) == 96
    assert torch.equal(x, stored_x) and torch.equal(y, stored_y)


def test_batches_come_in_the_order_asked_for(make_data):
    examples = make_data().train
    order = [torch.tensor([5, 2, 7]), torch.tensor([0, 95])]
    for (images, labels), index in zip(examples.batches(order), order, strict=True):
        assert torch.equal(images, examples.images[index]) and torch.equal(labels, examples.labels[index])


def test_a_subset_of_images_in_files_reads_nothing(make_data, make_stored, monkeypatch):
    index = torch.tensor([40, 3, 3, 90])
    resident, stored = make_data().train.subset(index), make_stored().train
    with monkeypatch.context() as patch:
        patch.setattr(type(stored.images.shards), "gather", None)
        chosen = stored.subset(index).subset(torch.tensor([0, 1, 2, 3]))
    assert torch.equal(chosen.images[:], resident.images)
    assert torch.equal(chosen.labels, resident.labels)


def test_a_run_from_files_gives_the_same_numbers(make_run, make_data, make_stored, tmp_path):
    run = make_run("vgg11_c100_noise25", augment="flip_crop", penalty="fisher", coefficient=0.01)
    histories = []
    for name, make in (("resident", make_data), ("stored", make_stored)):
        (tmp_path / name).mkdir()
        train_run(
            run,
            make("vgg11_c100_noise25"),
            tmp_path / name,
            Keeper(tmp_path / name, "fingerprint"),
            say=lambda line: None,
        )
        histories.append((tmp_path / name / "history.csv").read_bytes())
    assert histories[0] == histories[1]
    assert histories[0].count(b"\n") == 4
