"""Measurements of a model's loss geometry; none changes parameters, buffers, modes, gradients or global randomness."""

from catfish.curvature.allocation import Allocation, layer_names, loss_change_allocation
from catfish.curvature.covariance import GradientCovariance, gradient_covariance
from catfish.curvature.eigenvalues import fisher_eigenvalues, hessian_eigenvalues
from catfish.curvature.fisher import fisher_trace, fisher_trace_minibatch
from catfish.curvature.gradient import gradient_norm
from catfish.curvature.hessian import hessian_trace
from catfish.curvature.lanczos import Eigenpairs
from catfish.curvature.per_example import per_example_gradient_norms

__all__ = [
    "Allocation",
    "Eigenpairs",
    "GradientCovariance",
    "fisher_eigenvalues",
    "fisher_trace",
    "fisher_trace_minibatch",
    "gradient_covariance",
    "gradient_norm",
    "hessian_eigenvalues",
    "hessian_trace",
    "layer_names",
    "loss_change_allocation",
    "per_example_gradient_norms",
]
