"""The trace of the loss's Hessian by Hutchinson's estimator (appendix B)."""

import torch
from torch import Tensor, nn

from catfish.curvature.data import Source
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.products import HessianProduct

DISTRIBUTIONS = ("gaussian", "rademacher")
AT_ONCE = 8  # probes for each reading of data in several batches


def hessian_trace(
    model: nn.Module,
    x: Source,
    y: Tensor | None = None,
    probes: int = 30,
    generator: torch.Generator | None = None,
    distribution: str = "gaussian",
    deflated: int = 0,
    target_error: float | None = None,
) -> tuple[float, float]:
    """Tr(H) of the mean cross-entropy on x (B, ...), y (B,), or on batches of pairs, and its standard error.

    (1/M) sum_m z_m^T H z_m, M = `probes`, unbiased. `distribution` of z: "gaussian", with variance 2 ||H||_F^2 / M, or
    "rademacher", whose variance lacks the diagonal's part. With `target_error`, probes are drawn only until the
    standard error is at most that (at least ten), M of them at most. With `deflated` = k > 0 the trace on the span of
    H S, S k Gaussian vectors, is taken exactly, and probes serve only what is orthogonal to it (Hutch++, Meyer et al.
    2021): 2k products more, worth it where few eigenvalues carry most of ||H||_F. For piecewise linear networks
    `fisher_trace(..., labels="expected")` is the same number without sampling error.

    A probe costs about 0.6 forward and backward passes (`second_order`), two where a model is not made of torch's own
    operations alone; a product with H two (three for data in several batches). Several batches are read once for every
    eight probes. `generator` on the model's device; None takes torch's global one. Evaluation mode. Raises
    ValueError for fewer than two probes, which leave no standard error, for no examples, and for data that can be read
    only once.
    """
    if probes < 2:
        raise ValueError(f"probes: {probes} is not allowed; allowed: 2 or more")
    if distribution not in DISTRIBUTIONS:
        raise ValueError(f"distribution: {distribution!r} is not allowed; allowed: {', '.join(DISTRIBUTIONS)}")
    with evaluation_mode(model):
        product = HessianProduct(model, x, y, "hessian_trace")
        # A product of its own, so that the graph for H S is gone when the probes begin.
        basis, exact = _dominant(HessianProduct(model, x, y, "hessian_trace"), deflated, generator)
        samples: list[float] = []
        while len(samples) < probes and not _reached(samples, target_error):
            count = min(1 if product.single else AT_ONCE, probes - len(samples))
            samples += product.forms([_probe(product, generator, distribution, basis) for _ in range(count)])
    mean, error = _statistics(samples)
    return exact + mean, error


def _dominant(product: HessianProduct, count: int, generator: torch.Generator | None) -> tuple[Tensor | None, float]:
    """An orthonormal basis (P, k) of the span of H S, and the trace of H on it."""
    if not 0 <= count < product.size:
        raise ValueError(f"deflated: {count} is not allowed; allowed: 0 to {product.size - 1}")
    if count == 0:
        return None, 0.0
    sketch = torch.stack([product(product.random(generator)) for _ in range(count)], dim=1)
    basis = torch.linalg.qr(sketch).Q
    return basis, sum(torch.dot(column, product(column)).item() for column in basis.mT.contiguous())


def _probe(
    product: HessianProduct, generator: torch.Generator | None, distribution: str, basis: Tensor | None
) -> Tensor:
    probe = product.random(generator, distribution)
    return probe if basis is None else probe - basis @ (basis.mT @ probe)


def _statistics(samples: list[float]) -> tuple[float, float]:
    values = torch.tensor(samples, dtype=torch.float64)
    return values.mean().item(), (values.std() / len(values) ** 0.5).item()


def _reached(samples: list[float], target: float | None) -> bool:
    return target is not None and len(samples) >= 10 and _statistics(samples)[1] <= target
