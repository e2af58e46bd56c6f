"""Choices and parts that several families share."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Block = Callable[[int, int, int], nn.Module]  # channels of the input, channels of the output, stride


def scaled(count: int, factor: float) -> int:
    """A layer's channels at a width factor, or a stage's blocks at a depth factor; at least one."""
    return max(1, round(count * factor))


def zero_biases(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def he_normal(model: nn.Module, mode: str) -> None:
    """Normal convolution weights of variance 2 / fan (He et al. 2015), biases zero.

    `mode` "fan_in" preserves the mean square of activations through a ReLU and a convolution, "fan_out" that of
    gradients.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
    zero_biases(model)


def convolution(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """3x3, padded so that only the stride changes the image's size."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)


def strided(layer: nn.Conv2d, stride: int) -> nn.Module:
    """A 1x1 convolution at every `stride`-th pixel of every `stride`-th row.

    The numbers are those of a convolution with that stride. But where that has fewer than eight channels, lying last,
    a processor without AVX-512 writes the weights' gradient past its memory (oneDNN, issue 6035).
    """
    return layer if stride == 1 else nn.Sequential(EveryPixel(stride), layer)


class EveryPixel(nn.Module):
    """Every `stride`-th pixel of every `stride`-th row."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride]


def stages(block: Block, inputs: int, channels: Sequence[int], blocks: int) -> list[nn.Module]:
    """`blocks` blocks for each of `channels`; the first block of every stage but the first halves the image."""
    layers = []
    for stage, outputs in enumerate(channels):
        for number in range(blocks):
            layers.append(block(inputs, outputs, 2 if stage and not number else 1))
            inputs = outputs
    return layers


def head(channels: int, classes: int) -> list[nn.Module]:
    """Global average pooling and a linear layer with weights uniform within 1 / sqrt(channels), and zero biases.

    So in the codes of Zagoruyko & Komodakis, Huang et al. and (but for the biases) Arpit et al.; the papers are silent.
    """
    output = nn.Linear(channels, classes)
    bound = channels**-0.5
    nn.init.uniform_(output.weight, -bound, bound)
    nn.init.zeros_(output.bias)
    return [GlobalAverage(), output]


class GlobalAverage(nn.Module):
    """(B, C, H, W) -> (B, C), the mean over all pixels.

    A plain mean, since torch writes its adaptive pooling to one pixel with an operation that fixes memory layouts,
    which second derivatives along directions cannot follow.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Residual(nn.Module):
    """branch(x) + shortcut(x)."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


class ScalarMultiplier(nn.Module):
    """The input times one trained number; without dimensions, so that it does not promote an input in bfloat16."""

    def __init__(self, initial: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(initial))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class ScalarBias(nn.Module):
    """The input plus one trained number, zero at first."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias
