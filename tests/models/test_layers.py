import pytest
import torch
from torch.testing import assert_close

from catfish.models.layers import ScalarBias, ScalarMultiplier, stages
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


def test_a_padded_shortcut_takes_every_second_pixel_and_adds_zero_channels():
    x = torch.arange(32.0).view(1, 2, 4, 4)
    expected = torch.tensor([[[0.0, 2], [8, 10]], [[16, 18], [24, 26]], [[0, 0], [0, 0]]])[None]
    assert torch.equal(PaddedShortcut(1, 2)(x), expected)
    assert torch.equal(PaddedShortcut(0, 1)(x), x)


def test_stages_halve_the_image_once_each_but_for_the_first():
    made = stages(lambda *block: block, 16, (16, 32, 64), 2)
    assert made == [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
