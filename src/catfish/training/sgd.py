"""Stochastic gradient descent with momentum, by torch.optim.SGD's fused kernel and with its numbers.

torch.optim itself loads torch's compiler when an optimiser is made, which takes a process as long as importing torch.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class SGD:
    """v <- momentum v + gradient + weight_decay theta;  theta <- theta - learning_rate v."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, momentum: float, weight_decay: float):
        self.parameters = list(parameters)
        self.velocities = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step with the parameters' gradients; a parameter that has none stays where it is."""
        used = [(p, p.grad, v) for p, v in zip(self.parameters, self.velocities) if p.grad is not None]
        parameters, gradients, velocities = map(list, zip(*used))
        torch._fused_sgd_(
            parameters,
            gradients,
            velocities if self.momentum else [],  # so the kernel wants it
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            lr=self.learning_rate,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )

    def state_dict(self) -> dict[str, list[Tensor]]:
        return {"velocities": self.velocities}

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        self.velocities = list(state["velocities"])
