import numpy as np
import pytest
import torch

from catfish.training.batches import PADDING, epoch_order, flip, flip_and_crop


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
