"""The convolution with its own second derivative against torch's, and against finite differences."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.testing import assert_close

from catfish.convolution import TwiceDifferentiable

GEOMETRIES = {
    "plain": {},
    "padded, strided": {"stride": 2, "padding": (1, 0)},
    "dilated": {"dilation": (1, 2), "padding": 1},
    "groups": {"groups": 2, "padding": [1]},
}


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return GEOMETRIES[request.param]


@pytest.fixture
def tensors(geometry):
    source = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 5, 6), (6, 4 // geometry.get("groups", 1), 3, 2), (6,)]
    return [torch.randn(shape, generator=source, dtype=torch.float64, requires_grad=True) for shape in shapes]


def convolve(geometry):
    def function(a, weight, bias):
        with TwiceDifferentiable():
            return F.conv2d(a, weight, bias, **geometry)

    return function


def test_values_are_torchs_own(tensors, geometry):
    assert_close(convolve(geometry)(*tensors), F.conv2d(*tensors, **geometry))


def test_first_and_second_derivatives(tensors, geometry):
    assert gradcheck(convolve(geometry), tensors)
    assert gradgradcheck(convolve(geometry), tensors)


@pytest.mark.parametrize("frozen", [(0,), (1,), (2,), (0, 2), (1, 2)])
def test_what_needs_no_gradient_gets_none(tensors, geometry, frozen):
    for number in frozen:
        tensors[number].requires_grad_(False)
    assert gradgradcheck(convolve(geometry), tensors)


def test_modules_within_the_context_are_of_this_kind():
    x = torch.randn(2, 3, 8, 8)
    layer = nn.Conv2d(3, 4, 3, padding=1)
    with TwiceDifferentiable():
        assert "_Convolution" in type(layer(x).grad_fn).__name__
    assert "_Convolution" not in type(layer(x).grad_fn).__name__


@pytest.mark.parametrize(
    "layer", [nn.Conv2d(3, 4, 3, padding="same"), nn.Conv2d(3, 4, 3, padding_mode="circular", padding=1)]
)
def test_other_paddings_work_too(layer):
    x = torch.randn(2, 3, 8, 8)
    with TwiceDifferentiable():
        assert_close(
            layer(x),
            F.conv2d(
                F.pad(x, (1,) * 4, "circular" if layer.padding != "same" else "constant"), layer.weight, layer.bias
            ),
        )


def test_a_single_image_is_left_to_torch():
    with TwiceDifferentiable():
        assert nn.Conv2d(3, 4, 3)(torch.randn(3, 8, 8)).shape == (4, 6, 6)


def test_autocast_is_what_it_is_without_the_context():
    torch.manual_seed(0)
    layer, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8)
    found = []
    for context in (TwiceDifferentiable(), nullcontext()):
        with torch.autocast("cpu", torch.bfloat16), context:
            output = layer(x)
            found.append([output, *torch.autograd.grad(output.float().square().sum(), list(layer.parameters()))])
    assert found[0][0].dtype == torch.bfloat16
    for ours, torchs in zip(*found):
        assert ours.dtype == torchs.dtype
        assert_close(ours.float(), torchs.float(), rtol=1e-2, atol=1e-2)
