"""Loss change allocation against integrals that are known."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.curvature import gradient_norm, layer_names, loss_change_allocation
from catfish.gradients import square_loss

from .conftest import network


def moved(model, scale):
    """The model's parameters, and the model a random step of this size further on."""
    start = [p.detach().clone() for p in model.parameters()]
    torch.manual_seed(3)
    with torch.no_grad():
        for p in model.parameters():
            p += scale * torch.randn_like(p)
    return start


def gradient(model, x, y):
    return torch.autograd.grad(square_loss(model(x), y), list(model.parameters()))


def test_of_a_quadratic_loss_it_is_the_mean_gradient_times_the_step(batch):
    """Along a segment the gradient of a quadratic is linear, so its integral is the mean of both ends."""
    x, y = batch
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 4)).double()
    first = gradient(model, x, y)
    start = moved(model, 0.5)
    last = gradient(model, x, y)
    parts = [(p - q) * (a + b) / 2 for p, q, a, b in zip(model.parameters(), start, first, last)]
    found = loss_change_allocation(model, start, x, y, loss=square_loss)
    assert list(found.layers) == ["1"] == layer_names(model)
    assert found.layers["1"] == pytest.approx(sum(part.sum().item() for part in parts), rel=1e-10)
    assert found.after - found.before == pytest.approx(found.layers["1"], rel=1e-10)
    negative = torch.cat([part.detach().flatten() for part in parts]) < 0
    assert found.helping == pytest.approx(negative.double().mean().item())


def test_the_layers_add_up_to_the_loss_change_with_an_error_of_the_fifth_order(batch):
    """Of a smooth network: half the step, a 32nd of the error."""
    errors = []
    for scale in (0.005, 0.0025):
        model = network("tied weights")
        start = moved(model, scale)
        found = loss_change_allocation(model, start, *batch)
        total = found.after - found.before
        assert set(found.layers) == {"first", "second", "outer"} and abs(total) > 1e-3
        errors.append(abs(sum(found.layers.values()) - total))
    assert errors[0] < 1e-3 * abs(total)
    assert 20 < errors[0] / errors[1] < 60


@pytest.mark.parametrize("name", ["deep", "batch norm"])
def test_kinks_of_the_network_make_it_less_exact(name, batch):
    model = network(name)
    start = moved(model, 0.2)
    found = loss_change_allocation(model, start, *batch)
    total = found.after - found.before
    assert total > 0.5 and sum(found.layers.values()) == pytest.approx(total, rel=0.1)


def test_layers_are_those_whose_parameters_moved(batch):
    model = network("deep")
    names = [name for name, _ in model.named_parameters()]
    start = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    found = loss_change_allocation(model, start, *batch)
    own = names[0].rpartition(".")[0]
    assert found.layers[own] != 0 and all(value == 0 for name, value in found.layers.items() if name != own)
    assert 0 <= found.helping <= 1


def test_a_small_step_down_the_gradient_helps_everywhere(batch):
    x, y = batch
    model = network("deep")
    model.eval()
    start = [p.detach().clone() for p in model.parameters()]
    loss = nn.functional.cross_entropy(model(x), y)
    with torch.no_grad():
        for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters()))):
            p -= 1e-6 * g
    found = loss_change_allocation(model, start, [(x[:2], y[:2]), (x[2:], y[2:])])
    expected = -1e-6 * gradient_norm(network("deep"), x, y) ** 2
    assert_close(sum(found.layers.values()), expected, rtol=1e-4, atol=0)
    assert found.helping == 1
