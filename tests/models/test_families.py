"""Shapes and sizes, against numbers derived by hand; those of residual networks are in test_parameters.py."""

from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish import config
from catfish.config import Setting
from catfish.models import BUILDERS, FIXED_DEPTH, build
from catfish.models.layers import GlobalAverage, scaled

NORMALISED = {"wresnet44_3", "densenet40_12", "resnet32", "resnet50", "resnet56", "resnet18"}


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


def mlp_layers(classes, hidden=200):
    """Cohen et al. 2021: two hidden layers of 200."""
    return [dense(3 * 32 * 32, hidden), dense(hidden, hidden), dense(hidden, classes)]


def counted(model):
    """Parameters of each layer, as the network has them."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return [sum(p.numel() for p in layer.parameters()) for layer in layers]


@pytest.mark.parametrize(
    "name, classes, total",
    [("simplecnn", 10, 361_898), ("vgg11", 100, 9_797_092), ("vgg11", 10, 9_750_922), ("mlp_tanh", 10, 656_810)],
)
def test_parameter_counts(name, classes, total):
    model = build(name, classes)
    assert sum(p.numel() for p in model.parameters()) == total
    expected = {"simplecnn": simplecnn_layers, "vgg11": vgg11_layers, "mlp_tanh": mlp_layers}[name](classes)
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
    logits = tiny(name, classes, width)(torch.rand(3, 3, 32, 32))
    assert logits.shape == (3, classes) and logits.isfinite().all()


def tiny(name, classes=10, width=0.1):
    """A network of the fewest blocks."""
    return build(name, classes, width, 1.0 if name in FIXED_DEPTH else 0.01)


def moved(name):
    """A network in float64 away from its initialisation, whose batch norm has seen data: nothing is zero or one."""
    torch.manual_seed(0)
    model = tiny(name, width=0.25).double()
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
        model(torch.randn(16, 3, 32, 32, dtype=torch.float64))
    return model


@pytest.mark.parametrize("name", BUILDERS)
def test_examples_do_not_depend_on_one_another_in_evaluation_mode(name):
    model, x = moved(name).eval(), torch.randn(4, 3, 32, 32, dtype=torch.float64)
    assert_close(model(x), torch.cat([model(image[None]) for image in x]), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", sorted(BUILDERS.keys() - NORMALISED))
def test_without_batch_norm_the_mode_does_not_matter(name):
    model, x = moved(name), torch.randn(4, 3, 32, 32, dtype=torch.float64)
    assert torch.equal(model.train()(x), model.eval()(x))


@pytest.mark.parametrize("name", BUILDERS)
def test_batch_norm_where_the_paper_has_it_no_dropout_and_everything_trained(name):
    model = tiny(name)
    kinds = {type(module) for module in model.modules()}
    assert (nn.BatchNorm2d in kinds) == (name in NORMALISED) == (list(model.buffers()) != [])
    assert nn.Dropout not in kinds and all(p.requires_grad for p in model.parameters())
    assert all(not module.inplace for module in model.modules() if isinstance(module, nn.ReLU))


@pytest.mark.parametrize("name", ["simplecnn", "vgg11"])
def test_the_layers_of_the_plain_networks(name):
    kinds = {type(module) for module in build(name, 10, 0.1).modules()}
    assert kinds == {nn.Sequential, nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten, nn.Linear}


@pytest.mark.parametrize(
    "name, size, left",
    [
        *((name, 32, 8) for name in ("wresnet44_3", "wresnet44_3_skipinit", "densenet40_12", "resnet26_arpit")),
        *((name, 32, 8) for name in ("resnet32", "resnet50", "resnet56")),
        *((name, 32, 4) for name in ("resnet18", "resnet18_fixup_cifar")),
        *(("resnet18_fixup", size, left) for size, left in ((224, 7), (64, 2), (32, 1))),
    ],
)
def test_pixels_left_for_global_average_pooling(name, size, left):
    model, found = tiny(name, width=0.05), []
    pooling = next(module for module in model.modules() if isinstance(module, GlobalAverage))
    pooling.register_forward_hook(lambda module, inputs, output: found.extend([inputs[0].shape, output.shape]))
    assert model(torch.rand(2, 3, size, size)).shape == (2, 10)
    channels = model[-1].in_features
    assert found == [(2, channels, left, left), (2, channels)]


def test_an_unknown_name():
    with pytest.raises(KeyError, match="resnet"):
        build("resnet", 10)


@pytest.mark.parametrize("name", FIXED_DEPTH)
def test_a_network_without_stages_takes_no_depth(name):
    with pytest.raises(ValueError, match=rf"{name}: depth 0\.5 is not allowed; allowed: 1"):
        build(name, 10, depth=0.5)


def test_params_yaml_may_name_every_network():
    assert get_args(get_type_hints(Setting)["model"]) == tuple(BUILDERS)
    assert tuple(FIXED_DEPTH) == config.FIXED_DEPTH
