"""Batch norm with its own second derivative against torch's, and against finite differences."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from catfish.convolution import TwiceDifferentiable
from catfish.normalisation import batch_norm

SHAPES = {"images": (4, 3, 3, 2), "vectors": (6, 3), "sequences": (3, 3, 4)}


@pytest.fixture(params=SHAPES)
def tensors(request):
    source = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=source, dtype=torch.float64, requires_grad=True)
        for shape in (SHAPES[request.param], (3,), (3,))
    ]


def normalise(x, weight, bias):
    return batch_norm(x, None, None, weight, bias, True)


def test_first_and_second_derivatives(tensors):
    assert gradcheck(normalise, tensors)
    assert gradgradcheck(normalise, tensors)


@pytest.mark.parametrize("frozen", [(0,), (1,), (1, 2)])
def test_what_needs_no_gradient_gets_none(tensors, frozen):
    for number in frozen:
        tensors[number].requires_grad_(False)
    assert gradgradcheck(normalise, tensors)


def test_images_in_channels_last_memory_keep_it():
    x = torch.randn(4, 3, 3, 2, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    tensors = [x, *(torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))]
    assert gradgradcheck(normalise, tensors)
    g = torch.randn(4, 3, 3, 2, dtype=torch.float64, requires_grad=True)  # another order of memory
    (at_x,) = torch.autograd.grad(normalise(*tensors), x, g, create_graph=True)
    (again,) = torch.autograd.grad(at_x.square().sum(), x)
    assert at_x.is_contiguous(memory_format=torch.channels_last)
    assert again.is_contiguous(memory_format=torch.channels_last)


def gradient_of_the_gradients_norm(layer, x, context):
    with context:
        output = layer(x)
    parameters = list(layer.parameters())
    gradients = torch.autograd.grad(output.float().pow(3).sum(), [x, *parameters], create_graph=True)
    norm = sum(gradient.float().square().sum() for gradient in gradients)
    return [output, *gradients, *torch.autograd.grad(norm, [x, layer.weight]), *layer.buffers()]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float32, 1e-4), (torch.bfloat16, 3e-2)])
def test_modules_within_the_context_do_what_torchs_do(dtype, tolerance):
    torch.manual_seed(0)
    first = nn.BatchNorm2d(5)
    nn.init.uniform_(first.weight, 0.5, 2)
    second, images = copy.deepcopy(first), (torch.randn(8, 5, 4, 4) + 1).to(dtype)
    ours = gradient_of_the_gradients_norm(first, images.clone().requires_grad_(), TwiceDifferentiable())
    torchs = gradient_of_the_gradients_norm(second, images.clone().requires_grad_(), nullcontext())
    assert "catfish" not in type(torchs[0].grad_fn).__module__ and type(ours[0].grad_fn) is not type(torchs[0].grad_fn)
    for number, (a, b) in enumerate(zip(ours, torchs, strict=True)):
        assert a.dtype == b.dtype, number
        assert (a.float() - b.float()).norm() <= tolerance * b.float().norm(), number
    assert torch.equal(ours[0], torchs[0])
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers())) and first.num_batches_tracked == 1


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3).eval(), nn.BatchNorm2d(3, affine=False)], ids=["eval", "bare"])
def test_other_uses_are_left_to_torch(layer):
    x = torch.randn(4, 3, 2, 2, requires_grad=True)
    expected = F.batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, layer.training)
    with TwiceDifferentiable():
        output = layer(x)
    assert type(output.grad_fn) is type(expected.grad_fn)
    assert_close(output, expected)
