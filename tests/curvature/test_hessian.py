"""Hutchinson's estimator against the explicit Hessian."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.curvature import hessian_trace
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.hessian import AT_ONCE
from catfish.curvature.products import HessianProduct

from .conftest import dense_hessian, network


@pytest.fixture(params=["strides and dilation", "batch norm"])
def case(request, batch):
    model = network(request.param)
    return model, *batch, dense_hessian(model, *batch)


def test_each_probe_is_a_quadratic_form(case):
    model, x, y, exact = case
    source = torch.Generator().manual_seed(5)
    z = torch.stack([torch.empty(len(exact), dtype=torch.float64).normal_(generator=source) for _ in range(3)])
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


def test_rademacher_probes_lack_the_diagonals_part_of_the_variance(case):
    model, x, y, exact = case
    probes = 2000
    trace, error = hessian_trace(model, x, y, probes, torch.Generator().manual_seed(0), "rademacher")
    off_diagonal = exact - exact.diagonal().diag()
    assert error == pytest.approx(2**0.5 * off_diagonal.norm().item() / probes**0.5, rel=0.15)
    assert abs(trace - exact.trace().item()) < 3.5 * error


def test_deflation_takes_the_dominant_part_exactly(batch):
    """A softmax regression on 7 examples of 4 classes: the Hessian's rank is 21 at most."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 4)).double()
    exact = dense_hessian(model, *batch).trace().item()
    trace, error = hessian_trace(model, *batch, 5, torch.Generator().manual_seed(0), deflated=21)
    assert trace == pytest.approx(exact, rel=1e-9)
    assert error < 1e-9 * exact
    part, error = hessian_trace(model, *batch, 500, torch.Generator().manual_seed(0), deflated=8)
    assert abs(part - exact) < 3.5 * error
    assert error < 0.7 * hessian_trace(model, *batch, 500, torch.Generator().manual_seed(0))[1]


def test_as_many_probes_as_the_target_needs(case, monkeypatch):
    model, x, y, exact = case
    drawn = []
    original = HessianProduct.random
    monkeypatch.setattr(HessianProduct, "random", lambda *arguments: drawn.append(1) or original(*arguments))
    target = 0.3 * exact.norm().item()  # some 20 probes: the error is sqrt(2 / M) times the norm
    _, error = hessian_trace(model, x, y, 500, torch.Generator().manual_seed(0), target_error=target)
    assert error <= target
    assert 10 <= len(drawn) < 60


def test_batches_count_by_their_examples(case):
    model, x, y, _ = case
    probes = AT_ONCE + 3
    whole = hessian_trace(model, x, y, probes, torch.Generator().manual_seed(0))
    parts = hessian_trace(model, [(x[:5], y[:5]), (x[5:], y[5:])], None, probes, torch.Generator().manual_seed(0))
    assert parts == pytest.approx(whole, rel=1e-9)


def test_products_are_those_of_the_explicit_matrix(case):
    model, x, y, exact = case
    vector = torch.randn(len(exact), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with evaluation_mode(model):
        product = HessianProduct(model, x, y, "test")
        assert_close(product(vector), exact @ vector, rtol=1e-9, atol=1e-11)
        assert_close(product(vector), exact @ vector, rtol=1e-9, atol=1e-11)  # the graph is kept


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"distribution": "uniform"}, "distribution: 'uniform' is not allowed; allowed: gaussian, rademacher"),
        ({"deflated": -1}, "deflated: -1 is not allowed"),
        ({"deflated": 10**6}, "deflated: 1000000 is not allowed"),
    ],
)
def test_wrong_arguments(arguments, message, batch):
    with pytest.raises(ValueError, match=message):
        hessian_trace(network("plain"), *batch, **arguments)


def test_data_that_can_be_read_once_is_refused(batch):
    x, y = batch
    with pytest.raises(ValueError, match="hessian_trace: an iterator can be read once"):
        hessian_trace(network("plain"), zip([x], [y]))


@pytest.mark.parametrize("probes", [1, 0, -3])
def test_too_few_probes(probes, batch):
    with pytest.raises(ValueError, match=f"probes: {probes} is not allowed; allowed: 2 or more"):
        hessian_trace(network("plain"), *batch, probes=probes)
