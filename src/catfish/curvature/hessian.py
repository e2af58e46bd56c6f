"""The trace of the loss's Hessian by Hutchinson's estimator (appendix B)."""

import torch
from torch import Tensor, nn

from catfish.curvature.evaluation import evaluation_mode, require_examples
from catfish.gradients import loss_gradient, trainable


def hessian_trace(
    model: nn.Module, x: Tensor, y: Tensor, probes: int = 30, generator: torch.Generator | None = None
) -> tuple[float, float]:
    """Tr(H) of the mean cross-entropy on x (B, ...), y (B,), and its standard error over the probes.

    (1/M) sum_m z_m^T H z_m with standard Gaussian z_m, M = `probes`; unbiased, variance 2 ||H||_F^2 / M.
    One gradient graph is shared by all probes. `generator` on the model's device; None takes torch's global one.
    Raises ValueError for fewer than two probes, which leave no standard error, and for an empty batch.
    """
    if probes < 2:
        raise ValueError(f"probes: {probes} is not allowed; allowed: 2 or more")
    require_examples(x, "hessian_trace")
    with evaluation_mode(model):
        parameters = trainable(model)
        gradients = loss_gradient(model(x), y, parameters, differentiable=True)
        samples = torch.stack([_probe(gradients, parameters, generator) for _ in range(probes)])
    return samples.mean().item(), (samples.std() / probes**0.5).item()


def _probe(gradients: list[Tensor], parameters: list[nn.Parameter], generator: torch.Generator | None) -> Tensor:
    probe = [torch.empty_like(p).normal_(generator=generator) for p in parameters]
    products = torch.autograd.grad(gradients, parameters, probe, retain_graph=True, materialize_grads=True)
    return torch.stack([(z * hz).sum() for z, hz in zip(probe, products)]).sum().detach()
