"""The norm of the mini-batch gradient."""

from torch import Tensor, nn

from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import loss_gradient, squared_norm, trainable


def gradient_norm(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """||1/B sum_i g(x_i, y_i)|| over the trained parameters; x (B, ...), y (B,) class numbers.

    Evaluation mode; one forward and one backward pass. Zero for an empty batch is undefined: ValueError.
    """
    if len(x) == 0:
        raise ValueError("gradient_norm: the batch is empty; the mean gradient of no examples is undefined")
    with evaluation_mode(model):
        return squared_norm(loss_gradient(model(x), y, trainable(model))).sqrt().item()
