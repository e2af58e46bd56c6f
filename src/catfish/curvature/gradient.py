"""The norm of the gradient of the mean loss."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from catfish.curvature.data import Source, labelled
from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import loss_gradient, squared_norm, trainable


def gradient_norm(model: nn.Module, x: Source, y: Tensor | None = None) -> float:
    """||1/B sum_i g(x_i, y_i)|| over the trained parameters; x (B, ...), y (B,) class numbers, or batches of pairs.

    Evaluation mode; one forward and one backward pass. Raises ValueError for no examples.
    """
    with evaluation_mode(model):
        gradient, count = summed_gradient(model, labelled(model, x, y, "gradient_norm"), lambda _, labels: labels)
    return squared_norm(gradient).sqrt().item() / count


def summed_gradient(
    model: nn.Module,
    parts: Iterable[tuple[Tensor, Tensor | None]],
    labels: Callable[[Tensor, Tensor | None], Tensor],
) -> tuple[list[Tensor], int]:
    """The sum over all examples of g(x_i, y_i), a tensor for each trained parameter, and the number of examples.

    parts: batches (x, y); `labels(logits, y)` gives the labels of a batch.
    """
    parameters = trainable(model)
    total, count = [torch.zeros_like(p) for p in parameters], 0
    for inputs, own in parts:
        logits = model(inputs)
        for sum_, gradient in zip(total, loss_gradient(logits, labels(logits, own), parameters)):
            sum_ += len(inputs) * gradient
        count += len(inputs)
    return total, count
