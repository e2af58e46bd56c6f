"""Squared norms of per-example gradients of one layer, from its input and the loss's gradient at its output.

For a layer that maps a_i to W a_i the gradient of example i is a sum of outer products over positions l,
sum_l g_il a_il^T, so its norm needs no backward pass of its own (Goodfellow 2015; for convolutions Rochette et al.
2019). Two forms are exact, and the cheaper one is taken: the product itself, or <G^T G, A^T A> over pairs of
positions, which never forms the gradient and wins where positions are few and channels many.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_CACHE_BYTES = 2**23  # what is formed at once on a CPU: as much as stays in its cache
_DEVICE_BYTES = 2**28  # and on other devices
_BLOCK = 16  # channels that oneDNN's kernels take together
_PAIR_COST = 8  # one pair of positions costs as much memory traffic as this many multiplications

Squares = dict[str, Tensor]  # parameter's name within its layer -> (B,)


def is_known(layer: nn.Module) -> bool:
    """Whether `squares` can serve this layer: an exact type, so that a subclass's own ways are not passed over."""
    if not {name for name, _ in layer.named_parameters()} <= {"weight", "bias"}:
        return False  # a reparametrised weight
    return type(layer) in _FORMS


def takes(layer: nn.Module, a: Tensor) -> bool:
    """Whether the layer's input a has its examples in the first dimension and a form that `squares` expects."""
    return a.dim() == 4 if type(layer) is nn.Conv2d else a.dim() >= 2


def squares(layer: nn.Module, a: Tensor, g: Tensor) -> Squares:
    """Squared norms (B,) of the gradients of a known layer's trained parameters, each example's alone.

    a: the layer's input, g: the gradient at its output, both (B, ...) as the layer takes and gives them.
    """
    trained = {name for name, p in layer.named_parameters() if p.requires_grad}
    return {name: value for name, value in _FORMS[type(layer)](layer, a, g, trained).items() if name in trained}


def _linear(layer: nn.Linear, a: Tensor, g: Tensor, trained: set[str]) -> Squares:
    if a.dim() == 2:
        return {"weight": a.square().sum(1) * g.square().sum(1), "bias": g.square().sum(1)}
    a, g = a.flatten(1, -2), g.flatten(1, -2)  # (B, T, inputs), (B, T, outputs)
    found = {"bias": g.sum(1).square().sum(1)}
    if "weight" in trained:
        positions, inputs, outputs = a.shape[1], a.shape[2], g.shape[2]
        if positions * (inputs + outputs) < inputs * outputs:
            found["weight"] = _paired(torch.bmm(a, a.mT), torch.bmm(g, g.mT))
        else:
            found["weight"] = torch.bmm(g.mT, a).square().sum((1, 2))
    return found


def _convolution(layer: nn.Conv2d, a: Tensor, g: Tensor, trained: set[str]) -> Squares:
    found = {"bias": g.sum((2, 3)).square().sum(1)}
    if "weight" in trained:
        a = _padded(layer, a)
        batch, groups = len(a), layer.groups
        if groups > 1:  # a group is a convolution of its own
            a = a.reshape(batch * groups, -1, *a.shape[2:])
            g = g.reshape(batch * groups, -1, *g.shape[2:])
        form = _by_pairs if _pairs_are_cheaper(layer, a, g) else _by_gradients
        found["weight"] = form(layer, a, g).view(batch, groups).sum(1)
    return found


