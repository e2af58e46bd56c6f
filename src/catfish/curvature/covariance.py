"""The covariance of the gradient noise: the spectrum of K from the Gram matrix of explicit gradients."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from catfish.curvature.data import require_examples
from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import trainable

_CHUNK_EXAMPLES = 256  # at most so many examples in one backward pass, whose activations no memory limit counts
_SLICE = 2**20  # numbers in the float64 copies that a product of gradients works on


@dataclass(frozen=True, eq=False)
class GradientCovariance:
    """The non-zero eigenvalues of K (rank,), descending, float64 on the CPU, and Tr(K) of all of them.

    If all gradients agree the rank is zero: then `largest` is 0, `smallest` and `conditioning` are NaN. A gradient
    that is not finite makes all of them NaN.
    """

    eigenvalues: Tensor
    trace: float

    @property
    def largest(self) -> float:
        """lambda_K^1."""
        return self.eigenvalues[0].item() if len(self.eigenvalues) else 0.0

    @property
    def smallest(self) -> float:
        """lambda_K^*, the smallest eigenvalue that is not zero."""
        return self.eigenvalues[-1].item() if len(self.eigenvalues) else float("nan")

    @property
    def conditioning(self) -> float:
        """lambda_K^* / lambda_K^1, from 0 to 1."""
        return self.smallest / self.largest if len(self.eigenvalues) else float("nan")


def gradient_covariance(
    model: nn.Module, x: Tensor, y: Tensor, group: int = 1, memory: int = 2**30
) -> GradientCovariance:
    """K = 1/n sum_i (g_i - g)(g_i - g)^T, g_i the mean gradient of the i-th `group` consecutive examples, g their mean.

    Jastrzebski et al. 2020, "The Break-Even Point on Optimization Trajectories of Deep Neural Networks", whose groups
    are mini-batches. x (B, ...), y (B,) class numbers, n = B / group; blocks of them are moved to the model's device.
    Gradients of the cross-entropy over the trained parameters, evaluation mode.

    K shares its non-zero eigenvalues, at most n - 1, with the centred Gram matrix (n, n) of the gradients, here in
    float64. Zero is what rounding alone can make of it: up to n eps64 lambda_K^1 + (8 eps G)^2, where eps is the
    precision of the gradients and G their largest norm.

    Cost: each gradient once if all fit into `memory` bytes, and otherwise about n / (2 m) times each, m being how
    many fit. Beyond `memory`: the (n, n) matrix and the activations of one backward pass, of 256 examples or a group.

    Raises ValueError for an empty batch and for a group that does not divide the batch into two or more: a smaller
    last group would be noisier than the others.
    """
    require_examples(len(x), "gradient_covariance")
    count, rest = divmod(len(x), group) if group > 0 else (0, 0)
    if count < 2 or rest:
        allowed = "a divisor of the number of examples that leaves two groups or more"
        raise ValueError(f"group: {group} is not allowed for {len(x)} examples; allowed: {allowed}")
    with evaluation_mode(model):
        gradients = _gradients(model, x.unflatten(0, (count, group)), y.unflatten(0, (count, group)))
        size = sum(p.numel() * p.element_size() for p in trainable(model))
        gram, norm, eps = _gram(gradients, count, *_rows(memory, size, group))
    return _spectrum(gram, norm * eps)


def _gradients(model: nn.Module, x: Tensor, y: Tensor) -> Callable[[int, int], Tensor]:
    """The function from a range of groups, first and end, to their gradients, one a row: (end - first, P).

    x (n, group, ...), y (n, group).
    """
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed |= {name: b.detach() for name, b in model.named_buffers()}
    device = next(iter(trained.values())).device

    def loss(parameters: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, (parameters, fixed), (images,)), labels)

    of_groups = vmap(grad(loss), in_dims=(None, 0, 0), randomness="error")

    def gradients(first: int, end: int) -> Tensor:
        parts = of_groups(trained, x[first:end].to(device), y[first:end].to(device))
        return torch.cat([part.flatten(1) for part in parts.values()], dim=1)

    return gradients


def _rows(memory: int, size: int, group: int) -> tuple[int, int]:
    """How many gradients of `size` bytes are held, and how many are computed at once beside them; one at least."""
    fit = memory // size
    # One is the origin. A chunk exists thrice: as computed, in rows, and as what differentiation needs on the way.
    chunk = max(1, min(_CHUNK_EXAMPLES // group, fit // 12))
    return max(1, fit - 1 - 3 * chunk), chunk


def _gram(gradients: Callable[[int, int], Tensor], count: int, rows: int, chunk: int) -> tuple[Tensor, float, float]:
    """The inner products (n, n) of the gradients minus the first, in float64, the largest norm, the precision.

    The first gradient as the origin takes away what all have in common before it can swamp, in the rounding of the
    products, that in which they differ; which origin it is, the centring undoes.
    """
    origin = gradients(0, 1)
    gram = torch.zeros(count, count, dtype=torch.float64, device=origin.device)
    held = origin.new_empty(min(rows, count), origin.shape[1])
    for first in range(0, count, rows):
        end = min(first + rows, count)
        for start in range(first, end, chunk):
            stop = min(start + chunk, end)
            held[start - first : stop - first] = gradients(start, stop).sub_(origin)
        block = held[: end - first]
        gram[first:end, first:end] = _inner(block, block)
        for start in range(end, count, chunk):
            stop = min(start + chunk, count)
            gram[first:end, start:stop] = _inner(block, gradients(start, stop).sub_(origin))
            gram[start:stop, first:end] = gram[first:end, start:stop].T
    norm = origin.norm().item() + gram.diagonal().max().sqrt().item()
    return gram, norm, torch.finfo(origin.dtype).eps


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """a b^T (A, B) in float64 of a (A, P) and b (B, P), with no float64 copy of the whole."""
    total = torch.zeros(len(a), len(b), dtype=torch.float64, device=a.device)
    width = max(1, _SLICE // (len(a) + len(b)))
    for left, right in zip(a.split(width, dim=1), b.split(width, dim=1)):
        total.addmm_(left.double(), right.double().T)
    return total


def _spectrum(gram: Tensor, rounding: float) -> GradientCovariance:
    """From the Gram matrix (n, n) about any origin to the spectrum; `rounding`: the error of one gradient."""
    count = len(gram)
    centred = gram - gram.mean(0)
    centred = (centred - centred.mean(1, keepdim=True)) / count
    if not centred.isfinite().all():
        return GradientCovariance(torch.full((1,), torch.nan, dtype=torch.float64), float("nan"))
    values = torch.linalg.eigvalsh(centred).flip(0).cpu()[:-1]  # centring leaves one eigenvalue of zero
    zero = count * torch.finfo(torch.float64).eps * values[0] + (8 * rounding) ** 2
    return GradientCovariance(values[values > zero], centred.trace().item())
