"""Forward passes written out from the papers' definitions, with the networks' own layers, against the networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from catfish.models import build
from catfish.models.layers import ScalarBias, ScalarMultiplier


class Layers:
    """A network's layers of every kind, each used once, in the network's order."""

    def __init__(self, model):
        kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, ScalarMultiplier, ScalarBias)
        self.left = {kind: [module for module in model.modules() if type(module) is kind] for kind in kinds}

    def conv(self, x):
        return self.left[nn.Conv2d].pop(0)(x)

    def halved(self, x):
        """A 1x1 convolution with a stride of two."""
        layer = self.left[nn.Conv2d].pop(0)
        assert layer.kernel_size == (1, 1) and layer.stride == (1, 1)
        return F.conv2d(x, layer.weight, layer.bias, 2)

    def norm(self, x):
        return self.left[nn.BatchNorm2d].pop(0)(x)

    def linear(self, x):
        return self.left[nn.Linear].pop(0)(x)

    def times(self, x):
        return self.left[ScalarMultiplier].pop(0).weight * x

    def bias(self):
        return self.left[ScalarBias].pop(0).bias


def wresnet44_3(net, x):
    x = net.conv(x)
    for stage in range(3):
        x = net.norm(x).relu()
        h = net.norm(net.conv(x)).relu()
        x = net.conv(h) + (net.halved(x) if stage else net.conv(x))
        h = net.conv(net.norm(x).relu())
        x = x + net.conv(net.norm(h).relu())
    return net.linear(net.norm(x).relu().mean((2, 3)))


def wresnet44_3_skipinit(net, x):
    x = net.conv(x)
    for stage in range(3):
        x = x.relu()
        h = net.conv(net.conv(x).relu())
        x = net.times(h) + (net.halved(x) if stage else net.conv(x))
        h = net.conv(net.conv(x.relu()).relu())
        x = x + net.times(h)
    return net.linear(x.relu().mean((2, 3)))


def densenet40_12(net, x):
    x = net.conv(x)
    for block in range(3):
        if block:
            x = F.avg_pool2d(net.conv(net.norm(x).relu()), 2)
        for _ in range(2):
            x = torch.cat([x, net.conv(net.norm(x).relu())], 1)
    return net.linear(net.norm(x).relu().mean((2, 3)))


def resnet56(net, x):
    x = net.norm(net.conv(x)).relu()
    for stage in range(3):
        for number in range(2):
            h = net.norm(net.conv(x)).relu()
            h = net.norm(net.conv(h))
            if stage and not number:
                x = x[:, :, ::2, ::2]
                x = torch.cat([x, torch.zeros_like(x)], 1)
            x = (x + h).relu()
    return net.linear(x.mean((2, 3)))


def resnet26_arpit(net, x):
    x = net.conv(x)
    for stage in range(3):
        for number in range(2):
            h = net.conv(net.conv(x).relu())
            x = h + (net.halved(x) if stage and not number else x)
    return net.linear(x.mean((2, 3)))


def resnet18(net, x):
    x = net.norm(net.conv(x)).relu()
    for stage in range(4):
        for number in range(2):
            h = net.norm(net.conv(x)).relu()
            h = net.norm(net.conv(h))
            x = (h + (net.norm(net.halved(x)) if stage and not number else x)).relu()
    return net.linear(x.mean((2, 3)))


def resnet18_fixup_cifar(net, x):
    return _fixup(net, (net.conv(x) + net.bias()).relu())


def resnet18_fixup(net, x):
    return _fixup(net, F.max_pool2d((net.conv(x) + net.bias()).relu(), 3, 2, 1))


def _fixup(net, x):
    for stage in range(4):
        for number in range(2):
            a, b, c, d = (net.bias() for _ in range(4))
            h = net.times(net.conv((net.conv(x + a) + b).relu() + c)) + d
            x = (h + (net.halved(x + a) if stage and not number else x)).relu()
    return net.linear(x.mean((2, 3)) + net.bias())


def simplecnn(net, x):
    for _ in range(2):
        x = F.max_pool2d(net.conv(net.conv(x).relu()).relu(), 2)
    return net.linear(net.linear(x.flatten(1)).relu())


def vgg11(net, x):
    for convolutions in (1, 1, 2, 2, 2):
        for _ in range(convolutions):
            x = net.conv(x).relu()
        x = F.max_pool2d(x, 2)
    return net.linear(net.linear(net.linear(x.flatten(1)).relu()).relu())


DEFINITIONS = {  # what makes two blocks a stage
    wresnet44_3: 2 / 7,
    wresnet44_3_skipinit: 2 / 7,
    densenet40_12: 2 / 12,
    resnet56: 2 / 9,
    resnet26_arpit: 2 / 4,
    resnet18: 1.0,
    resnet18_fixup: 1.0,
    resnet18_fixup_cifar: 1.0,
}


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.__name__)
def test_the_network_is_what_the_paper_defines(definition):
    torch.manual_seed(0)
    model = build(definition.__name__, 5, 0.125, DEFINITIONS[definition]).double()
    x = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        for p in model.parameters():  # away from zeros and ones
            p += 0.1 * torch.randn_like(p)
        model(x)
        model.eval()
        layers = Layers(model)
        expected = definition(layers, x)
        assert not any(layers.left.values())
        assert expected.std() > 1e-3
        assert_close(model(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("definition", [simplecnn, vgg11], ids=["simplecnn", "vgg11"])
def test_a_pooling_in_front_of_its_relu_changes_no_bit(definition, autocast):
    torch.manual_seed(0)
    model = build(definition.__name__, 5, 0.125).to(memory_format=torch.channels_last)
    x, y = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last), torch.arange(8) % 5
    found = []
    for forward in (model, lambda images: definition(Layers(model), images)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = forward(x)
        loss = F.cross_entropy(logits.float(), y)
        gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        penalty = sum(gradient.square().sum() for gradient in gradients)
        found.append([loss, *gradients, *torch.autograd.grad(penalty, list(model.parameters()))])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found))
