"""Which parameters bring the loss down in a step: loss change allocation (Lan et al. 2019)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from catfish.curvature.data import Source, labelled
from catfish.curvature.evaluation import evaluation_mode

_SIMPSON = {0.0: 1 / 6, 0.5: 4 / 6, 1.0: 1 / 6}  # weights of the points of the segment


@dataclass(frozen=True, eq=False)
class Allocation:
    """The loss at both ends of a step, and its change by layer: a layer is a module that owns trained parameters.

    helping: the share of the single parameters that moved whose allocation is negative; NaN if none moved.
    """

    before: float
    after: float
    layers: dict[str, float]
    helping: float


def layer_names(model: nn.Module) -> list[str]:
    """The layers that an allocation has, in the model's order; parameters of the model itself belong to "model"."""
    return list(dict.fromkeys(_layer(name) for name, p in model.named_parameters() if p.requires_grad))


def loss_change_allocation(
    model: nn.Module,
    start: Sequence[Tensor],
    x: Source,
    y: Tensor | None = None,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> Allocation:
    """The change of the mean loss on a straight step from `start` to the model's trained parameters, by layer.

    The integral of the gradient along the step, times the step, for each parameter by itself, by Simpson's rule: the
    sum is the change of the loss up to an error of the fifth order in the step, or larger where the network has kinks
    between its points (ReLU). start: the parameters before, one tensor for each trained one; x (B, ...), y (B,), or
    batches of pairs. Evaluation mode, so batch norm has the model's present statistics at both ends. Three forward and
    backward passes. Raises ValueError for no examples.
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    first = {name: value.detach() for name, value in zip(trained, start, strict=True)}
    steps = {name: p - first[name] for name, p in trained.items()}
    change = {name: torch.zeros_like(p) for name, p in trained.items()}
    values = {}
    for place, weight in _SIMPSON.items():
        point = trained if place == 1 else {name: first[name] + place * steps[name] for name in trained}
        values[place], gradient = _gradient(model, point, x, y, loss)
        for name, part in gradient.items():
            change[name] += weight * part * steps[name]
    layers = dict.fromkeys(layer_names(model), 0.0)
    for name, part in change.items():
        layers[_layer(name)] += part.sum(dtype=torch.float64).item()
    signs = torch.cat([part[steps[name] != 0].sign() for name, part in change.items()])
    return Allocation(values[0.0], values[1.0], layers, (signs < 0).float().mean().item())


def _gradient(
    model: nn.Module, point: dict[str, Tensor], x: Source, y: Tensor | None, loss: Callable[..., Tensor]
) -> tuple[float, dict[str, Tensor]]:
    """The mean loss and its gradient at other parameters than the model's."""
    leaves = {name: value.clone().requires_grad_() for name, value in point.items()}
    total, count = 0.0, 0
    sums = {name: torch.zeros_like(value) for name, value in point.items()}
    with evaluation_mode(model):
        for inputs, labels in labelled(model, x, y, "loss_change_allocation"):
            value = loss(functional_call(model, leaves, (inputs,)), labels)
            parts = torch.autograd.grad(value, list(leaves.values()), materialize_grads=True)
            for name, part in zip(leaves, parts):
                sums[name] += len(labels) * part
            total += len(labels) * value.item()
            count += len(labels)
    return total / count, {name: part / count for name, part in sums.items()}


def _layer(name: str) -> str:
    return name.rpartition(".")[0] or "model"
