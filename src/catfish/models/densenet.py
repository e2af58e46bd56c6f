"""DenseNet of 40 layers and growth rate 12 (G.2)."""

import torch
from torch import Tensor, nn

from catfish.models.layers import convolution, he_normal, head, scaled

STEM, GROWTH = 16, 12
LAYERS = 12  # a dense block; 40 = 3 * 12 + 4: the first convolution, two transitions, the linear layer


class Dense(nn.Module):
    """The input and, behind it, the branch's channels."""

    def __init__(self, branch: nn.Module):
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.branch(x)], dim=1)


def densenet40_12(classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """Three dense blocks without bottleneck, compression and dropout (Huang et al. 2017).

    1,060,132 parameters for a hundred classes. `width` multiplies the growth rate and the first convolution's
    channels, `depth` the layers of a dense block. Huang et al. state the initialisation of He et al.; as in their code
    it is normal by fan-out and convolutions have no biases.
    """
    channels, growth, count = scaled(STEM, width), scaled(GROWTH, width), scaled(LAYERS, depth)
    layers: list[nn.Module] = [convolution(3, channels)]
    for block in range(3):
        if block:
            layers += _transition(channels)
        for _ in range(count):
            layers.append(Dense(nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), convolution(channels, growth))))
            channels += growth
    model = nn.Sequential(*layers, nn.BatchNorm2d(channels), nn.ReLU(), *head(channels, classes))
    he_normal(model, "fan_out")
    return model


def _transition(channels: int) -> list[nn.Module]:
    """Half the image with as many channels."""
    return [
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.AvgPool2d(2),
    ]
