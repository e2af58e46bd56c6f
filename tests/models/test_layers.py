import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.models.layers import ScalarBias, ScalarMultiplier, stages, strided
from catfish.models.resnet import PaddedShortcut


@pytest.mark.parametrize("layer", [ScalarMultiplier(0.5), ScalarBias()])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_scalars_keep_the_precision_of_their_input(layer, dtype):
    """As under autocast: weights in float32, activations in bfloat16."""
    assert layer(torch.ones(2, 3, dtype=dtype)).dtype == dtype


def test_scalars_are_one_number_for_all_positions():
    x = torch.arange(6.0).view(2, 3)
    multiplier, bias = ScalarMultiplier(0.5), ScalarBias()
    (multiplier(x).sum() + (2 * bias(x)).sum()).backward()
    assert_close(multiplier(x), x / 2)
    assert_close(bias(x), x)
    assert (multiplier.weight.grad, bias.bias.grad) == (x.sum(), 2 * x.numel())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [3, 4, 8, 20])
def test_a_strided_1x1_convolution_and_its_gradients(dtype, memory_format, channels):
    """Against torch's own in float64; in float32 with few channels last that one breaks on processors with AVX2."""
    torch.manual_seed(0)
    exact = nn.Conv2d(channels, 8, 1, 2).double()
    layer = strided(nn.Conv2d(channels, 8, 1), 2).to(dtype=dtype, memory_format=memory_format)
    layer[1].load_state_dict(exact.state_dict())
    x = torch.randn(16, channels, 31, 32, dtype=torch.float64, requires_grad=True)
    images = x.detach().to(dtype=dtype, memory_format=memory_format).requires_grad_()
    ours, theirs = layer(images), exact(x)
    g = torch.randn_like(theirs)
    assert_close(ours.double(), theirs, rtol=1e-5, atol=1e-5)
    for one, two in zip(
        torch.autograd.grad(ours, [images, *layer.parameters()], g.to(dtype=dtype, memory_format=memory_format)),
        torch.autograd.grad(theirs, [x, *exact.parameters()], g),
    ):
        assert_close(one.double(), two, rtol=1e-4, atol=1e-4 * two.abs().max().item())


def test_without_a_stride_a_convolution_is_itself():
    layer = nn.Conv2d(2, 3, 1)
    assert strided(layer, 1) is layer


def test_a_padded_shortcut_takes_every_second_pixel_and_adds_zero_channels():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    expected = torch.tensor([[[0.0, 2], [8, 10]], [[16, 18], [24, 26]], [[0, 0], [0, 0]]])[None]
    assert torch.equal(PaddedShortcut(1, 2)(x), expected)
    assert torch.equal(PaddedShortcut(0, 1)(x), x)


def test_stages_halve_the_image_once_each_but_for_the_first():
    made = stages(lambda *block: block, 16, (16, 32, 64), 2)
    assert made == [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
