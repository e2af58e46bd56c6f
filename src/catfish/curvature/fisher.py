"""The trace of the Fisher information matrix, and the quantity that the Fisher penalty uses in its place."""

import torch
from torch import Tensor, nn

from catfish.curvature.evaluation import evaluation_mode, require_examples
from catfish.curvature.per_example import per_example_gradient_norms
from catfish.gradients import loss_gradient, sample_labels, squared_norm, trainable


def fisher_trace(model: nn.Module, x: Tensor, generator: torch.Generator | None = None) -> float:
    """Tr(F) = E ||g(x, y^)||^2, y^ ~ p_theta(y|x) (eq. 2): the mean of true per-example squared norms.

    x (B, ...); one sampled label per example, so unbiased over the draws for the trace on these examples.
    `generator` on the model's device; None takes torch's global one. Evaluation mode. Raises ValueError for an empty
    batch.
    """
    require_examples(x, "fisher_trace")
    with evaluation_mode(model):
        with torch.no_grad():
            labels = sample_labels(model(x), generator)
        return per_example_gradient_norms(model, x, labels).square().mean().item()


def fisher_trace_minibatch(model: nn.Module, x: Tensor, generator: torch.Generator | None = None) -> float:
    """Tr(F^B) = ||1/B sum_i g(x_i, y^_i)||^2, y^_i ~ p_theta(y|x_i): what the Fisher penalty penalises (appendix C).

    x (B, ...). Since E g(x, y^) = 0 for sampled labels, its expectation is Tr(F) / B. Raises ValueError for an empty
    batch.
    """
    require_examples(x, "fisher_trace_minibatch")
    with evaluation_mode(model):
        logits = model(x)
        labels = sample_labels(logits, generator)
        return squared_norm(loss_gradient(logits, labels, trainable(model))).item()
