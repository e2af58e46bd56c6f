import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from catfish.concatenation import cat
from catfish.convolution import TwiceDifferentiable


@pytest.fixture
def tensors():
    source = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, 3, 2, generator=source, dtype=torch.float64, requires_grad=True) for channels in (2, 1)
    ]


@pytest.mark.parametrize("dim", [1, -3])
def test_values_and_both_derivatives(tensors, dim):
    def product(a, b):  # not linear, so that its second derivative is not zero
        return cat([a, b], dim).pow(3)

    assert torch.equal(cat(tensors, dim), torch.cat(tensors, dim))
    assert gradcheck(product, tensors)
    assert gradgradcheck(product, tensors)
    tensors[0].requires_grad_(False)
    assert gradgradcheck(product, tensors)


def test_gradients_may_be_changed_in_place(tensors):
    first, second = torch.autograd.grad(cat(tensors, 1).sum(), tensors)
    first.zero_()
    assert (second == 1).all()


def test_within_the_context_it_replaces_torchs(tensors):
    with TwiceDifferentiable():
        output = torch.cat(tensors, dim=1)
    assert "Concatenation" in type(output.grad_fn).__name__
    assert torch.equal(output, torch.cat(tensors, 1))
