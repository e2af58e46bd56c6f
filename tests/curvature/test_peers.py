"""The paper's networks measured by us and by two independent libraries, BackPACK and curvlinops, in float64."""

import pytest
import torch
from backpack import backpack, extend
from backpack.extensions import BatchL2Grad
from curvlinops import GGNLinearOperator, HessianLinearOperator
from scipy.sparse.linalg import eigsh
from torch import nn
from torch.testing import assert_close

from catfish.curvature import fisher_eigenvalues, hessian_eigenvalues, hessian_trace, per_example_gradient_norms
from catfish.models import build


@pytest.fixture(params=["simplecnn", "vgg11"])
def case(request):
    """A network at a tenth of its width, five images and their labels."""
    torch.manual_seed(0)
    model = build(request.param, 10, width=0.1).double().eval()
    return model, torch.randn(5, 3, 32, 32, dtype=torch.float64), torch.tensor([3, 0, 9, 3, 5])


@pytest.fixture
def hessian(case):
    """curvlinops's operator: forward over reverse mode, where ours is reverse over reverse."""
    model, x, y = case
    return HessianLinearOperator(model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)])


@pytest.fixture
def drawn(monkeypatch):
    """Every normal random number that is drawn, in order."""
    numbers = []
    normal_ = torch.Tensor.normal_

    def recorded(tensor, *arguments, **options):
        numbers.extend(normal_(tensor, *arguments, **options).flatten().tolist())
        return tensor

    monkeypatch.setattr(torch.Tensor, "normal_", recorded)
    return numbers


@pytest.mark.filterwarnings("ignore:Full backward hook is firing")  # of BackPACK: the images need no gradient
def test_per_example_norms_are_backpacks(case):
    """Of the summed loss: with the mean, BackPACK's gradients carry 1/B."""
    model, x, y = case
    ours = per_example_gradient_norms(model, x, y)
    loss = extend(nn.CrossEntropyLoss(reduction="sum"))
    with backpack(BatchL2Grad()):
        loss(extend(model)(x), y).backward()
    theirs = torch.stack([p.batch_l2 for p in model.parameters()]).sum(0).sqrt()
    assert_close(ours, theirs, rtol=1e-10, atol=0)


def test_the_trace_is_that_of_curvlinopss_products(case, hessian, drawn):
    """z^T H z for the same probes z."""
    trace, error = hessian_trace(*case, probes=3)
    probes = torch.tensor(drawn, dtype=torch.float64).view(3, -1).T  # (P, 3)
    forms = (probes * (hessian @ probes)).sum(0).detach()
    assert trace == pytest.approx(forms.mean().item(), rel=1e-9)
    assert error == pytest.approx((forms.std() / 3**0.5).item(), rel=1e-9)


def test_the_hessians_largest_are_those_of_arpack_on_curvlinopss_products(case, hessian):
    theirs = eigsh(hessian.to_scipy(), k=2, which="LA", tol=1e-6, return_eigenvectors=False)
    ours = hessian_eigenvalues(*case, count=2, tolerance=1e-6)
    assert ours.values.tolist() == pytest.approx(sorted(theirs, reverse=True), rel=1e-8)


def test_the_fishers_largest_are_those_of_curvlinopss_gauss_newton_matrix(case):
    """The two matrices are equal for the cross-entropy."""
    model, x, y = case
    matrix = GGNLinearOperator(model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)])
    theirs = eigsh(matrix.to_scipy(), k=3, which="LA", tol=1e-6, return_eigenvectors=False)
    ours = fisher_eigenvalues(model, x, count=3, tolerance=1e-6)
    assert ours.values.tolist() == pytest.approx(sorted(theirs, reverse=True), rel=1e-8)
