"""ResNets for 32x32 images, 6n + 2 layers in three stages of n blocks (He et al. 2016, section 4.2)."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from catfish.models.layers import Block, Residual, convolution, he_normal, head, scaled, stages

CHANNELS = (16, 32, 64)


class PaddedShortcut(nn.Module):
    """Every `stride`-th pixel, with channels of zeros behind the input's: option A of He et al., no parameters."""

    def __init__(self, extra: int, stride: int):
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def resnet32(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """n = 5; 464,154 parameters for ten classes."""
    return _resnet(5, classes, width, depth)


def resnet50(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """n = 8; 755,802 parameters for ten classes.

    Not the ResNet-50 for ImageNet: the paper names ResNet-50, ResNet-52 and a Wide ResNet for one experiment (Table 3,
    Figure 9, G.3), and depth 50 exists in the family for CIFAR.
    """
    return _resnet(8, classes, width, depth)


def resnet56(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """n = 9; 853,018 parameters for ten classes."""
    return _resnet(9, classes, width, depth)


def _resnet(blocks: int, classes: int, width: float, depth: float) -> nn.Module:
    """Parameter-free shortcuts."""
    channels = [scaled(count, width) for count in CHANNELS]
    return normalised_resnet(_block, channels, scaled(blocks, depth), classes)


def normalised_resnet(block: Block, channels: list[int], blocks: int, classes: int) -> nn.Module:
    """Batch norm, a 3x3 convolution first, `blocks` blocks for each of `channels`, no biases in convolutions.

    He et al. do not say which of their two scalings of the initial weights they use: fan-out is our choice.
    """
    model = nn.Sequential(
        convolution(3, channels[0]),
        nn.BatchNorm2d(channels[0]),
        nn.ReLU(),
        *stages(block, channels[0], channels, blocks),
        *head(channels[-1], classes),
    )
    he_normal(model, "fan_out")
    return model


def normalised_block(inputs: int, outputs: int, stride: int, reshaping: Callable[[], nn.Module]) -> nn.Module:
    """ReLU(branch + shortcut) of two convolutions with batch norm; `reshaping`: the shortcut where shapes change."""
    branch = nn.Sequential(
        convolution(inputs, outputs, stride),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        convolution(outputs, outputs),
        nn.BatchNorm2d(outputs),
    )
    same = inputs == outputs and stride == 1
    return nn.Sequential(Residual(branch, nn.Identity() if same else reshaping()), nn.ReLU())


def _block(inputs: int, outputs: int, stride: int) -> nn.Module:
    return normalised_block(inputs, outputs, stride, lambda: PaddedShortcut(outputs - inputs, stride))
