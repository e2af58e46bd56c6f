"""ResNet-26 without batch norm, initialised after Arpit, Campos & Bengio 2019 (section 3, G.1)."""

import math

from torch import nn

from catfish.models.layers import Residual, convolution, head, scaled, stages, strided, zero_biases

CHANNELS = (16, 32, 64)
BLOCKS = 4  # a stage; 26 = 6 * 4 + 2


def resnet26_arpit(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """Three stages of B = 4 blocks, 368,682 parameters for ten classes.

    The paper names depth and initialisation only. Taken from Arpit et al.'s code are the blocks,
    h + conv(ReLU(conv(h))) with biases, no ReLU on the stream, not even after the first convolution or before the
    pooling, and 1x1 convolutions as shortcuts where the shape changes; and zero biases and normal weights of variance
    gain / fan-out, which keep the norm over channels forwards and the mean square of gradients backwards.

    Their code has gain 2 everywhere without weight normalisation. With it, where the norms propagate in the same way,
    the gains are 2 for the layer in front of a ReLU; 1/B for the last layer of each of a stage's B blocks, so that
    the squared norm grows by at most (1 + 1/B)^B < e in a stage; 1 for shortcuts and the first convolution. These
    are what makes the scheme fit ResNets: that they go with un-normalised weights here is our choice.
    """
    channels, blocks = [scaled(count, width) for count in CHANNELS], scaled(BLOCKS, depth)

    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        return _block(inputs, outputs, stride, blocks)

    stem = _drawn(convolution(3, channels[0], bias=True), 1.0)
    return nn.Sequential(stem, *stages(block, channels[0], channels, blocks), *head(channels[-1], classes))


def _block(inputs: int, outputs: int, stride: int, blocks: int) -> nn.Module:
    first = _drawn(convolution(inputs, outputs, stride, bias=True), 2.0)
    last = _drawn(convolution(outputs, outputs, bias=True), 1 / blocks)
    same = inputs == outputs and stride == 1
    shortcut = nn.Identity() if same else strided(_drawn(nn.Conv2d(inputs, outputs, 1), 1.0), stride)
    return Residual(nn.Sequential(first, nn.ReLU(), last), shortcut)


def _drawn(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    """The layer with normal weights of variance gain / fan-out, and zero biases."""
    nn.init.normal_(layer.weight, std=math.sqrt(gain / (layer.out_channels * math.prod(layer.kernel_size))))
    zero_biases(layer)
    return layer
