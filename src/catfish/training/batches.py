"""The data set as tensors on the device, and batches as tensor operations on them: no workers, no copies from the host.

Images stay uint8 and channels-last until a batch is made of them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

PADDING = 4  # pixels on every side before a random crop


@dataclass(frozen=True)
class Examples:
    """Labelled images on the device: images (N, H, W, 3) uint8, labels (N,) int64, noisy (N,) bool."""

    images: Tensor
    labels: Tensor
    noisy: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> "Examples":
        return Examples(self.images[index], self.labels[index], self.noisy[index])


@dataclass(frozen=True)
class Pixels:
    """From stored pixels to the network's input: (pixel / 255 - mean) / std, per channel."""

    mean: Tensor
    std: Tensor

    def __call__(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in channels-last memory."""
        return ((images.float() / 255 - self.mean) / self.std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Data:
    """One split of a data set on the device."""

    train: Examples
    validation: Examples
    test: Examples
    pixels: Pixels
    classes: int


def on_device(prepared, split, inputs: str, device: torch.device) -> Data:
    """A prepared data set and one of its splits as tensors; `inputs` is standardised or unit."""

    def examples(images: np.ndarray, labels: np.ndarray, noisy: np.ndarray | None = None) -> Examples:
        channels_last = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))
        noisy = np.zeros(len(labels), bool) if noisy is None else noisy
        tensors = channels_last, torch.from_numpy(labels.astype(np.int64)), torch.from_numpy(noisy)
        return Examples(*(tensor.to(device) for tensor in tensors))

    standardised = inputs == "standardised"
    channels = prepared.train_images.shape[1]
    mean = prepared.manifest["mean"] if standardised else [0.0] * channels
    std = prepared.manifest["std"] if standardised else [1.0] * channels
    train, held_out = split.train_index, split.validation_index
    return Data(
        train=examples(prepared.train_images[train], split.train_labels, split.noisy),
        validation=examples(prepared.train_images[held_out], prepared.train_labels[held_out]),
        test=examples(prepared.test_images, prepared.test_labels),
        pixels=Pixels(torch.tensor(mean, device=device), torch.tensor(std, device=device)),
        classes=prepared.manifest["classes"],
    )


def epoch_order(examples: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices (batch_size,) of an epoch's batches, in a fresh random order, on the generator's device.

    The examples left over after the last whole batch wait for another epoch, so that every batch has the same size.
    """
    order = torch.randperm(examples, generator=generator, device=generator.device)
    return iter(order[: examples - examples % batch_size].view(-1, batch_size))


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
    flip = torch.randint(2, (batch, 1), generator=generator, device=device, dtype=torch.bool)
    rows = offsets[0] + torch.arange(height, device=device)  # (B, H)
    columns = torch.arange(width, device=device).expand(batch, width)
    columns = offsets[1] + torch.where(flip, columns.flip(1), columns)  # (B, W)
    example = torch.arange(batch, device=device)
    return padded[example[:, None, None], rows[:, :, None], columns[:, None, :]]


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "none": _unchanged,
    "flip": flip,
    "flip_crop": flip_and_crop,
}
