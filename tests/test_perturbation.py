import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish.perturbation import perturbed

RADIUS = 0.3


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()


@pytest.fixture
def batch():
    source = torch.Generator().manual_seed(1)
    return torch.randn(6, 3, generator=source, dtype=torch.float64), torch.tensor([0, 1, 1, 0, 1, 0])


def gradient(model, x, y):
    return torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))


def test_the_gradient_is_that_at_the_worst_weights_nearby(model, batch):
    """By hand: theta + rho g / ||g||, and the gradient there."""
    other = copy.deepcopy(model)
    first = gradient(other, *batch)
    length = sum(part.square().sum() for part in first).sqrt()
    with torch.no_grad():
        for parameter, part in zip(other.parameters(), first):
            parameter += RADIUS * part / length
    expected = gradient(other, *batch)

    F.cross_entropy(model(batch[0]), batch[1]).backward()
    with perturbed(model, RADIUS):
        assert all(parameter.grad is None for parameter in model.parameters())
        F.cross_entropy(model(batch[0]), batch[1]).backward()
    for parameter, part in zip(model.parameters(), expected):
        torch.testing.assert_close(parameter.grad, part, rtol=1e-12, atol=1e-14)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(expected, first))


def test_weights_and_statistics_come_back_to_the_bit(model, batch):
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError, match="on the way"), perturbed(model, RADIUS):
        model(batch[0])
        assert not torch.equal(model[0].weight, before["0.weight"])
        assert not torch.equal(model[1].running_mean, before["1.running_mean"])
        raise RuntimeError("on the way")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_parameter_that_is_not_used_stays_without_gradient(model, batch):
    model[3].bias.requires_grad_(False)
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    bias = model[3].bias.clone()
    with perturbed(model, RADIUS):
        assert torch.equal(model[3].bias, bias)
        F.cross_entropy(model(batch[0]), batch[1]).backward()
    assert model[3].bias.grad is None and model[3].weight.grad is not None


def test_a_vanishing_gradient_moves_nothing(model, batch):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = copy.deepcopy(model.state_dict())
    with perturbed(model, RADIUS):
        assert torch.equal(model[0].weight, before["0.weight"])


def test_a_negative_radius_is_refused(model):
    with pytest.raises(ValueError, match=r"radius: -0\.1 is negative"), perturbed(model, -0.1):
        pass


def test_under_autocast_the_gradient_is_that_of_the_moved_weights(batch):
    """Autocast keeps the weights' casts for as long as it lasts, and does not see that the weights have moved."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2))
    x, y = batch[0].float(), batch[1]

    def both() -> list[torch.Tensor]:
        """The gradient at the weights, and SAM's."""
        found = []
        F.cross_entropy(model(x).float(), y).backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
        with perturbed(model, 1.0):
            F.cross_entropy(model(x).float(), y).backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in model.parameters()]))
        after = F.cross_entropy(model(x).float(), y)
        model.zero_grad()
        return [*found, after.detach()]

    plain, moved, _ = both()
    before = F.cross_entropy(model(x), y)
    with torch.autocast("cpu", torch.bfloat16):
        in_autocast, moved_in_autocast, after = both()
    assert (moved - plain).norm() > 0.2 * plain.norm()
    torch.testing.assert_close(in_autocast, plain, rtol=0, atol=0.05 * plain.norm().item())
    torch.testing.assert_close(moved_in_autocast, moved, rtol=0, atol=0.05 * plain.norm().item())
    torch.testing.assert_close(after, before, rtol=0.01, atol=0)
