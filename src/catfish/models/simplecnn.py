"""SimpleCNN: the Keras example network for CIFAR-10, without dropout and with a last hidden layer of 128 (G.2)."""

from torch import nn

from catfish.models.layers import scaled, zero_biases


def simplecnn(classes: int, width: float = 1.0) -> nn.Module:
    """Two blocks of two 3x3 convolutions and a pooling, then two dense layers; 361,898 parameters for ten classes.

    As in Keras, the first convolution of a block keeps the image's size and the second does not pad; weights are
    Glorot uniform, biases zero. A ReLU stands behind its pooling and not in front of it: outputs and derivatives are
    the same to the last bit, and it has a quarter of the work.
    """
    a, b, hidden = scaled(32, width), scaled(64, width), scaled(128, width)
    model = nn.Sequential(
        nn.Conv2d(3, a, 3, padding=1),  # (B, a, 32, 32)
        nn.ReLU(),
        nn.Conv2d(a, a, 3),  # (B, a, 30, 30)
        nn.MaxPool2d(2),  # (B, a, 15, 15)
        nn.ReLU(),
        nn.Conv2d(a, b, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(b, b, 3),  # (B, b, 13, 13)
        nn.MaxPool2d(2),  # (B, b, 6, 6)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(b * 36, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    zero_biases(model)
    return model
