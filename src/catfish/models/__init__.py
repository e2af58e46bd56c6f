"""The paper's networks by name."""

from torch import nn

from catfish.models.simplecnn import simplecnn
from catfish.models.vgg import vgg11

BUILDERS = {"simplecnn": simplecnn, "vgg11": vgg11}


def build(name: str, classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """A freshly initialised network for (B, 3, 32, 32) images, giving (B, classes) logits.

    `width` multiplies every hidden layer's channels. Initial weights come from torch's global generator.
    """
    return BUILDERS[name](classes, width)  # replaced with the families
