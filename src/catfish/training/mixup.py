"""mixup (Zhang et al. 2018): training on convex combinations of pairs of examples."""

import torch
from torch import Tensor
from torch.nn import functional as F


def mixed(x: Tensor, y: Tensor, beta: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Mixed inputs, the partners' labels, and lambda ~ Beta(beta, beta), one for the batch.

    x (B, ...), y (B,) -> (B, ...), (B,), (). The draws come from `generator`, which lives on x's device.
    """
    gammas = torch._standard_gamma(torch.full((2,), beta, device=x.device, dtype=torch.float64), generator=generator)
    weight = (gammas[0] / gammas.sum()).to(x.dtype)
    partner = torch.randperm(len(x), generator=generator, device=x.device)
    return weight * x + (1 - weight) * x[partner], y[partner], weight


def mixed_loss(logits: Tensor, y: Tensor, partners: Tensor, weight: Tensor) -> Tensor:
    """lambda * CE(logits, y) + (1 - lambda) * CE(logits, partners), means over the batch."""
    return weight * F.cross_entropy(logits, y) + (1 - weight) * F.cross_entropy(logits, partners)
