"""Sharpness-aware minimisation (SAM; Foret et al. 2021): the gradient is taken at the worst weights nearby."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from catfish.gradients import TINY, moved, squared_norm, trainable


@contextmanager
def perturbed(model: nn.Module, radius: float) -> Iterator[None]:
    """Move the weights by radius * g / ||g||, g being the parameters' `.grad`, for as long as the block lasts.

    The gradients are cleared at its beginning, so that a `backward()` within it leaves SAM's gradient for the
    optimiser. At its end the weights are what they were, to the bit, and so are the buffers: a batch norm's running
    statistics are moved by the first pass alone. radius: rho >= 0 (ValueError else), in the units of the weights.
    """
    if radius < 0:
        raise ValueError(f"radius: {radius} is negative; SAM takes rho >= 0")
    used = [parameter for parameter in trainable(model) if parameter.grad is not None]
    gradients = [parameter.grad for parameter in used]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    for parameter in used:
        parameter.grad = None
    try:
        with moved(used, gradients, radius / squared_norm(gradients).sqrt().clamp_min(TINY)):
            torch.clear_autocast_cache()  # under autocast: casts of the weights as they were before
            yield
    finally:
        torch.clear_autocast_cache()
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
