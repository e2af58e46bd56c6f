"""Norms of the Jacobian of the logits z(x) (K,) in one direction, for comparison (Novack et al. 2022)."""

import torch
from torch import Tensor

from catfish.penalties.penalty import Penalty


class AverageJacobianPenalty(Penalty):
    """||1/B sum_i J_i^T u||^2, J_i = dz(x_i)/dtheta (K, P), u = (1/K, ..., 1/K): the gradient of the mean logit."""

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        classes = logits.shape[1]
        return torch.full((classes,), 1 / classes, device=logits.device)

    def objective(self, logits: Tensor, drawn: Tensor) -> Tensor:
        """The mean over the examples of z(x) . u; u (K,)."""
        return (logits.to(torch.promote_types(logits.dtype, torch.float32)) * drawn).sum(1).mean()


class UnitJacobianPenalty(AverageJacobianPenalty):
    """The same with u uniform on the unit sphere of R^K, drawn anew at every recomputation for each micro-batch."""

    def draw(self, logits: Tensor, y: Tensor | None) -> Tensor:
        direction = torch.randn(logits.shape[1], generator=self.generator, device=logits.device)
        return direction / direction.norm()
