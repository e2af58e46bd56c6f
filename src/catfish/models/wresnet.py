"""Wide ResNets of depth 44 and width 3, with batch norm or with SkipInit (G.2)."""

from torch import nn

from catfish.models.layers import Residual, ScalarMultiplier, convolution, he_normal, head, scaled, stages, strided

STEM, CHANNELS = 16, (48, 96, 192)
BLOCKS = 7  # a stage; 44 = 6 * 7 + 2


def wresnet44_3(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """Pre-activation blocks with batch norm (Zagoruyko & Komodakis 2016); 5,947,480 parameters for 200 classes.

    Depth 44 is 6n + 2 with n = 7 blocks in each of three stages, which counts 3x3 convolutions and the linear layer;
    Zagoruyko & Komodakis also count the three 1x1 shortcuts (6n + 4) and would call this network WRN-46-3. As in
    their code the first convolution's 16 channels do not grow with the width 3, convolutions have no biases, a 1x1
    shortcut shares the batch norm and ReLU of its branch, and weights are He normal by fan-out.
    """
    model = _wresnet(classes, width, depth, normalised=True)
    he_normal(model, "fan_out")
    return model


def wresnet44_3_skipinit(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """The same without batch norm: SkipInit (De & Smith 2020); 5,923,817 parameters for a hundred classes.

    Every residual branch ends in a trained scalar that is zero at first, so that blocks begin as their shortcuts, and
    convolutions have biases. He normal weights by fan-in, which keep the stream's mean square, are our choice.
    """
    model = _wresnet(classes, width, depth, normalised=False)
    he_normal(model, "fan_in")
    return model


def _wresnet(classes: int, width: float, depth: float, normalised: bool) -> nn.Module:
    stem, *channels = (scaled(count, width) for count in (STEM, *CHANNELS))

    def block(inputs: int, outputs: int, stride: int) -> nn.Module:
        return _block(inputs, outputs, stride, normalised)

    return nn.Sequential(
        convolution(3, stem, bias=not normalised),
        *stages(block, stem, channels, scaled(BLOCKS, depth)),
        *_activation(channels[-1], normalised),
        *head(channels[-1], classes),
    )


def _activation(channels: int, normalised: bool) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU()] if normalised else [nn.ReLU()]


def _block(inputs: int, outputs: int, stride: int, normalised: bool) -> nn.Module:
    before = _activation(inputs, normalised)
    branch = [
        convolution(inputs, outputs, stride, bias=not normalised),
        *_activation(outputs, normalised),
        convolution(outputs, outputs, bias=not normalised),
    ]
    if not normalised:
        branch.append(ScalarMultiplier(0.0))
    if inputs == outputs and stride == 1:
        return Residual(nn.Sequential(*before, *branch), nn.Identity())
    shortcut = strided(nn.Conv2d(inputs, outputs, 1, bias=not normalised), stride)
    return nn.Sequential(*before, Residual(nn.Sequential(*branch), shortcut))
