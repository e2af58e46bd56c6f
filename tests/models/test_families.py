"""Shapes and sizes, against numbers derived by hand."""

import pytest
import torch
from torch import nn

from catfish.models import BUILDERS, build
from catfish.models.layers import scaled


def convolution(inputs, outputs):
    return 3 * 3 * inputs * outputs + outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


def simplecnn_layers(classes, a=32, b=64, hidden=128):
    """Parameters of each layer; two poolings and two unpadded convolutions leave 32 -> 30 -> 15 -> 13 -> 6 pixels."""
    return [convolution(3, a), convolution(a, a), convolution(a, b), convolution(b, b),
            dense(b * 6 * 6, hidden), dense(hidden, classes)]  # fmt: skip


def vgg11_layers(classes, channels=(64, 128, 256, 256, 512, 512, 512, 512), hidden=512):
    """Parameters of each layer; five poolings leave one pixel."""
    ends = zip((3, *channels[:-1]), channels)
    return [*(convolution(i, o) for i, o in ends), dense(channels[-1], hidden), dense(hidden, hidden),
            dense(hidden, classes)]  # fmt: skip


def counted(model):
    """Parameters of each layer, as the network has them."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return [sum(p.numel() for p in layer.parameters()) for layer in layers]


@pytest.mark.parametrize(
    "name, classes, total", [("simplecnn", 10, 361_898), ("vgg11", 100, 9_797_092), ("vgg11", 10, 9_750_922)]
)
def test_parameter_counts(name, classes, total):
    model = build(name, classes)
    assert sum(p.numel() for p in model.parameters()) == total
    expected = {"simplecnn": simplecnn_layers, "vgg11": vgg11_layers}[name](classes)
    assert counted(model) == expected and sum(expected) == total


@pytest.mark.parametrize("width, channels", [(0.25, (8, 16, 32)), (0.1, (3, 6, 13)), (2.0, (64, 128, 256))])
def test_width_scales_every_hidden_layer_of_simplecnn(width, channels):
    assert counted(build("simplecnn", 10, width)) == simplecnn_layers(10, *channels)


def test_width_scales_every_hidden_layer_of_vgg11():
    channels = (8, 16, 32, 32, 64, 64, 64, 64)
    assert counted(build("vgg11", 100, 0.125)) == vgg11_layers(100, channels, 64)


@pytest.mark.parametrize("channels, width, result", [(32, 1.0, 32), (32, 0.1, 3), (64, 0.001, 1), (3, 0.5, 2)])
def test_scaled(channels, width, result):
    assert scaled(channels, width) == result


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("classes, width", [(10, 0.1), (100, 0.25), (2, 0.001)])
def test_images_give_one_logit_a_class(name, classes, width):
    logits = build(name, classes, width)(torch.rand(3, 3, 32, 32))
    assert logits.shape == (3, classes) and logits.isfinite().all()


@pytest.mark.parametrize("name", BUILDERS)
def test_examples_do_not_depend_on_one_another_nor_on_the_mode(name):
    torch.manual_seed(0)
    model, x = build(name, 10, 0.25).double(), torch.randn(4, 3, 32, 32, dtype=torch.float64)
    together, alone = model.train()(x), torch.cat([model.eval()(image[None]) for image in x])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", BUILDERS)
def test_no_dropout_no_batch_norm_and_everything_trained(name):
    model = build(name, 10, 0.1)
    assert list(model.buffers()) == [] and all(p.requires_grad for p in model.parameters())
    kinds = {type(module) for module in model.modules()}
    assert kinds == {nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear}


def test_an_unknown_name():
    with pytest.raises(KeyError, match="resnet"):
        build("resnet", 10)
