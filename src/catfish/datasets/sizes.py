"""How large the complete data sets are, for estimates before anything is prepared."""

from typing import NamedTuple

from catfish.datasets import digits, imagenet


class Size(NamedTuple):
    """Numbers of images and classes, and an image's height and width in pixels."""

    training: int
    test: int
    classes: int
    side: int


def _imagenet(name: str) -> Size:
    official = imagenet.OFFICIAL
    return Size(official.train, official.classes * official.test_per_class, official.classes, imagenet.SIZES[name][1])


SIZES = {
    "digits": Size(sum(digits.TRAIN_PER_CLASS), digits.CLASSES * digits.TEST_PER_CLASS, digits.CLASSES, 32),
    "cifar10": Size(50_000, 10_000, 10, 32),
    "cifar100": Size(50_000, 10_000, 100, 32),
    "tinyimagenet": Size(100_000, 10_000, 200, 32),
    "imagenet": _imagenet("imagenet"),
    "imagenet64": _imagenet("imagenet64"),
}
