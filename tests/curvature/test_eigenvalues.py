"""Eigenvalues of the Hessian and of the Fisher matrix against the explicit matrices."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.curvature import fisher_eigenvalues, fisher_trace, hessian_eigenvalues
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.products import FisherProduct
from catfish.gradients import square_loss

from .conftest import CLASSES, dense_hessian, network, single_gradients

NETWORKS = ["strides and dilation", "batch norm", "tied weights"]


def generator():
    return torch.Generator().manual_seed(0)


def dense_fisher(model, x):
    """(P, P): the sum over classes of p(k | x) g(x, k) g(x, k)^T, averaged over the examples."""
    model.eval()
    probabilities = model(x).softmax(1).detach()
    matrix = 0
    for label in range(CLASSES):
        g = single_gradients(model, x, torch.full((len(x),), label))
        matrix = matrix + (g.mT * probabilities[:, label]) @ g / len(x)
    return matrix


@pytest.mark.parametrize("name", NETWORKS[:2])
@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
def test_the_hessians_outermost_eigenvalues_with_their_signs(name, which, batch):
    model = network(name)
    exact = torch.linalg.eigvalsh(dense_hessian(model, *batch)).flip(0)
    assert exact[0] > 0 > exact[-1]
    wanted = {"largest": exact[:3], "smallest": exact[-3:], "both": torch.cat([exact[:3], exact[-3:]])}[which]
    found = hessian_eigenvalues(model, *batch, count=3, which=which, tolerance=1e-8, generator=generator())
    assert found.converged
    assert_close(found.values, wanted, rtol=1e-7, atol=0)


@pytest.mark.parametrize("name", NETWORKS[:2])
def test_vectors_belong_to_their_values(name, batch):
    model = network(name)
    exact = dense_hessian(model, *batch)
    found = hessian_eigenvalues(model, *batch, count=2, tolerance=1e-6, generator=generator(), vectors=True)
    assert_close(
        found.vectors @ exact, found.values[:, None] * found.vectors, rtol=0, atol=1e-5 * found.values[0].item()
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_products_with_the_fisher_matrix(name, batch):
    model, x = network(name), batch[0]
    exact = dense_fisher(model, x)
    vector = torch.randn(len(exact), dtype=torch.float64, generator=generator())
    for data in (x, [x[:3], x[3:]]):
        with evaluation_mode(model):
            product = FisherProduct(model, data, None, "test")
            for _ in range(2):
                assert_close(product(vector), exact @ vector, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_fisher_matrixs_largest_eigenvalues(name, batch):
    model, x = network(name), batch[0]
    exact = torch.linalg.eigvalsh(dense_fisher(model, x)).flip(0)
    found = fisher_eigenvalues(model, x, count=4, tolerance=1e-8, generator=generator())
    assert_close(found.values, exact[:4], rtol=1e-7, atol=0)


def test_all_of_the_fisher_matrixs_eigenvalues_add_up_to_its_trace(batch):
    """Its rank is 7 (4 - 1)."""
    model, x = network("batch norm"), batch[0]
    found = fisher_eigenvalues(model, x, count=22, tolerance=1e-9, generator=generator())
    assert found.values.sum().item() == pytest.approx(fisher_trace(model, x, labels="expected"), rel=1e-8)
    assert found.values[21].abs() < 1e-9 * found.values[0]
    assert found.values[20] > 1e-6 * found.values[0]


def test_batches_give_what_all_examples_together_give(batch):
    model, (x, y) = network("batch norm"), batch
    whole = hessian_eigenvalues(model, x, y, 2, tolerance=1e-8, generator=generator())
    parts = hessian_eigenvalues(model, [(x[:2], y[:2]), (x[2:], y[2:])], None, 2, tolerance=1e-8, generator=generator())
    assert_close(parts.values, whole.values, rtol=1e-7, atol=0)


def test_too_few_steps_are_said(batch):
    with pytest.warns(RuntimeWarning, match="after 4 steps"):
        found = hessian_eigenvalues(network("batch norm"), *batch, tolerance=1e-9, max_steps=4, generator=generator())
    assert not found.converged and found.residuals.max() > 0


def test_the_same_generator_gives_the_same_numbers(batch):
    first, second = (hessian_eigenvalues(network("batch norm"), *batch, generator=generator()) for _ in range(2))
    assert torch.equal(first.values, second.values) and first.steps == second.steps


def linear(x, scale=0.0):
    """Two classes, every example once in each: the mean gradient is zero at weights of zero."""
    model = nn.Linear(x.shape[1], 2).double()
    with torch.no_grad():
        model.weight.fill_(scale)
        model.bias.zero_()
    return model, x.repeat(2, 1), torch.arange(2).repeat_interleave(len(x))


def test_where_the_gradient_vanishes_the_start_is_random():
    model, x, y = linear(torch.randn(4, 9, generator=generator(), dtype=torch.float64))
    exact = torch.linalg.eigvalsh(dense_hessian(model, x, y)).flip(0)
    found = hessian_eigenvalues(model, x, y, count=2, tolerance=1e-8, generator=generator())
    assert_close(found.values, exact[:2], rtol=1e-7, atol=0)


def test_a_model_that_diverged_has_no_eigenvalues():
    model, x, y = linear(torch.ones(4, 9, dtype=torch.float64), scale=torch.nan)
    with pytest.warns(RuntimeWarning, match="not finite"):
        assert hessian_eigenvalues(model, x, y, count=2, generator=generator()).values.isnan().all()


def test_a_gradient_that_is_an_inner_eigenvector_hides_nothing():
    """Independent inputs: each is an eigenvector, and the gradient is that of the second largest, 1 % beyond."""
    size = 400
    x = torch.diag(torch.linspace(1, 0.1, size, dtype=torch.float64) ** 8)
    x[0, 0] = 3
    model, images, labels = linear(x)
    images, labels = torch.cat([images, x[1:2]]), torch.cat([labels, torch.tensor([0])])
    exact = torch.linalg.eigvalsh(dense_hessian(model, images, labels))[-1].item()
    for seed in range(3):
        found = hessian_eigenvalues(
            model, images, labels, tolerance=1e-2, generator=torch.Generator().manual_seed(seed)
        )
        assert found.values.item() == pytest.approx(exact, rel=1e-2)


@pytest.mark.parametrize("name", NETWORKS[:2])
def test_the_hessian_of_the_square_loss(name, batch):
    """Against the explicit matrix: the loss along every pair of parameters."""
    model = network(name)
    exact = torch.linalg.eigvalsh(dense_hessian(model, *batch, loss=square_loss)).flip(0)
    found = hessian_eigenvalues(model, *batch, count=2, tolerance=1e-8, generator=generator(), loss=square_loss)
    assert_close(found.values, exact[:2], rtol=1e-7, atol=0)
    other = hessian_eigenvalues(model, *batch, count=2, tolerance=1e-8, generator=generator())
    assert (other.values - found.values).abs().max() > 1e-3 * exact[0]
