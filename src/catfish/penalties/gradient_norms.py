"""Norms of gradients of the loss: the paper's FP, GP, GP_r and GP_x."""

from torch import Tensor

from catfish.gradients import sample_labels, uniform_labels
from catfish.penalties.penalty import Penalty


class FisherPenalty(Penalty):
    """FP: ||1/B sum_i g(x_i, y^_i)||^2 with one label y^_i ~ p_theta(y|x_i) per example (eq. 3).

    With `micro_batch` the FT penalty of the follow-up paper (Novack et al. 2022).
    """

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        return sample_labels(logits, self.generator)


class RandomLabelGradientPenalty(Penalty):
    """GP_r: ||1/B sum_i g(x_i, y_i)||^2 with labels drawn uniformly over the classes (section 4)."""

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        return uniform_labels(logits, self.generator)


class GradientPenalty(Penalty):
    """GP: the squared norm of the mini-batch gradient, true labels (section 4).

    With `micro_batch` the GN penalty of the follow-up paper (Novack et al. 2022).
    """

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        return _needed(y)


class InputGradientPenalty(Penalty):
    """GP_x: the squared norm of the mini-batch loss's gradient with respect to the network's input (section 4).

    It is the gradient of the mean loss, hence of order 1/B, which is why its coefficients are so large.
    """

    of_input = True

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        return _needed(y)


def _needed(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("this penalty needs the batch's labels: add_gradient(x, y)")
    return labels
