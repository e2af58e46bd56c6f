"""Penalties alpha * ||gradient||^2 whose own gradient is recomputed every few steps and reused in between (section 2).

The penalised gradient differs from one class to the next; on which examples it is taken, how its norm is
differentiated, and when it is recomputed and added does not.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from catfish.convolution import TwiceDifferentiable
from catfish.gradients import TINY, forward_aside, full_precision, moved, rounds, squared_norm, trainable

DERIVATIVES = ("double_backward", "finite_difference")
STEP = 3e-3  # of a finite difference, relative to the norm of what is moved


class Part(NamedTuple):
    """Examples whose mean gradient is penalised: x (B, ...), y (B,), and their logits (B, K) if they are there."""

    x: Tensor
    y: Tensor | None
    logits: Tensor | None


class Penalty(ABC):
    """alpha * ||.||^2 for a model, added to the parameters' gradients.

    model: one in `DistributedDataParallel` stays the same in all processes: each penalises its own part of the batch,
        and the mean of their gradients is added, as with `micro_batch` of a part's size in one process.
    coefficient: alpha >= 0.
    every: f, the steps between two recomputations; in between the last gradient is added again (section 2).
    generator: source of sampled labels, on the model's device; None takes torch's global one.
    first_examples: only so many of a batch, from its first, are penalised (eq. 6: 1; appendix E: 128); None: all.
    micro_batch: the squared norm is averaged over disjoint parts of this size; None: the whole is one part.
    derivative: "double_backward" is exact. "finite_difference" is 2 alpha (g(theta + e g) - g(theta)) / e, with the
        labels held fixed; it costs two plain gradients. The two agree on smooth networks. In a network with kinks
        (ReLU) double backward leaves out the curvature that sits in the kinks, while the difference meets those
        between its two points, so there they are different regularisers (docs/paper.md).
    Raises ValueError for a coefficient that is negative or NaN, a count below 1, or an unknown derivative.
    """

    of_input = False  # whether the penalised gradient is that at the input instead of that at the parameters

    def __init__(
        self,
        model: nn.Module,
        coefficient: float,
        every: int = 10,
        generator: torch.Generator | None = None,
        first_examples: int | None = None,
        micro_batch: int | None = None,
        derivative: str = "double_backward",
    ):
        if not coefficient >= 0:
            raise ValueError(f"coefficient: {coefficient} is not possible; a penalty takes alpha >= 0")
        if every < 1:
            raise ValueError(f"every: {every} steps is not possible; allowed: 1 or more")
        for key, value in {"first_examples": first_examples, "micro_batch": micro_batch}.items():
            if value is not None and value < 1:
                raise ValueError(f"{key}: {value} is not possible; allowed: None, or 1 or more")
        if derivative not in DERIVATIVES:
            raise ValueError(f"derivative: {derivative!r} is not known; allowed: {', '.join(DERIVATIVES)}")
        self._replicas = model.process_group if isinstance(model, DistributedDataParallel) else None
        self.model = model if self._replicas is None else model.module
        self.coefficient, self.every, self.generator = coefficient, every, generator
        self.first_examples, self.micro_batch, self.derivative = first_examples, micro_batch, derivative
        self._calls = 0
        self._cached: list[Tensor] = []

    @abstractmethod
    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        """What the objective needs besides logits (B, K), such as sampled labels; fixed while it is differentiated."""

    def objective(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """The scalar whose gradient is penalised: the mean cross-entropy with the drawn labels (B,)."""
        return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), drawn)

    @property
    def due(self) -> bool:
        """Whether the next `add_gradient` recomputes."""
        return self._calls % self.every == 0

    @property
    def shares(self) -> bool:
        """Whether the next `add_gradient` can use the logits of the training step; see `gradient`."""
        return self.due and self._whole

    def add_gradient(self, x: Tensor, y: Tensor | None = None, logits: Tensor | None = None) -> None:
        """Add the gradient of alpha * ||.||^2 to every parameter's `.grad`; call it between backward() and step().

        x (B, ...), y (B,) class numbers, which only GradientPenalty and InputGradientPenalty look at. logits: see
        `gradient`.
        """
        if self.due:
            self._cached = self.gradient(x, y, logits)
            if self._replicas is not None:
                self._cached = [_mean(gradient, self._replicas) for gradient in self._cached]
        self._calls += 1
        parameters = trainable(self.model)
        for parameter, gradient in zip(parameters, self._cached, strict=True):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(gradient)
        torch._foreach_add_([parameter.grad for parameter in parameters], self._cached)

    def gradient(self, x: Tensor, y: Tensor | None = None, logits: Tensor | None = None) -> list[Tensor]:
        """The gradient of alpha * ||.||^2 on this batch with respect to each trained parameter.

        logits: `model(x)` with its graph, if it is still there after `loss.backward(retain_graph=True)`; this saves a
        forward pass, and is faster if they were made within `catfish.convolution.TwiceDifferentiable`. They are not
        used where parts of the batch are penalised, or the gradient at the input.
        """
        twice = self.derivative == "double_backward"
        form = self._double_backward if twice else self._finite_difference
        with torch.enable_grad(), TwiceDifferentiable() if twice else nullcontext():
            gradients = [form(part) for part in self._parts(x, y, logits)]
        return [torch.stack(same).mean(0) if len(same) > 1 else same[0] for same in zip(*gradients)]

    def squared_norm(self, x: Tensor, y: Tensor | None = None, logits: Tensor | None = None) -> Tensor:
        """The penalised squared norm on a batch x (B, ...), labels y (B,): a differentiable scalar, without alpha."""
        return torch.stack([self._squared_norm(part) for part in self._parts(x, y, logits)]).mean()

    def state_dict(self) -> dict:
        """What a checkpoint needs to go on between two recomputations."""
        return {"calls": self._calls, "cached": self._cached}

    def load_state_dict(self, state: dict) -> None:
        self._calls, self._cached = state["calls"], list(state["cached"])

    @property
    def _whole(self) -> bool:
        return self.first_examples is None and self.micro_batch is None and not self.of_input

    def _parts(self, x: Tensor, y: Tensor | None, logits: Tensor | None) -> Iterator[Part]:
        if self._whole:
            return iter([Part(x, y, logits)])
        x, y = x[: self.first_examples], None if y is None else y[: self.first_examples]
        size = self.micro_batch or len(x)
        if len(x) % size:
            raise ValueError(f"micro_batch: {size} does not divide the {len(x)} examples of the batch")
        ys = [None] * (len(x) // size) if y is None else y.split(size)
        return (Part(*pair, None) for pair in zip(x.split(size), ys))

    def _start(self, part: Part) -> tuple[Tensor, Tensor, Tensor]:
        """The input, the objective with its graph, and what was drawn for it."""
        x = part.x.detach().clone().requires_grad_() if self.of_input else part.x
        logits = forward_aside(self.model, x) if part.logits is None else part.logits
        drawn = self.draw(logits, part.y)
        return x, self.objective(logits, drawn), drawn

    def _squared_norm(self, part: Part) -> Tensor:
        x, value, _ = self._start(part)
        inputs = [x] if self.of_input else trainable(self.model)
        return squared_norm(torch.autograd.grad(value, inputs, create_graph=True, materialize_grads=True))

    def _double_backward(self, part: Part) -> list[Tensor]:
        value = self.coefficient * self._squared_norm(part)
        gradients = torch.autograd.grad(value, trainable(self.model), materialize_grads=True)
        return [gradient.detach() for gradient in gradients]

    def _finite_difference(self, part: Part) -> list[Tensor]:
        """In float32 at least: rounding would hide the difference, so logits made with it may not serve."""
        device = part.x.device.type
        if rounds(device):
            part = part._replace(logits=None)
        with full_precision(device):
            parameters = trainable(self.model)
            x, value, drawn = self._start(part)
            steered = [x] if self.of_input else parameters
            inputs = [x, *parameters] if self.of_input else parameters
            found = torch.autograd.grad(value, inputs, materialize_grads=True)
            direction, here = found[: len(steered)], found[-len(parameters) :]
            length, size = (squared_norm(tensors).detach().sqrt().clamp_min(TINY) for tensors in (direction, steered))
            step = STEP * size / length
            with moved(steered, direction, step):
                shifted = self.objective(forward_aside(self.model, x), drawn)
                there = torch.autograd.grad(shifted, parameters, materialize_grads=True)
        return [2 * self.coefficient / step * (b - a) for a, b in zip(here, there)]


def _mean(gradient: Tensor, processes: "distributed.ProcessGroup") -> Tensor:
    """The mean over the processes, the same in each."""
    gradient = gradient.contiguous()
    distributed.all_reduce(gradient, group=processes)
    return gradient / distributed.get_world_size(processes)
