"""ResNet-18 with batch norm for CIFAR, and without it with Fixup, for ImageNet and for CIFAR."""

from torch import nn

from catfish.models.layers import (
    Residual,
    ScalarBias,
    ScalarMultiplier,
    convolution,
    he_normal,
    head,
    scaled,
    stages,
    strided,
)
from catfish.models.resnet import normalised_block, normalised_resnet

CHANNELS = (64, 128, 256, 512)
BLOCKS = 2  # a stage


def resnet18(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """Basic blocks with batch norm (He et al. 2016), 11,173,962 parameters for ten classes.

    The usual adaptation to 32x32 images: a 3x3 convolution with stride 1 first, and no pooling after it. Shortcuts
    that change the shape are 1x1 convolutions with batch norm. He normal weights by fan-out.
    """
    channels = [scaled(count, width) for count in CHANNELS]
    return normalised_resnet(_normalised_block, channels, scaled(BLOCKS, depth), classes)


def resnet18_fixup(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """Without batch norm, for ImageNet's (B, 3, 224, 224); 11,679,954 parameters for a thousand classes.

    A 7x7 convolution with stride 2 and a 3x3 pooling with stride 2 first, so 64x64 images leave 2x2 pixels, which is
    enough as well. See `_fixup` for the initialisation.
    """
    first = nn.Conv2d(3, scaled(CHANNELS[0], width), 7, 2, padding=3, bias=False)
    return _fixup(first, [nn.MaxPool2d(3, 2, padding=1)], classes, width, depth)


def resnet18_fixup_cifar(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """The same for 32x32 images, with the first layer of `resnet18`; 11,164,404 parameters for ten classes."""
    return _fixup(convolution(3, scaled(CHANNELS[0], width)), [], classes, width, depth)


def _fixup(first: nn.Conv2d, pooling: list[nn.Module], classes: int, width: float, depth: float) -> nn.Module:
    """Fixup (Zhang, Dauphin & Ma 2019): He weights, a branch's first layer times L^{-1/(2m-2)}, its last layer zero.

    L residual branches of m = 2 layers. The classifier is zero too. Trained scalar biases stand in front of every
    convolution, ReLU and the linear layer, and a trained scalar, one at first, multiplies the end of a branch. As in
    the authors' code, the first convolution has no bias in front and weights uniform within 1 / sqrt(fan-in), a 1x1
    shortcut shares the bias in front of its branch, the ReLU that ends a block has the one at the end of its branch,
    and He's variance goes by fan-out.
    """
    channels, blocks = [scaled(count, width) for count in CHANNELS], scaled(BLOCKS, depth)
    layers = stages(_fixup_block, channels[0], channels, blocks)
    average, output = head(channels[-1], classes)
    model = nn.Sequential(first, ScalarBias(), nn.ReLU(), *pooling, *layers, average, ScalarBias(), output)
    he_normal(model, "fan_out")
    bound = first.weight[0].numel() ** -0.5
    nn.init.uniform_(first.weight, -bound, bound)
    nn.init.zeros_(output.weight)
    for residual in (module for module in model.modules() if isinstance(module, Residual)):
        opening, closing = (module for module in residual.branch if isinstance(module, nn.Conv2d))
        opening.weight.detach().mul_(len(layers) ** -0.5)
        nn.init.zeros_(closing.weight)
    return model


def _normalised_block(inputs: int, outputs: int, stride: int) -> nn.Module:
    def reshaping() -> nn.Module:
        return nn.Sequential(strided(nn.Conv2d(inputs, outputs, 1, bias=False), stride), nn.BatchNorm2d(outputs))

    return normalised_block(inputs, outputs, stride, reshaping)


def _fixup_block(inputs: int, outputs: int, stride: int) -> nn.Module:
    branch = [
        convolution(inputs, outputs, stride),
        ScalarBias(),
        nn.ReLU(),
        ScalarBias(),
        convolution(outputs, outputs),
        ScalarMultiplier(1.0),
        ScalarBias(),
    ]
    if inputs == outputs and stride == 1:
        return nn.Sequential(Residual(nn.Sequential(ScalarBias(), *branch), nn.Identity()), nn.ReLU())
    shortcut = strided(nn.Conv2d(inputs, outputs, 1, bias=False), stride)
    return nn.Sequential(ScalarBias(), Residual(nn.Sequential(*branch), shortcut), nn.ReLU())
