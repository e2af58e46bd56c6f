"""Penalties alpha * ||gradient||^2 whose own gradient is recomputed every few steps and reused in between (section 2).

The penalised norm differs from one class to the next; when it is recomputed and how it is added does not.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.func import functional_call

from catfish.gradients import loss_gradient, sample_labels, squared_norm, trainable, uniform_labels


class Penalty(ABC):
    """alpha * ||.||^2 for a model, added to the parameters' gradients.

    coefficient: alpha >= 0.
    every: f, the steps between two recomputations; in between the last gradient is added again (section 2).
    generator: source of sampled labels, on the model's device; None takes torch's global one.
    Raises ValueError for a negative coefficient or `every` below 1.
    """

    def __init__(self, model: nn.Module, coefficient: float, every: int = 10, generator: torch.Generator | None = None):
        if coefficient < 0:
            raise ValueError(f"coefficient: {coefficient} is negative; a penalty takes alpha >= 0")
        if every < 1:
            raise ValueError(f"every: {every} steps is not possible; allowed: 1 or more")
        self.model, self.coefficient, self.every, self.generator = model, coefficient, every, generator
        self._calls = 0
        self._cached: list[Tensor] = []

    def logits(self, x: Tensor) -> Tensor:
        """The model's output on x (B, ...), (B, K); a batch norm's running statistics are not moved a second time."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        return functional_call(self.model, buffers, (x,)) if buffers else self.model(x)

    @abstractmethod
    def squared_norm(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The penalised squared norm on a batch x (B, ...), labels y (B,): a differentiable scalar, without alpha."""

    def add_gradient(self, x: Tensor, y: Tensor | None = None) -> None:
        """Add the gradient of alpha * ||.||^2 to every parameter's `.grad`; call it between backward() and step().

        x (B, ...), y (B,) class numbers, which only GradientPenalty and InputGradientPenalty look at.
        """
        parameters = trainable(self.model)
        if self._calls % self.every == 0:
            self._cached = self.gradient(x, y)
        self._calls += 1
        for parameter, gradient in zip(parameters, self._cached, strict=True):
            if parameter.grad is None:
                parameter.grad = gradient.clone()
            else:
                parameter.grad.add_(gradient)

    def gradient(self, x: Tensor, y: Tensor | None = None) -> list[Tensor]:
        """The gradient of alpha * ||.||^2 on this batch with respect to each trained parameter, by double backward."""
        parameters = trainable(self.model)
        with torch.enable_grad():
            value = self.coefficient * self.squared_norm(x, y)
            gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g.detach() for p, g in zip(parameters, gradients)]

    def state_dict(self) -> dict:
        """What a checkpoint needs to go on between two recomputations."""
        return {"calls": self._calls, "cached": self._cached}

    def load_state_dict(self, state: dict) -> None:
        self._calls, self._cached = state["calls"], list(state["cached"])


class FisherPenalty(Penalty):
    """FP: ||1/B sum_i g(x_i, y^_i)||^2 with one label y^_i ~ p_theta(y|x_i) per example (eq. 3)."""

    def squared_norm(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        logits = self.logits(x)
        labels = sample_labels(logits, self.generator)
        return squared_norm(loss_gradient(logits, labels, trainable(self.model), differentiable=True))


class RandomLabelGradientPenalty(Penalty):
    """GP_r: ||1/B sum_i g(x_i, y_i)||^2 with labels drawn uniformly over the classes (section 4)."""

    def squared_norm(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        logits = self.logits(x)
        labels = uniform_labels(logits, self.generator)
        return squared_norm(loss_gradient(logits, labels, trainable(self.model), differentiable=True))


class GradientPenalty(Penalty):
    """GP: the squared norm of the mini-batch gradient, true labels (section 4)."""

    def squared_norm(self, x: Tensor, y: Tensor | None) -> Tensor:
        return squared_norm(loss_gradient(self.logits(x), _needed(y), trainable(self.model), differentiable=True))


class InputGradientPenalty(Penalty):
    """GP_x: the squared norm of the mini-batch loss's gradient with respect to the network's input (section 4).

    It is the gradient of the mean loss, hence of order 1/B, which is why its coefficients are so large.
    """

    def squared_norm(self, x: Tensor, y: Tensor | None) -> Tensor:
        x = x.detach().requires_grad_()
        return squared_norm(loss_gradient(self.logits(x), _needed(y), [x], differentiable=True))


def _needed(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise ValueError("this penalty needs the batch's labels: add_gradient(x, y)")
    return labels
