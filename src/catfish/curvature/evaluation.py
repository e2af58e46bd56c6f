"""How curvature is measured: in evaluation mode, in full precision, with the model as it was afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from catfish.gradients import full_precision


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[nn.Module]:
    """The model in evaluation mode, without autocast and TensorFloat-32; afterwards everything is what it was.

    Batch norm then uses and keeps its running statistics (G.2: with a batch of one, training mode is undefined).
    """
    modes = [(module, module.training) for module in model.modules()]
    device = next(model.parameters()).device.type
    try:
        model.eval()
        with full_precision(device), torch.enable_grad():
            yield model
    finally:
        for module, mode in modes:
            module.training = mode
