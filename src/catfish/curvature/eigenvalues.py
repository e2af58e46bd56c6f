"""The outermost eigenvalues of the loss's Hessian and of the Fisher information matrix, by Lanczos."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catfish.curvature.data import Source
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.lanczos import Eigenpairs, lanczos
from catfish.curvature.products import FisherProduct, HessianProduct


def hessian_eigenvalues(
    model: nn.Module,
    x: Source,
    y: Tensor | None = None,
    count: int = 1,
    which: Literal["largest", "smallest", "both"] = "largest",
    tolerance: float = 1e-3,
    max_steps: int = 300,
    generator: torch.Generator | None = None,
    vectors: bool = False,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> Eigenpairs:
    """The `count` largest or smallest eigenvalues, by sign and not by magnitude, of the Hessian of the mean loss.

    x (B, ...), y (B,), or batches of pairs; loss(outputs, y): their mean. The result's `values` (k,) descend;
    `residuals` bound the error of each: within residuals[i] of values[i] lies an eigenvalue. Ends when all residuals
    are at most `tolerance` times the largest magnitude and nothing found so far may lie further out, see `lanczos`; if
    `max_steps` products do not suffice, `converged` is False and a RuntimeWarning says so. An eigenvalue's own error is
    about its residual's square over the gap to the next, so far smaller where it stands alone. Repeated eigenvalues:
    see `lanczos`.

    Costs `steps` products with H, about two forward and backward passes each (three for several batches, and the
    gradient), and `steps` vectors of the parameters' size. The start is the gradient and a random vector in equal
    parts; the latter comes from `generator` on the model's device, None takes torch's global one. Evaluation mode.
    Raises ValueError for no examples, for data that can be read only once, and as `lanczos` does.
    """
    with evaluation_mode(model):
        product = HessianProduct(model, x, y, "hessian_eigenvalues", loss)
        gradient = product.mean(product.graph, lambda graph: torch.cat([g.detach().flatten() for g in graph]))
        start = _mixed(product.random(generator), gradient)
        return lanczos(product, start, count, which, tolerance, max_steps, vectors=vectors)


def fisher_eigenvalues(
    model: nn.Module,
    x: Source,
    count: int = 1,
    tolerance: float = 1e-3,
    max_steps: int = 300,
    generator: torch.Generator | None = None,
    vectors: bool = False,
) -> Eigenpairs:
    """The `count` largest eigenvalues of F (eq. 1), with the expectation over all classes taken exactly.

    x (B, ...), or batches of them. F is also the Gauss-Newton matrix of the cross-entropy; its rank is at most
    B (K - 1), and all else is zero. Costs `steps` products with F, about two forward and backward passes each. The
    start is a random vector; the rest is as for `hessian_eigenvalues`.
    """
    with evaluation_mode(model):
        product = FisherProduct(model, x, None, "fisher_eigenvalues")
        return lanczos(product, product.random(generator), count, "largest", tolerance, max_steps, vectors=vectors)


def _mixed(random: Tensor, gradient: Tensor) -> Tensor:
    """Both vectors (P,) in equal parts, or the random one alone if the other has no direction.

    Most of a gradient lies in the few eigenvectors of large eigenvalues (Gur-Ari et al. 2018, "Gradient Descent Happens
    in a Tiny Subspace"), which saves the steps that would find them; the random part keeps all others within reach.
    """
    norm = gradient.norm()
    if not 0 < norm < torch.inf:
        return random
    return random / random.norm() + gradient / norm
