"""The covariance of the gradient noise: the spectrum of K from the Gram matrix of explicit gradients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from catfish.curvature.data import Source, again, labelled
from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import trainable

_CHUNK_EXAMPLES = 256  # at most so many examples in one backward pass, whose activations no memory limit counts
_SLICE = 2**20  # numbers in the float64 copies that a product of gradients works on
_NAME = "gradient_covariance"
_CHANGED = f"{_NAME}: examples and labels do not match, or differ from one reading to the next; do not shuffle them"


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
    model: nn.Module,
    x: Source,
    y: Tensor | None = None,
    group: int = 1,
    memory: int = 2**30,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> GradientCovariance:
    """K = 1/n sum_i (g_i - g)(g_i - g)^T, g_i the mean gradient of the i-th `group` consecutive examples, g their mean.

    Jastrzebski et al. 2020, "The Break-Even Point on Optimization Trajectories of Deep Neural Networks", whose groups
    are mini-batches. x (B, ...), y (B,) class numbers, or batches of pairs, of which a group may take parts; n = B /
    group. They move to the model's device in blocks. Gradients over the trained parameters of loss(outputs, labels), a
    mean over examples; evaluation mode.

    K shares its non-zero eigenvalues, at most n - 1, with the centred Gram matrix (n, n) of the gradients, here in
    float64. Zero is what rounding alone can make of it: up to n eps64 lambda_K^1 + (8 eps G)^2, where eps is the
    precision of the gradients and G their largest norm.

    Cost: each gradient once if all fit into `memory` bytes, and otherwise about n / (2 m) times each, m being how
    many fit. Batches are read once more, for their labels. Beyond `memory`: the (n, n) matrix and the activations of
    one backward pass, of 256 examples or a group.

    Raises ValueError for no examples or labels, for more of one than of the other, for a group that does not
    divide the examples into two or more, since a smaller last group would be noisier than the others, and for batches
    that can be read only once or come in another order the next time, as from a loader that shuffles.
    """
    again(x, _NAME)
    if isinstance(x, Tensor) and y is not None:
        x, y = list(zip(x.split(_CHUNK_EXAMPLES), y.split(_CHUNK_EXAMPLES), strict=True)), None
    labels = torch.cat([own.cpu() for _, own in labelled(model, x, y, _NAME)])
    count, rest = divmod(len(labels), group) if group > 0 else (0, 0)
    if count < 2 or rest:
        allowed = "a divisor of the number of examples that leaves two groups or more"
        raise ValueError(f"group: {group} is not allowed for {len(labels)} examples; allowed: {allowed}")
    with evaluation_mode(model):
        size = sum(p.numel() * p.element_size() for p in trainable(model))
        rows, chunk = _rows(memory, size, group)
        gradients = _gradients(model, loss, group)

        def chunks(first: int) -> Iterator[tuple[int, Tensor]]:
            for start, images, own in _groups(labelled(model, x, y, _NAME), labels, group, chunk):
                if start >= first:
                    yield start, gradients(images, own)

        gram, norm, eps = _gram(chunks, count, rows)
    return _spectrum(gram, norm * eps)


def _groups(
    parts: Iterator[tuple[Tensor, Tensor]], known: Tensor, group: int, most: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """`most` groups at a time: the number of the first one, images (m, group, ...), labels (m, group).

    known (B,): all labels, as they were the first time. Raises ValueError if they differ now.
    """
    size, read = group * most, 0
    images, own = None, None
    for more in parts:
        images, own = more if images is None else (torch.cat([images, more[0]]), torch.cat([own, more[1]]))
        read += len(more[1])
        if len(images) != len(own) or not torch.equal(more[1].cpu(), known[read - len(more[1]) : read]):
            raise ValueError(_CHANGED)
        while len(own) >= (size if read < len(known) else 1):
            yield (read - len(own)) // group, *(t[:size].unflatten(0, (-1, group)) for t in (images, own))
            images, own = images[size:], own[size:]
    if read != len(known):
        raise ValueError(_CHANGED)


def _gradients(model: nn.Module, loss: Callable[..., Tensor], group: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The function from groups of images (m, group, ...) and labels (m, group) to their gradients (m, P).

    Groups one after the other: vmap is no faster there, and it loads torch's compiler, a second for every process.
    """
    return _of_examples(model, loss) if group == 1 else _of_groups(model, loss)


def _of_groups(model: nn.Module, loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    parameters = trainable(model)

    def gradient(images: Tensor, labels: Tensor) -> Tensor:
        value = loss(model(images), labels)
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters, materialize_grads=True)])

    return lambda x, y: torch.stack([gradient(images, labels) for images, labels in zip(x, y)])


def _of_examples(model: nn.Module, loss: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed |= {name: b.detach() for name, b in model.named_buffers()}

    def mean(parameters: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return loss(functional_call(model, (parameters, fixed), (images,)), labels)

    of_groups = vmap(grad(mean), in_dims=(None, 0, 0), randomness="error")
    return lambda x, y: torch.cat([part.flatten(1) for part in of_groups(trained, x, y).values()], dim=1)


def _rows(memory: int, size: int, group: int) -> tuple[int, int]:
    """How many gradients of `size` bytes are held, and how many are computed at once beside them; one at least."""
    fit = memory // size
    # One is the origin. A chunk exists thrice: as computed, in rows, and as what differentiation needs on the way.
    chunk = max(1, min(_CHUNK_EXAMPLES // group, fit // 12))
    return max(1, (fit - 1 - 3 * chunk) // chunk) * chunk, chunk


def _gram(chunks: Callable[[int], Iterator[tuple[int, Tensor]]], count: int, rows: int) -> tuple[Tensor, float, float]:
    """The inner products (n, n) of the gradients minus the first, in float64, the largest norm, the precision.

    chunks(first): the gradients from that number on, some at a time, with the number of the first of them; no chunk
    goes beyond a multiple of `rows`. The first gradient as the origin takes away what all have in common before it can
    swamp, in the rounding of the products, that in which they differ; which origin it is, the centring undoes.
    """
    gram, origin = torch.zeros(count, count, dtype=torch.float64), None
    for first in range(0, count, rows):
        end = min(first + rows, count)
        for start, gradients in chunks(first):
            if origin is None:
                origin = gradients[:1].clone()
                held, gram = origin.new_empty(end, origin.shape[1]), gram.to(origin.device)
            stop = start + len(gradients)
            gradients.sub_(origin)
            if start < end:
                held[start - first : stop - first] = gradients
            else:
                gram[first:end, start:stop] = _inner(held[: end - first], gradients)
                gram[start:stop, first:end] = gram[first:end, start:stop].T
        block = held[: end - first]
        gram[first:end, first:end] = _inner(block, block)
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
