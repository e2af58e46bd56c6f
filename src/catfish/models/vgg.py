"""VGG-11 for 32x32 images, without dropout and without batch norm (G.2)."""

from torch import nn

from catfish.models.layers import scaled, zero_biases

CHANNELS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")


def vgg11(classes: int, width: float = 1.0) -> nn.Module:
    """Eight 3x3 convolutions, five poolings, three dense layers; 9,797,092 parameters for a hundred classes.

    The paper only says that VGG-11 was adapted. The usual adaptation is taken: the five poolings leave one 512-vector,
    so the two hidden dense layers have 512 units instead of 4096. Weights are He normal, those of the last layer
    normal with standard deviation 0.01, as in the common VGG: with Glorot's, Tr(F) starts ten times as large and the
    Fisher penalty diverges (docs/paper.md). Biases are zero.
    """
    layers: list[nn.Module] = []
    previous = 3
    for step in CHANNELS:
        if step == "pool":
            layers.insert(-1, nn.MaxPool2d(2))  # in front of the ReLU: the same bits, a quarter of its work
            continue
        layers += [nn.Conv2d(previous, scaled(step, width), 3, padding=1), nn.ReLU()]
        previous = scaled(step, width)
    hidden = scaled(512, width)
    layers += [nn.Flatten(), nn.Linear(previous, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()]
    for module in layers:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    output = nn.Linear(hidden, classes)
    nn.init.normal_(output.weight, std=0.01 * (512 / hidden) ** 0.5)  # logits as large at any width
    model = nn.Sequential(*layers, output)
    zero_biases(model)
    return model
