"""Convolutions whose gradients are differentiated again at the price of plain convolutions.

torch's own formula for the second derivative of a convolution swaps batch and channels, which has slow kernels on
many processors. Written with the layer's own three kernels (output, input's gradient, weight's gradient) it costs what
its multiplications cost.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from catfish.concatenation import cat
from catfish.normalisation import batch_norm

Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]  # stride, padding, dilation, groups


class TwiceDifferentiable(TorchFunctionMode):
    """Within this context every two-dimensional convolution of a batch is of the kind above.

    So are batch norm in training mode and concatenation, see `catfish.normalisation` and `catfish.concatenation`.
    """

    def __torch_function__(self, function, types, arguments=(), named=None):
        named = named or {}
        if function is torch.conv2d:
            taken = _arguments(*arguments, **named)
            if taken is not None:
                return _Convolution.apply(*taken)
        if function is F.batch_norm:
            return batch_norm(*arguments, **named)
        if function is torch.cat:
            return cat(*arguments, **named)
        return function(*arguments, **named)


def _arguments(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1) -> tuple | None:
    """The arguments of torch.conv2d in one form; None for what is left to torch: named paddings, a single image."""
    if isinstance(padding, str) or input.dim() != 4:
        return None
    device = input.device.type
    if torch.is_autocast_enabled(device):  # which does not look into a function of one's own
        dtype = torch.get_autocast_dtype(device)
        input, weight, bias = input.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return input, weight, bias, (_pair(stride), _pair(padding), _pair(dilation), groups)


def _pair(value: int | tuple[int, ...] | list[int]) -> tuple[int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * 2 if len(values) == 1 else values


def _convolve(a: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    stride, padding, dilation, groups = geometry
    return torch.convolution(a, weight, bias, stride, padding, dilation, False, (0, 0), groups)


def _backward(g: Tensor, a: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]):
    """The gradients at the input and at the weight, None where not wanted."""
    stride, padding, dilation, groups = geometry
    return torch.ops.aten.convolution_backward(
        g, a, weight, None, stride, padding, dilation, False, (0, 0), groups, (*wanted, False)
    )[:2]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, a: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        context.save_for_backward(a, weight)
        context.geometry = geometry
        return _convolve(a, weight, bias, geometry)

    @staticmethod
    def backward(context: Any, g: Tensor):
        a, weight = context.saved_tensors
        wanted = tuple(context.needs_input_grad[:2])
        at_input, at_weight = _Gradients.apply(g, a, weight, context.geometry, wanted) if any(wanted) else (None, None)
        at_bias = g.sum((0, 2, 3)) if context.needs_input_grad[2] else None
        return at_input, at_weight, at_bias, None


class _Gradients(torch.autograd.Function):
    """(g, a, w) -> (gradient at a, gradient at w); linear in each of them, so its derivatives are the same kernels."""

    @staticmethod
    def forward(context: Any, g: Tensor, a: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, bool]):
        context.save_for_backward(g, a, weight)
        context.set_materialize_grads(False)
        context.geometry = geometry
        return _backward(g, a, weight, geometry, wanted)

    @staticmethod
    def backward(context: Any, u: Tensor | None, v: Tensor | None):
        """u, v: what arrives at the two gradients."""
        g, a, weight = context.saved_tensors
        geometry, wanted = context.geometry, context.needs_input_grad
        at_g = at_a = at_weight = None
        if wanted[0]:
            at_g = None if u is None else _convolve(u, weight, None, geometry)
            if v is not None:
                other = _convolve(a, v, None, geometry)
                at_g = other if at_g is None else at_g.add_(other)
        if wanted[1] and v is not None:
            at_a = _backward(g, a, v, geometry, (True, False))[0]
        if wanted[2] and u is not None:
            at_weight = _backward(g, u, weight, geometry, (False, True))[1]
        return at_g, at_a, at_weight, None, None
