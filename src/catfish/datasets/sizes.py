"""How large the complete data sets are, for estimates before anything is prepared."""

from typing import NamedTuple


class Size(NamedTuple):
    """Numbers of images and classes, and an image's height and width in pixels."""

    training: int
    test: int
    classes: int
    side: int


SIZES = {
    "digits": Size(1397, 400, 10, 32),
    "cifar10": Size(50_000, 10_000, 10, 32),
    "cifar100": Size(50_000, 10_000, 100, 32),
    "tinyimagenet": Size(100_000, 10_000, 200, 32),
    "imagenet": Size(1_281_167, 50_000, 1000, 224),
    "imagenet64": Size(1_281_167, 50_000, 1000, 64),
}
