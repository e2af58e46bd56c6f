"""Norms of the gradients of single examples, without a backward pass for each.

For a layer that maps a_i to W a_i, the gradient of example i is an outer product of its input and of the loss's
gradient at its output, so its norm follows from one batched backward pass (Goodfellow 2015; for convolutions
Rochette et al. 2019). Models with any other parametrised layer take the generic path, which is as exact.
"""

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F

from catfish.curvature.evaluation import evaluation_mode, require_examples

_CHUNK_BYTES = 2**29  # memory for gradients held at once on the generic path


def per_example_gradient_norms(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """||g(x_i, y_i)|| for every example, over the trained parameters; x (B, ...), y (B,) -> (B,).

    g(x, y) is the gradient of the cross-entropy of one example. Evaluation mode; exact up to rounding for every
    model whose output for an example depends on that example alone, and whose Linear and Conv2d layers, if it has no
    other layers with parameters, are used by calling them. Raises ValueError for an empty batch.
    """
    require_examples(x, "per_example_gradient_norms")
    with evaluation_mode(model):
        layers = _supported_layers(model)
        norms = None if layers is None else _layerwise(model, layers, x, y)
        return _generic(model, x, y) if norms is None else norms


def _supported_layers(model: nn.Module) -> list[nn.Module] | None:
    """The modules that hold trained parameters, if each is of a kind that `_squared` knows."""
    layers = []
    for module in model.modules():
        if not any(p.requires_grad for p in module.parameters(recurse=False)):
            continue
        plain = type(module) is nn.Linear or (
            type(module) is nn.Conv2d
            and module.groups == 1
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        )
        own = dict(module.named_parameters(recurse=False))  # others than these two if the weight is reparametrised
        if not plain or not own.keys() <= {"weight", "bias"} or not all(p.requires_grad for p in own.values()):
            return None
        layers.append(module)
    parameters = [p for layer in layers for p in layer.parameters(recurse=False)]
    shared = len({id(p) for p in parameters}) != len(parameters)
    return None if shared else layers


def _layerwise(model: nn.Module, layers: list[nn.Module], x: Tensor, y: Tensor) -> Tensor | None:
    calls: list[tuple[nn.Module, Tensor, GradientEdge]] = []

    def record(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        # The edge stays that of the layer's output when a ReLU then overwrites the tensor in place.
        calls.append((layer, inputs[0].detach(), get_gradient_edge(output)))

    hooks = [layer.register_forward_hook(record) for layer in layers]
    try:
        logits = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    once = sorted(id(m) for m, _, _ in calls) == sorted(map(id, layers))
    rows = all(len(a) == len(x) and a.dim() == (2 if isinstance(m, nn.Linear) else 4) for m, a, _ in calls)
    if not once or not rows:
        return None  # used twice or on sequences: contributions are added before the norm; or not called, but used
    loss = F.cross_entropy(logits, y, reduction="sum")
    gradients = torch.autograd.grad(loss, [output for _, _, output in calls])
    squares = [_squared(m, a, g) for (m, a, _), g in zip(calls, gradients)]
    return torch.stack(squares).sum(0).sqrt()


def _squared(layer: nn.Module, a: Tensor, g: Tensor) -> Tensor:
    """Squared norms (B,) of a layer's per-example gradients, from its input a and the loss's gradient g at its output.

    a, g: (B, features) of a Linear, (B, channels, height, width) of a Conv2d.
    """
    if isinstance(layer, nn.Linear):
        return a.square().sum(1) * g.square().sum(1) + (0 if layer.bias is None else g.square().sum(1))
    g = g.flatten(2)  # (B, O, L), L output positions
    patches = F.unfold(a, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # (B, C*k*k, L)
    inputs, outputs, positions = patches.shape[1], g.shape[1], g.shape[2]
    if positions * (inputs + outputs) < inputs * outputs:  # ||G U^T||^2 = <G^T G, U^T U>, the smaller product
        squares = (torch.bmm(patches.mT, patches) * torch.bmm(g.mT, g)).sum((1, 2))
        squares = squares.clamp_min(0)  # a sum of signed terms may round below zero
    else:
        squares = torch.bmm(g, patches.mT).square().sum((1, 2))
    return squares + (0 if layer.bias is None else g.sum(2).square().sum(1))


def _generic(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Explicit per-example gradients by vectorised differentiation, a chunk of examples at a time."""
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed |= {name: b.detach() for name, b in model.named_buffers()}

    def loss(parameters: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, (parameters, fixed), (one[None],))
        return F.cross_entropy(logits, label[None])

    def norm(one: Tensor, label: Tensor) -> Tensor:
        gradients = torch.func.grad(loss)(trained, one, label)
        return torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()

    bytes_each = sum(p.numel() * p.element_size() for p in trained.values())
    chunk = max(1, _CHUNK_BYTES // max(1, bytes_each))
    return torch.func.vmap(norm, chunk_size=chunk, randomness="error")(x, y)
