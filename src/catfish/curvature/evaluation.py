"""A model held still while it is measured."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode without autocast; afterwards every module has its own mode back.

    Batch norm then uses and keeps its running statistics (G.2: with a batch of one, training mode is undefined).
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device.type
    try:
        model.eval()
        with torch.autocast(device, enabled=False), torch.enable_grad():
            yield model
    finally:
        for module, mode in modes:
            module.training = mode
