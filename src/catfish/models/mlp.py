"""The fully connected network on which Cohen et al. 2021 show the edge of stability ("fc-tanh" in their code)."""

from torch import nn

from catfish.models.layers import scaled

PIXELS = 3 * 32 * 32


def mlp_tanh(classes: int, width: float = 1.0) -> nn.Module:
    """Two hidden layers of 200 with tanh, torch's own initialisation; 656,810 parameters for ten classes."""
    hidden = scaled(200, width)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(PIXELS, hidden),
        nn.Tanh(),
        nn.Linear(hidden, hidden),
        nn.Tanh(),
        nn.Linear(hidden, classes),
    )
