"""Every architecture, slim, learns real images: gradients reach all that matters and there is enough capacity."""

import pytest
import torch
from torch.nn import functional as F

from catfish.datasets import load_prepared
from catfish.models import BUILDERS, build

CLASSES, EXAMPLES, EPOCHS, BATCH = 3, 48, 30, 24
SLIM = {  # width, depth, Adam's learning rate
    "simplecnn": (0.25, 1, 0.005),
    "vgg11": (0.125, 1, 0.003),
    "mlp_tanh": (0.1, 1, 0.005),
    "wresnet44_3": (0.17, 2 / 7, 0.01),
    "wresnet44_3_skipinit": (0.17, 2 / 7, 0.02),
    "densenet40_12": (0.34, 0.25, 0.02),
    "resnet26_arpit": (0.5, 0.25, 0.005),
    "resnet32": (0.25, 0.2, 0.01),
    "resnet50": (0.25, 0.25, 0.01),
    "resnet56": (0.25, 1 / 3, 0.01),
    "resnet18": (0.125, 0.5, 0.01),
    "resnet18_fixup": (0.125, 1, 0.01),
    "resnet18_fixup_cifar": (0.125, 0.5, 0.01),
}


@pytest.fixture(scope="module")
def small(digits):
    """The first images of digits 0, 1, 2."""
    prepared = load_prepared(digits)
    labels = torch.from_numpy(prepared.train_labels)
    chosen = (labels < CLASSES).nonzero()[:EXAMPLES, 0]
    x = torch.from_numpy(prepared.train_images)[chosen].float()
    return (x - x.mean()) / x.std(), labels[chosen]


@pytest.mark.parametrize("name", BUILDERS)
def test_it_learns_a_few_digits(name, small):
    x, y = small
    width, depth, rate = SLIM[name]
    torch.manual_seed(0)
    model = build(name, CLASSES, width, depth)
    optimizer = torch.optim.Adam(model.parameters())
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = rate * (1 - epoch / EPOCHS)
        for batch in torch.randperm(EXAMPLES).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        accuracy = (model.eval()(x).argmax(1) == y).float().mean()
    assert accuracy > 0.95
