"""Hutchinson's estimator against the explicit Hessian."""

import pytest
import torch
from torch.func import functional_call, hessian
from torch.nn import functional as F

from catfish.curvature import hessian_trace

from .conftest import network


def dense_hessian(model, x, y):
    """(P, P) in evaluation mode."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in parameters.values()]

    def loss(vector):
        pieces = [part.view_as(p) for part, p in zip(vector.split(sizes), parameters.values())]
        return F.cross_entropy(functional_call(model, dict(zip(parameters, pieces)), (x,)), y)

    model.eval()
    matrix = hessian(loss)(torch.cat([p.flatten() for p in parameters.values()]))
    model.train()
    return matrix


@pytest.fixture(params=["deep", "batch norm"])
def case(request, batch):
    model = network(request.param)
    return model, *batch, dense_hessian(model, *batch)


def test_each_probe_is_a_quadratic_form(case):
    model, x, y, exact = case
    source = torch.Generator().manual_seed(5)
    z = torch.stack([torch.empty(len(exact), dtype=torch.float64) for _ in range(3)])
    for row in z:
        for part, p in zip(row.split([p.numel() for p in model.parameters()]), model.parameters()):
            part.copy_(torch.empty_like(p).normal_(generator=source).flatten())
    forms = torch.einsum("mi,ij,mj->m", z, exact, z)
    trace, error = hessian_trace(model, x, y, probes=3, generator=torch.Generator().manual_seed(5))
    assert trace == pytest.approx(forms.mean().item(), rel=1e-9)
    assert error == pytest.approx((forms.std() / 3**0.5).item(), rel=1e-9)


def test_many_probes_converge_to_the_trace(case):
    """Variance 2 ||H||_F^2 / M for Gaussian probes."""
    model, x, y, exact = case
    probes = 3000
    trace, error = hessian_trace(model, x, y, probes, torch.Generator().manual_seed(0))
    assert error == pytest.approx(2**0.5 * exact.norm().item() / probes**0.5, rel=0.15)
    assert abs(trace - exact.trace().item()) < 3.5 * error
    assert error < 0.15 * exact.trace().item()


def test_frozen_parameters_are_no_part_of_the_trace(batch):
    """Only the block of the Hessian that belongs to trained parameters counts."""
    model = network("one layer frozen")
    frozen = sum(p.numel() for p in model[0].parameters())
    exact = dense_hessian(model, *batch)[frozen:, frozen:].trace().item()
    trace, error = hessian_trace(model, *batch, 2000, torch.Generator().manual_seed(0))
    assert abs(trace - exact) < 3.5 * error
    assert error < 0.1 * exact


@pytest.mark.parametrize("probes", [1, 0, -3])
def test_too_few_probes(probes, batch):
    with pytest.raises(ValueError, match=f"probes: {probes} is not allowed; allowed: 2 or more"):
        hessian_trace(network("plain"), *batch, probes=probes)
