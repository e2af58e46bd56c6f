"""Batches as tensor operations on a data set that lies on the device, or that is read from files, a few batches ahead.

Images stay uint8 and channels-last until a batch is made of them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from catfish.datasets import Prepared, Split
from catfish.datasets.ahead import ahead
from catfish.datasets.shards import Shards

PADDING = 4  # pixels on every side before a random crop
READERS = 4  # threads that gather batches from files, one batch each
SLICE = 1000  # images that are copied at once


@dataclass(frozen=True)
class StoredImages:
    """Images that stay in files, used like a tensor (N, H, W, 3) uint8 on the device: by index and in chunks.

    What is indexed is read and moved to the device; `subset` reads nothing.
    """

    shards: Shards
    rows: Tensor  # (N,) positions in the shards, on the CPU
    device: torch.device

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return len(self), *self.shards.shape[1:]

    def __getitem__(self, index: Tensor | slice) -> Tensor:
        return self._moved(self._gathered(self.rows[_on_host(index)]))

    def split(self, size: int) -> Iterator[Tensor]:
        """Consecutive chunks of at most `size` images."""
        return self._ahead(self.rows.split(size))

    def batches(self, order: Iterable[Tensor]) -> Iterator[Tensor]:
        """The images at each index tensor of `order`, read while earlier ones are used."""
        return self._ahead([self.rows[_on_host(index)] for index in order])

    def subset(self, index: Tensor) -> "StoredImages":
        return StoredImages(self.shards, self.rows[_on_host(index)], self.device)

    def _ahead(self, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
        return map(self._moved, ahead(self._gathered, chunks, READERS, READERS + 1))

    def _gathered(self, rows: Tensor) -> Tensor:
        images = torch.empty(
            len(rows), *self.shards.shape[1:], dtype=torch.uint8, pin_memory=self.device.type == "cuda"
        )
        self.shards.gather(rows.numpy(), images.numpy())
        return images

    def _moved(self, images: Tensor) -> Tensor:
        return images.to(self.device, non_blocking=True)


def _on_host(index: Tensor | slice) -> Tensor | slice:
    return index.cpu() if isinstance(index, Tensor) else index


@dataclass(frozen=True)
class Examples:
    """Labelled images: images (N, H, W, 3) uint8; labels (N,) int64 and noisy (N,) bool on the device.

    Images are a tensor on the device, or stay in files; either way `images[index]` is a tensor on the device, and
    `images.split(size)` gives chunks that are.
    """

    images: Tensor | StoredImages
    labels: Tensor
    noisy: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> "Examples":
        """The examples at `index`; images in files are not read."""
        images = self.images[index] if isinstance(self.images, Tensor) else self.images.subset(index)
        return Examples(images, self.labels[index], self.noisy[index])

    def batches(self, order: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Images and labels of each index tensor of `order`."""
        order = list(order)
        stored = not isinstance(self.images, Tensor)
        images = self.images.batches(order) if stored else map(self.images.__getitem__, order)
        return zip(images, map(self.labels.__getitem__, order))


@dataclass(frozen=True)
class Pixels:
    """From stored pixels to the network's input: (pixel / 255 - mean) / std, per channel."""

    mean: Tensor
    std: Tensor

    def __call__(self, images: Tensor | StoredImages) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in channels-last memory."""
        return images[:].float().div_(255).sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Data:
    """One split of a data set on the device."""

    train: Examples
    validation: Examples
    test: Examples
    pixels: Pixels
    classes: int


def on_device(prepared: Prepared, split: Split, inputs: str, device: torch.device) -> Data:
    """A prepared data set and one of its splits as tensors; `inputs` is standardised or unit.

    Images that were prepared in shards stay there.
    """

    def examples(images: np.ndarray | Shards, rows: np.ndarray, labels: np.ndarray, noisy: np.ndarray) -> Examples:
        stored = isinstance(images, Shards)
        chosen = StoredImages(images, torch.from_numpy(rows), device) if stored else _resident(images, rows, device)
        return Examples(chosen, *(torch.from_numpy(array).to(device) for array in (labels, noisy)))

    def clean(images: np.ndarray | Shards, rows: np.ndarray, labels: np.ndarray) -> Examples:
        return examples(images, rows, labels[rows], np.zeros(len(rows), bool))

    manifest, standardised = prepared.manifest, inputs == "standardised"
    mean = manifest["mean"] if standardised else [0.0] * len(manifest["mean"])
    std = manifest["std"] if standardised else [1.0] * len(manifest["std"])
    return Data(
        train=examples(prepared.train_images, split.train_index, split.train_labels, split.noisy),
        validation=clean(prepared.train_images, split.validation_index, prepared.train_labels),
        test=clean(prepared.test_images, np.arange(len(prepared.test_labels)), prepared.test_labels),
        pixels=Pixels(torch.tensor(mean, device=device), torch.tensor(std, device=device)),
        classes=manifest["classes"],
    )


def _resident(images: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """The chosen images (N, C, H, W) as a tensor (N, H, W, C) on the device, slice by slice: no second copy of them."""
    channels, height, width = images.shape[1:]
    chosen = torch.empty(len(rows), height, width, channels, dtype=torch.uint8, device=device)
    for part, target in zip(np.split(rows, range(SLICE, len(rows), SLICE)), chosen.split(SLICE)):
        target.copy_(torch.from_numpy(images[part]).permute(0, 2, 3, 1))
    return chosen


def epoch_order(examples: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Indices (batches, batch_size) of an epoch's batches, in a fresh random order, on the generator's device.

    The examples left over after the last whole batch wait for another epoch, so that every batch has the same size.
    """
    order = torch.randperm(examples, generator=generator, device=generator.device)
    return order[: examples - examples % batch_size].view(-1, batch_size)


def _unchanged(images: Tensor, generator: torch.Generator) -> Tensor:
    return images


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random horizontal flips; (B, H, W, 3) uint8 -> the same."""
    chosen = torch.randint(2, (len(images), 1, 1, 1), generator=generator, device=images.device, dtype=torch.bool)
    return torch.where(chosen, images.flip(2), images)


def flip_and_crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Random horizontal flips and random crops after padding by 4 black pixels; (B, H, W, 3) uint8 -> the same."""
    batch, height, width = images.shape[:3]
    device = images.device
    padded = torch.nn.functional.pad(images, (0, 0, PADDING, PADDING, PADDING, PADDING))
    offsets = torch.randint(2 * PADDING + 1, (2, batch, 1), generator=generator, device=device)
    mirrored = torch.randint(2, (batch, 1), generator=generator, device=device, dtype=torch.bool)
    rows = offsets[0] + torch.arange(height, device=device)  # (B, H)
    columns = torch.arange(width, device=device).expand(batch, width)
    columns = offsets[1] + torch.where(mirrored, columns.flip(1), columns)  # (B, W)
    example = torch.arange(batch, device=device)
    return padded[example[:, None, None], rows[:, :, None], columns[:, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "none": _unchanged,
    "flip": flip,
    "flip_crop": flip_and_crop,
}
