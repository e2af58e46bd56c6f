"""What training, penalties and curvature share: losses, gradients, sampled labels, weights that are moved."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

TINY = 1e-12  # least norm that is divided by
# On NVIDIA GPUs PyTorch rounds the factors of convolutions to TensorFloat-32, 10 bits, unless told otherwise.
_ROUNDED_ON_CUDA = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)


def rounds(device: str) -> bool:
    """Whether the factors of products and convolutions are rounded on this type of device, by autocast or TF32."""
    on_cuda = device == "cuda" and any(operation.fp32_precision == "tf32" for operation in _ROUNDED_ON_CUDA)
    return on_cuda or torch.is_autocast_enabled(device)


@contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Without autocast and without TensorFloat-32 for as long as the block lasts."""
    before = [operation.fp32_precision for operation in _ROUNDED_ON_CUDA]
    try:
        _allow_tf32(convolutions=False, products=False)
        with torch.autocast(device, enabled=False):
            yield
    finally:
        _allow_tf32(convolutions=before[0] == "tf32", products=before[-1] == "tf32")
        for operation, precision in zip(_ROUNDED_ON_CUDA, before):
            if operation.fp32_precision != precision:
                operation.fp32_precision = precision


def _allow_tf32(convolutions: bool, products: bool) -> None:
    """By PyTorch's older switches: after the newer ones alone, whatever looks at the older ones fails."""
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def trainable(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are trained: the theta of every formula here."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def sample_labels(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One label for each row of logits (B, K), drawn from softmax(logits); (B,) int64, on the logits' device.

    `generator` must live on that device; None takes torch's global one. A row with a NaN, or with +inf, has no
    distribution: its label is uniform, so a run that diverges ends by its loss and not in an error of the sampler.
    """
    probabilities = logits.detach().float().softmax(dim=1).nan_to_num(nan=1.0)
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1)


def uniform_labels(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One label for each row of logits (B, K), drawn uniformly over the classes; (B,) int64."""
    size = (logits.shape[0],)
    return torch.randint(logits.shape[1], size, generator=generator, device=logits.device)


def square_loss(outputs: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """1/2 ||z - e_y||^2 of outputs z (B, K) and labels y (B,), e_y with 1 at the label and 0 elsewhere (Cohen et al.
    2021): its mean over the examples (), or with reduction "none" all of them (B,).
    """
    targets = labels[:, None] == torch.arange(outputs.shape[1], device=labels.device)  # one_hot is not for vmap
    losses = (outputs - targets.to(outputs.dtype)).square().sum(1) / 2
    return losses.mean() if reduction == "mean" else losses


LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": F.cross_entropy, "square": square_loss}


def loss_gradient(
    logits: Tensor,
    labels: Tensor,
    inputs: list[Tensor],
    differentiable: bool = False,
    loss: Callable[..., Tensor] = F.cross_entropy,
) -> list[Tensor]:
    """The gradient of the mean loss with respect to each of `inputs`; zero for one that it does not use.

    logits (B, K), labels (B,) class numbers; with `differentiable` the result can be differentiated again.
    """
    value = loss(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)
    return list(torch.autograd.grad(value, inputs, create_graph=differentiable, materialize_grads=True))


def squared_norm(tensors: list[Tensor]) -> Tensor:
    """The squared Euclidean norm of all entries together, accumulated in at least float32."""
    return torch.stack(
        [tensor.to(torch.promote_types(tensor.dtype, torch.float32)).square().sum() for tensor in tensors]
    ).sum()


def forward_aside(model: nn.Module, x: Tensor) -> Tensor:
    """The model's output on x (B, ...), (B, K); a batch norm's running statistics are not moved a second time."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, buffers, (x,)) if buffers else model(x)


@contextmanager
def moved(tensors: list[Tensor], direction: Sequence[Tensor], step: Tensor) -> Iterator[None]:
    """Each tensor moved by `step` along its direction; afterwards it is what it was, to the bit."""
    kept = [tensor.detach().clone() for tensor in tensors]
    with torch.no_grad():
        for tensor, along in zip(tensors, direction):
            tensor.add_(along * step)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, before in zip(tensors, kept):
                tensor.copy_(before)
