"""The paper's networks by name."""

from torch import nn

from catfish.models.arpit import resnet26_arpit
from catfish.models.densenet import densenet40_12
from catfish.models.mlp import mlp_tanh
from catfish.models.resnet import resnet32, resnet50, resnet56
from catfish.models.resnet18 import resnet18, resnet18_fixup, resnet18_fixup_cifar
from catfish.models.simplecnn import simplecnn
from catfish.models.vgg import vgg11
from catfish.models.wresnet import wresnet44_3, wresnet44_3_skipinit

FIXED_DEPTH = {"simplecnn": simplecnn, "vgg11": vgg11, "mlp_tanh": mlp_tanh}
BUILDERS = FIXED_DEPTH | {
    "wresnet44_3": wresnet44_3,
    "wresnet44_3_skipinit": wresnet44_3_skipinit,
    "densenet40_12": densenet40_12,
    "resnet26_arpit": resnet26_arpit,
    "resnet32": resnet32,
    "resnet50": resnet50,
    "resnet56": resnet56,
    "resnet18": resnet18,
    "resnet18_fixup": resnet18_fixup,
    "resnet18_fixup_cifar": resnet18_fixup_cifar,
}


def build(name: str, classes: int, width: float = 1.0, depth: float = 1.0) -> nn.Module:
    """A freshly initialised network for (B, 3, 32, 32) images, giving (B, classes) logits.

    `width` multiplies every hidden layer's channels, `depth` the blocks of a stage (in a DenseNet the layers of a
    dense block). resnet18_fixup is meant for 224x224 images. Initial weights come from torch's global generator.
    Raises KeyError for an unknown name, and ValueError for a depth of simplecnn, vgg11 or mlp_tanh, without stages.
    """
    if name not in FIXED_DEPTH:
        return BUILDERS[name](classes, width, depth)
    if depth != 1:
        raise ValueError(f"{name}: depth {depth} is not allowed; allowed: 1, as the network has no stages")
    return BUILDERS[name](classes, width)
