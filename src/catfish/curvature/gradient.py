"""The norm of the mini-batch gradient."""

from torch import Tensor, nn

from catfish.curvature.evaluation import evaluation_mode, require_examples
from catfish.gradients import loss_gradient, squared_norm, trainable


def gradient_norm(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """||1/B sum_i g(x_i, y_i)|| over the trained parameters; x (B, ...), y (B,) class numbers.

    Evaluation mode; one forward and one backward pass. Raises ValueError for an empty batch.
    """
    require_examples(x, "gradient_norm")
    with evaluation_mode(model):
        return squared_norm(loss_gradient(model(x), y, trainable(model))).sqrt().item()
