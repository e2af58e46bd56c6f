"""Choices that several families share."""

from torch import nn


def scaled(channels: int, width: float) -> int:
    """A layer's channels at a width factor, at least one."""
    return max(1, round(channels * width))


def zero_biases(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
