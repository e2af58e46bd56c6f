import pytest
import torch
from torch import nn


@pytest.fixture
def model():
    """A small convolutional network in float64, smooth enough for finite differences; 58 parameters, 4 classes."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 2, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(2 * 2 * 1, 4)]
    return nn.Sequential(*layers).double()


@pytest.fixture
def make_batch():
    """Batches x (B, 2, 5, 4), y (B,) by number."""

    def make(number=0, size=5):
        source = torch.Generator().manual_seed(100 + number)
        x = torch.randn(size, 2, 5, 4, generator=source, dtype=torch.float64)
        return x, torch.randint(4, (size,), generator=source)

    return make
