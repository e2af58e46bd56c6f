import math

import pytest
import torch
from torch import nn

from catfish.models import BUILDERS, FIXED_DEPTH, build


def layers(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def fans(layer):
    """Inputs and outputs that one weight's neighbours connect."""
    outputs, inputs, *window = layer.weight.shape
    return inputs * math.prod(window), outputs * math.prod(window)


@pytest.mark.parametrize("name", sorted(BUILDERS.keys() - {"mlp_tanh"}))
def test_biases_are_zero(name):
    torch.manual_seed(0)
    model = slim(name)
    biases = [layer.bias for layer in layers(model) if layer.bias is not None]
    assert biases and all((bias == 0).all() for bias in biases)
    if "fixup" not in name:
        assert all((layer.weight != 0).any() for layer in layers(model))


def slim(name):
    return build(name, 10, 0.25, 1.0 if name in FIXED_DEPTH else 0.3)


@pytest.mark.parametrize("name", BUILDERS)
def test_the_seed_alone_decides_the_weights(name):
    drawn = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        drawn.append(torch.cat([p.detach().flatten() for p in slim(name).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", ["wresnet44_3", "densenet40_12", "resnet32", "resnet18"])
def test_networks_with_batch_norm_are_he_normal_by_fan_out(name):
    torch.manual_seed(0)
    model = slim(name)
    *hidden, output = layers(model)
    for layer in hidden:
        variance, n = 2 / fans(layer)[1], layer.weight.numel()
        assert abs(layer.weight.square().mean() / variance - 1) < 5 * math.sqrt(2 / n)
    bound = 1 / math.sqrt(output.in_features)
    assert 0.9 * bound < output.weight.abs().max() <= bound
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() and (norm.bias == 0).all() for norm in norms)


def test_simplecnn_is_glorot_uniform():
    torch.manual_seed(0)
    for layer in layers(build("simplecnn", 10)):
        bound = math.sqrt(6 / sum(fans(layer)))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.98 * bound
        # The variance of a uniform draw, within five standard errors of its estimate.
        n = layer.weight.numel()
        assert abs(layer.weight.square().mean() / (bound**2 / 3) - 1) < 5 * math.sqrt(0.8 / n)


def test_vgg11_is_he_normal_with_a_small_output():
    torch.manual_seed(0)
    *hidden, output = layers(build("vgg11", 100, 0.5))
    for layer in hidden:
        variance, n = 2 / fans(layer)[0], layer.weight.numel()
        assert abs(layer.weight.var() / variance - 1) < 5 * math.sqrt(2 / n)
        assert layer.weight.abs().max() > 2.5 * math.sqrt(variance)  # not cut off, as a uniform draw is at 1.7
    n = output.weight.numel()
    assert abs(output.weight.var() / (0.01**2 * 2) - 1) < 5 * math.sqrt(2 / n)  # at half the width


def scales(model):
    """Root mean square of every layer's output on standardised noise, relative to the first layer's."""
    found = []
    hooks = [
        layer.register_forward_hook(lambda m, a, out: found.append(out.square().mean())) for layer in layers(model)
    ]
    with torch.no_grad():
        model(torch.randn(16, 3, 32, 32))
    for hook in hooks:
        hook.remove()
    return (torch.stack(found) / found[0]).sqrt()


@pytest.mark.parametrize("width", [0.125, 0.5])
def test_activations_of_vgg11_neither_vanish_nor_explode(width):
    torch.manual_seed(0)
    ours = torch.stack([scales(build("vgg11", 100, width))[:-1] for _ in range(3)]).log().mean(0).exp()
    assert ours.min() > 0.5 and ours.max() < 4, ours

    vanishing = build("vgg11", 100, width)  # torch's own scheme, for comparison, is what the bounds exclude
    for layer in layers(vanishing):
        layer.reset_parameters()
        nn.init.zeros_(layer.bias)
    assert scales(vanishing)[:-1].min() < 0.1
