"""What the schemes without normalisation promise at initialisation: the signal keeps its size, however many blocks."""

import math

import pytest
import torch
from torch import nn

from catfish.models import build
from catfish.models.layers import Residual, ScalarMultiplier

SCHEMES = {  # width, depth: many blocks (21, 24, 36), so that what doubles with every block shows
    "wresnet44_3_skipinit": (0.17, 1.0),
    "resnet18_fixup_cifar": (0.125, 3.0),
    "resnet26_arpit": (0.5, 3.0),
}


def network(name):
    torch.manual_seed(0)
    return build(name, 10, *SCHEMES[name])


def recorded(model, kind):
    """Pairs (input, output) of every module of a kind in one pass over noise, gradients of a random sum kept."""
    found = []

    def keep(module, inputs, output):
        output.retain_grad()
        found.append((inputs[0], output))

    hooks = [module.register_forward_hook(keep) for module in model.modules() if isinstance(module, kind)]
    torch.manual_seed(1)
    features = model[:-1](torch.randn(8, 3, 32, 32))  # Fixup's last layer is zero and lets no gradient through
    (features * torch.randn_like(features)).sum().backward()
    for hook in hooks:
        hook.remove()
    return found


def spread(model):
    """Largest over smallest size of the stream behind the blocks, and of the gradient there."""
    outputs = [output for _, output in recorded(model, Residual)]
    sizes = torch.stack([output.detach().square().sum(1).mean() for output in outputs])  # norm over channels
    gradients = torch.stack([output.grad.square().sum() for output in outputs])
    return sizes.max() / sizes.min(), gradients.max() / gradients.min()


def without_scheme(model):
    """He's weights in every convolution, branches at full size."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, ScalarMultiplier):
            nn.init.ones_(module.weight)
    return model


@pytest.mark.parametrize("name", SCHEMES)
def test_the_stream_and_its_gradient_keep_their_size(name):
    activations, gradients = spread(network(name))
    assert activations < 30 and gradients < 30  # Arpit et al. allow a factor e a stage, 20 in all
    assert min(spread(without_scheme(network(name)))) > 1000


@pytest.mark.parametrize("name", ["wresnet44_3_skipinit", "resnet18_fixup_cifar"])
def test_blocks_begin_as_their_shortcuts(name):
    model = network(name)
    residuals = [module for module in model.modules() if isinstance(module, Residual)]
    for residual, (x, output) in zip(residuals, recorded(model, Residual), strict=True):
        assert torch.equal(output, residual.shortcut(x))
    changed = [residual for residual in residuals if not isinstance(residual.shortcut, nn.Identity)]
    assert len(changed) == 3


def test_skipinit_starts_every_branch_at_zero_by_its_scalar_alone():
    model = network("wresnet44_3_skipinit")
    scalars = [module.weight for module in model.modules() if isinstance(module, ScalarMultiplier)]
    assert len(scalars) == 21 and all(scalar == 0 for scalar in scalars)
    model(torch.randn(4, 3, 32, 32)).square().sum().backward()
    assert all(scalar.grad != 0 for scalar in scalars)  # so training can move it away from zero
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    for weight in weights:
        assert deviation(weight, 2 / weight[0].numel()) < 5


def test_fixup_starts_at_zero_logits_with_scaled_branches():
    model = network("resnet18_fixup_cifar")
    assert (model(torch.randn(4, 3, 32, 32)) == 0).all()
    assert 0.9 < model[0].weight.abs().max() * 27**0.5 <= 1
    branches = [module.branch for module in model.modules() if isinstance(module, Residual)]
    assert len(branches) == 24
    for branch in branches:
        first, last = (layer for layer in branch if isinstance(layer, nn.Conv2d))
        assert deviation(first.weight, 2 / (9 * first.out_channels) / 24) < 5
        assert (last.weight == 0).all()


def test_fixup_s_scalars_change_nothing_at_first():
    named = dict(network("resnet18_fixup_cifar").named_parameters())
    scalars = {name: p for name, p in named.items() if p.dim() == 0}
    assert len(scalars) == 24 * 5 + 2  # four biases and a multiplier a branch; the first ReLU's and the classifier's
    assert all(p == (1 if name.endswith("weight") else 0) for name, p in scalars.items())


def test_arpit_s_variances():
    model, blocks = network("resnet26_arpit"), 12
    residuals = [module for module in model.modules() if isinstance(module, Residual)]
    assert len(residuals) == 3 * blocks
    gains = [(model[0], 1.0)]
    for residual in residuals:
        gains += [(residual.branch[0], 2.0), (residual.branch[2], 1 / blocks)]
        gains += [(layer, 1.0) for layer in residual.shortcut.modules() if isinstance(layer, nn.Conv2d)]
    assert len(gains) == 1 + 2 * 3 * blocks + 2
    for layer, gain in gains:
        assert deviation(layer.weight, gain / (layer.out_channels * math.prod(layer.kernel_size))) < 5


def test_arpit_s_stream_grows_by_at_most_e_in_a_stage():
    sizes = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = build("resnet26_arpit", 10, 1.0, 2.0)
        sizes.append(torch.stack([y.detach().square().sum(1).mean() for _, y in recorded(model, Residual)]))
    growth = torch.stack(sizes).mean(0).view(3, 8)  # stage, block
    expected = (1 + 1 / 8) ** 7
    ratios = growth[:, -1] / growth[:, 0]
    assert ((ratios / expected - 1).abs() < 0.25).all(), ratios


def deviation(weight, variance):
    """Of a normal draw's mean square from its variance, in standard errors."""
    return abs(weight.detach().square().mean() / variance - 1) / math.sqrt(2 / weight.numel())
