"""Measurements of a model's loss geometry; none changes parameters, buffers, modes, gradients or global randomness."""

from catfish.curvature.fisher import fisher_trace, fisher_trace_minibatch
from catfish.curvature.gradient import gradient_norm
from catfish.curvature.hessian import hessian_trace
from catfish.curvature.per_example import per_example_gradient_norms

__all__ = ["fisher_trace", "fisher_trace_minibatch", "gradient_norm", "hessian_trace", "per_example_gradient_norms"]
