"""Grafting (Novack et al. 2022): steps in a large batch's direction, as long as a small batch's would be."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catfish.errors import RecordError
from catfish.gradients import TINY, forward_aside, squared_norm, trainable
from catfish.training import checkpoint


def gradient_norm(model: nn.Module) -> Tensor:
    """The norm of the parameters' `.grad`, a scalar tensor on their device."""
    return squared_norm([parameter.grad for parameter in _used(model)]).sqrt()


def take_norm(model: nn.Module, norm: Tensor) -> None:
    """Scale the parameters' `.grad` so that it has this norm."""
    gradients = [parameter.grad for parameter in _used(model)]
    torch._foreach_mul_(gradients, norm / gradient_norm(model).clamp_min(TINY))


def small_batch_norm(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The norm of the gradient of the mean loss on x (B, ...), y (B,); running statistics and `.grad` stay."""
    loss = F.cross_entropy(forward_aside(model, x).to(torch.promote_types(x.dtype, torch.float32)), y)
    return squared_norm(list(torch.autograd.grad(loss, trainable(model), materialize_grads=True))).sqrt()


def read_norms(path: Path, steps: int, constant: bool, device: torch.device) -> Tensor:
    """The norm that each of a run's `steps` takes, (steps,), from the file that a small-batch run of T steps left.

    Step t (from 0) takes that of step floor(t T / steps): the same step if the runs are equally long, and the same
    share of the training otherwise. With `constant` all take the mean. Norms that a diverged run did not come to are
    NaN, so the run that takes them diverges there too. Raises RecordError for a missing or damaged file.
    """
    norms = checkpoint.read(path, device).get("norms")
    if not isinstance(norms, Tensor) or norms.ndim != 1 or not len(norms):
        raise RecordError(f"{path}: holds no gradient norms; delete its folder and train its run again")
    if constant:
        return norms.mean().expand(steps)
    return norms[torch.arange(steps, device=device) * len(norms) // steps]


def _used(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in trainable(model) if parameter.grad is not None]