def _padded(layer: nn.Conv2d, a: Tensor) -> Tensor:
    """The input with the layer's padding in it, so that all forms see a convolution without padding."""
    if layer.padding == "valid" or (layer.padding_mode == "zeros" and layer.padding == (0, 0)):
        return a
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size)]
        sides = [(total // 2, total - total // 2) for total in totals]
    else:
        sides = [(p, p) for p in layer.padding]
    (top, bottom), (left, right) = sides
    return F.pad(a, (left, right, top, bottom), "constant" if layer.padding_mode == "zeros" else layer.padding_mode)


def _pairs_are_cheaper(layer: nn.Conv2d, a: Tensor, g: Tensor) -> bool:
    """Multiplications for one example; a (N, C, P, Q) padded, g (N, O, H, W)."""
    offsets, pixels, positions = math.prod(layer.kernel_size), a[0, 0].numel(), g[0, 0].numel()
    gradient = positions * a.shape[1] * offsets * g.shape[1]
    pairs = pixels**2 * a.shape[1] + positions**2 * (g.shape[1] + offsets * _PAIR_COST)
    return pairs < gradient


def _by_pairs(layer: nn.Conv2d, a: Tensor, g: Tensor) -> Tensor:
    """||sum_l g_l u_l^T||^2 = sum_lm <g_l, g_m> <u_l, u_m>, u_l the patch at l.

    <u_l, u_m> is a sum over the kernel's offsets of products of single pixels, so patches are never laid out.
    """
    (height, width), (rows, columns) = a.shape[2:], g.shape[2:]
    pixels = torch.bmm(a.flatten(2).mT, a.flatten(2)).view(-1, height, width, height, width)
    patches = pixels.new_zeros(len(a), rows, columns, rows, columns)
    for y in range(layer.kernel_size[0]):
        for x in range(layer.kernel_size[1]):
            top, left = y * layer.dilation[0], x * layer.dilation[1]
            vertical = slice(top, top + (rows - 1) * layer.stride[0] + 1, layer.stride[0])
            horizontal = slice(left, left + (columns - 1) * layer.stride[1] + 1, layer.stride[1])
            patches += pixels[:, vertical, horizontal, vertical, horizontal]
    outputs = torch.bmm(g.flatten(2).mT, g.flatten(2))
    return _paired(patches.view_as(outputs), outputs)


def _paired(inputs: Tensor, outputs: Tensor) -> Tensor:
    return (inputs * outputs).sum((1, 2)).clamp_min(0)  # a sum of signed terms may round below zero


def _by_gradients(layer: nn.Conv2d, a: Tensor, g: Tensor) -> Tensor:
    """Gradients formed for some examples at a time."""
    onednn = a.device.type == "cpu" and a.dtype == torch.float32 and torch.backends.mkldnn.is_available()
    if onednn and not _grouped_kernel_is_fast(a, g):
        return _one_by_one(layer, a, g)
    form = _by_grouped_kernel if onednn else _by_patches
    each = math.prod(layer.kernel_size) * a.shape[1] * (g.shape[1] if onednn else max(g.shape[1], g[0, 0].numel()))
    size = max(1, (_CACHE_BYTES if a.device.type == "cpu" else _DEVICE_BYTES) // (each * a.element_size()))
    return torch.cat([form(layer, *part).square().sum(1) for part in zip(a.split(size), g.split(size))])


def _grouped_kernel_is_fast(a: Tensor, g: Tensor) -> bool:
    """It works in blocks of channels, and takes memory in the order examples, channels, pixels."""
    return g.shape[1] % _BLOCK == 0 and a.is_contiguous() and g.is_contiguous()


def _one_by_one(layer: nn.Conv2d, a: Tensor, g: Tensor) -> Tensor:
    """The plain kernel for each example: no slower than for all together where an example has work enough."""
    return torch.stack([_weight_gradient(layer, *one, 1).square().sum() for one in zip(a.split(1), g.split(1))])


def _weight_gradient(layer: nn.Conv2d, a: Tensor, g: Tensor, groups: int) -> Tensor:
    """Of a convolution without padding; only the shape of the weight matters."""
    weight = a.new_empty(()).expand(g.shape[1], a.shape[1] // groups, *layer.kernel_size)
    return torch.ops.aten.convolution_backward(
        g, a, weight, None, layer.stride, (0, 0), layer.dilation, False, (0, 0), groups, (False, True, False)
    )[1]


def _by_patches(layer: nn.Conv2d, a: Tensor, g: Tensor) -> Tensor:
    """The weight's gradient for each of N examples, (N, parameters)."""
    patches = F.unfold(a, layer.kernel_size, layer.dilation, 0, layer.stride)
    return torch.bmm(g.flatten(2), patches.mT).flatten(1)


def _by_grouped_kernel(layer: nn.Conv2d, a: Tensor, g: Tensor) -> Tensor:
    """The same by oneDNN's kernel for a grouped convolution, with an example in each group: no patches are laid out."""
    examples = len(a)
    a, g = a.reshape(1, -1, *a.shape[2:]), g.reshape(1, -1, *g.shape[2:])
    return _weight_gradient(layer, a, g, examples).reshape(examples, -1)


def _batch_norm(layer: nn.BatchNorm2d, a: Tensor, g: Tensor, trained: set[str]) -> Squares:
    normal = F.batch_norm(a, layer.running_mean, layer.running_var, eps=layer.eps)
    return _channels(normal, g)


def _group_norm(layer: nn.GroupNorm, a: Tensor, g: Tensor, trained: set[str]) -> Squares:
    return _channels(F.group_norm(a, layer.num_groups, eps=layer.eps), g)


def _channels(normal: Tensor, g: Tensor) -> Squares:
    """A scale and a shift for every channel (B, C, ...)."""
    normal, g = normal.reshape(*normal.shape[:2], -1), g.reshape(*g.shape[:2], -1)
    return {"weight": (normal * g).sum(2).square().sum(1), "bias": g.sum(2).square().sum(1)}


def _layer_norm(layer: nn.LayerNorm, a: Tensor, g: Tensor, trained: set[str]) -> Squares:
    normal = F.layer_norm(a, layer.normalized_shape, eps=layer.eps)
    size = math.prod(layer.normalized_shape)
    normal, g = normal.reshape(len(a), -1, size), g.reshape(len(a), -1, size)
    return {"weight": (normal * g).sum(1).square().sum(1), "bias": g.sum(1).square().sum(1)}


_FORMS = {
    nn.Linear: _linear,
    nn.Conv2d: _convolution,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.GroupNorm: _group_norm,
    nn.LayerNorm: _layer_norm,
}
