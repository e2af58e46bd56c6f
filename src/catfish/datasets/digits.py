"""scikit-learn's digits: 1797 grey 8x8 images, no download; they stand in for CIFAR where minutes must do."""

from pathlib import Path

import numpy as np

from catfish.datasets.arrays import Arrays, check_counts, versions

CLASSES = 10
TEST_PER_CLASS = 40
TRAIN_PER_CLASS = (138, 142, 137, 143, 141, 142, 141, 139, 134, 140)
DIVISION_SEED = 0


def read_digits(raw: Path, download: bool = True) -> Arrays:
    """1397 training and 400 test images, enlarged to 32x32 in three equal channels.

    scikit-learn brings the data along, so `raw` and `download` are not used. It names no test set: 40 images of every
    class, drawn without replacement with a fixed seed, are ours. Both parts keep scikit-learn's order.
    Raises DataError if scikit-learn's data are not the 1797 known images.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    labels = data.target.astype(np.int64)
    images = np.stack([enlarge(image) for image in data.images])
    test = choose_test(labels)
    check_counts(labels[~test], CLASSES, TRAIN_PER_CLASS, "digits, training set")
    check_counts(labels[test], CLASSES, TEST_PER_CLASS, "digits, test set")
    return Arrays(
        images[~test],
        labels[~test],
        images[test],
        labels[test],
        CLASSES,
        source={
            "home": "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
            "read": "sklearn.datasets.load_digits",
            "division_seed": DIVISION_SEED,
        },
        made_with=versions("numpy", "pillow", "scikit-learn"),
    )


def enlarge(image: np.ndarray) -> np.ndarray:
    """Grey values 0 to 16 (8, 8) -> uint8 0 to 255 (3, 32, 32), bilinear."""
    from PIL import Image

    grey = Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8))
    large = np.asarray(grey.resize((32, 32), Image.Resampling.BILINEAR))
    return np.broadcast_to(large, (3, 32, 32))


def choose_test(labels: np.ndarray) -> np.ndarray:
    """True for the 40 images of every class that make up the test set, (N,) bool."""
    generator = np.random.Generator(np.random.PCG64(DIVISION_SEED))
    mask = np.zeros(len(labels), dtype=bool)
    for c in range(CLASSES):
        mask[generator.permutation(np.flatnonzero(labels == c))[:TEST_PER_CLASS]] = True
    return mask
