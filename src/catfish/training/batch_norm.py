"""Batch-norm statistics that belong to the present weights, for as long as the network is measured (G.2)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from catfish.plan import Run
from catfish.training.batches import AUGMENTATIONS, Data, epoch_order
from catfish.training.measurements import is_due
from catfish.training.seeds import generator


@contextmanager
def refreshed_statistics(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[None]:
    """Statistics averaged over `run.batch_norm_batches` training batches; the running ones come back afterwards.

    A batch is as large as what goes through the network at once in training.

    Batches are drawn and augmented as in training, from generators of their own, so the trajectory does not notice.
    Nothing happens to a network without batch norm, with 0 batches (it is measured with its running statistics), or
    at the end of an epoch at which nothing is measured.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms or run.batch_norm_batches == 0 or not is_due(run, epoch):
        yield
        return
    modes = [(module, module.training) for module in model.modules()]
    kept = [(norm, norm.momentum, [buffer.clone() for buffer in norm.buffers()]) for norm in norms]
    try:
        model.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over the batches
        _forward(run, model, data, epoch)
        for module, mode in modes:
            module.training = mode
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for norm, momentum, buffers in kept:
            norm.momentum = momentum
            for buffer, value in zip(norm.buffers(), buffers):
                buffer.copy_(value)


@torch.no_grad()
def _forward(run: Run, model: nn.Module, data: Data, epoch: int) -> None:
    device = data.train.labels.device
    order = generator(device, run.seed, "batch norm order", epoch)
    augmentation = generator(device, run.seed, "batch norm augmentation", epoch)
    augment = AUGMENTATIONS[run.augment]
    size = run.forward_batch or run.batch_size
    for index in epoch_order(len(data.train), size, order)[: run.batch_norm_batches]:
        model(data.pixels(augment(data.train.images[index], augmentation)))
