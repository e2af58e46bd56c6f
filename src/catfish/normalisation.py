"""Batch norm in training mode whose gradients are differentiated again by fused kernels.

torch's own formula for the second derivative makes some thirty passes over tensors of the input's size. All that it
needs of them are five sums per channel; the rest is linear in what arrives.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """torch.nn.functional.batch_norm; evaluation mode, and layers without weight and bias, are left to torch."""
    if not training or weight is None or bias is None:
        return F.batch_norm(x, running_mean, running_var, weight, bias, training, momentum, eps)
    return _BatchNorm.apply(x, weight, bias, (running_mean, running_var), momentum, eps)


class _BatchNorm(torch.autograd.Function):
    """x (B, C, ...), the other tensors (C,); `running` is moved as torch moves it."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, running: tuple, momentum: float, eps: float):
        result, mean, inverse = torch.native_batch_norm(x, weight, bias, *running, True, momentum, eps)
        context.save_for_backward(x, weight, mean, inverse)
        return result

    @staticmethod
    def backward(context: Any, g: Tensor):
        return *_Gradients.apply(g, *context.saved_tensors), None, None, None


class _Gradients(torch.autograd.Function):
    """(g, x, weight) -> the gradients at x, weight and bias.

    With x^ = (x - mean) r, r = 1 / standard deviation, means over all but the channels, and the symmetric projection
    P z = z - <z> - x^ <z x^> these are  weight r P g,  sum g x^,  sum g.
    """

    @staticmethod
    def forward(context: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse: Tensor):
        g = _laid_out(g, x)
        at_x, at_weight, at_bias = _backward(g, x, weight, mean, inverse)
        context.save_for_backward(g, x, weight, mean, inverse, at_weight, at_bias)
        return at_x, at_weight, at_bias

    @staticmethod
    @once_differentiable
    def backward(context: Any, u: Tensor, v: Tensor, w: Tensor):
        """u, v, w: what arrives at the gradients of x, weight and bias.

        The scalar S = <u, weight r P g> + v sum g x^ + w sum g is differentiated: at g directly, at x through x^
        (where r P takes the derivative to x) and through r, whose derivative by x is -r^2 x^ / N.
        """
        g, x, weight, mean, r, gx, g1 = context.saved_tensors  # gx = sum g x^, g1 = sum g
        count, u = x.numel() // x.shape[1], _laid_out(u, x)
        at_g, ux, u1 = _backward(u, x, weight, mean, r)  # weight r P u, sum u x^, sum u
        ug = _backward(g, u, None, torch.zeros_like(mean), torch.ones_like(mean), (False, True, False))[1]
        inner = r * (ug - (u1 * g1 + ux * gx) / count)  # sum u r P g
        at_g += _affine(x, v * r, w - v * r * mean)
        by_u, by_g = -weight * r * gx / count, v - weight * r * ux / count  # the derivative by x^, in u and g
        along, constant = (by_u * ux + by_g * gx) / count, (by_u * u1 + by_g * g1) / count  # <. x^>, <.>
        by_x = -r * r * (along + weight * inner / count)
        at_x = _affine(u, r * by_u, -r * constant - by_x * mean)
        at_x += _affine(g, r * by_g, torch.zeros_like(mean))
        at_x += _affine(x, by_x, torch.zeros_like(mean))
        return at_g, at_x, inner, None, None


def _laid_out(g: Tensor, x: Tensor) -> Tensor:
    """g in x's order of memory; the kernels are slow for tensors of different orders."""
    return g if g.stride() == x.stride() else torch.empty_like(x).copy_(g)


def _backward(g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, inverse: Tensor, wanted=(True,) * 3):
    return torch.ops.aten.native_batch_norm_backward(g, x, weight, None, None, mean, inverse, True, 0.0, wanted)


def _affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """scale * x + shift per channel, rounded once to x's precision: the kernel of batch norm in evaluation mode."""
    return torch.native_batch_norm(x, scale, shift, torch.zeros_like(scale), torch.ones_like(scale), False, 0.0, 0.0)[0]
