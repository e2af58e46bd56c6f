"""The trace of the Fisher information matrix, and the quantity that the Fisher penalty uses in its place."""

import torch
from torch import Tensor, nn

from catfish.curvature.data import Source, batches
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.gradient import summed_gradient
from catfish.curvature.per_example import Tape, by_layer, portions, residuals
from catfish.gradients import sample_labels, squared_norm

LABELS = ("sampled", "expected", "given")


def fisher_trace(
    model: nn.Module,
    x: Source,
    y: Tensor | None = None,
    labels: str = "sampled",
    generator: torch.Generator | None = None,
    per_layer: bool = False,
) -> float | dict[str, float]:
    """Tr(F), the mean over examples of squared norms of single gradients g(x, y) of the cross-entropy (eq. 2).

    x (B, ...), or an iterable of batches (with labels: pairs). Which labels stand in g:

    - "sampled": one for each example from p_theta(y|x); unbiased for the trace on these examples. Costs about one
      forward and one backward pass.
    - "expected": the mean over all K classes, sum_k p(k|x) ||g(x, k)||^2: the trace itself, without sampling error.
      One forward and K backward passes. For a network of linear layers with piecewise linear activations, every
      parameter used once, this is also the trace of the loss's Hessian, whatever the labels: there H differs from
      F only off the diagonal.
    - "given": the data's y, the empirical Fisher; another matrix, biased as an estimate of F.

    With `per_layer` the part of each module with trained parameters of its own, by its name. `generator` on the
    model's device; None takes torch's global one. Evaluation mode. Raises ValueError for no examples, unknown
    `labels`, "given" without labels, and batch norm without running statistics.
    """
    if labels not in LABELS:
        raise ValueError(f"labels: {labels!r} is not allowed; allowed: {', '.join(LABELS)}")
    totals: dict[str, float] = {}
    count = 0
    with evaluation_mode(model):
        for inputs, own in portions(model, batches(model, x, y, "fisher_trace")):
            if labels == "given" and own is None:
                raise ValueError('fisher_trace: labels="given" needs labels; give y (B,), or batches (x, y)')
            tape = Tape(model, inputs)
            for name, squares in _squares(tape, labels, own, generator).items():
                totals[name] = totals.get(name, 0.0) + squares.sum().item()
            count += len(inputs)
    means = {name: value / count for name, value in totals.items()}
    return means if per_layer else sum(means.values())


def _squares(tape: Tape, labels: str, own: Tensor | None, generator: torch.Generator | None) -> dict[str, Tensor]:
    """Expected squared norms (B,) of the gradients of each layer's parameters."""
    if labels != "expected":
        chosen = sample_labels(tape.logits, generator) if labels == "sampled" else own
        return by_layer(tape.squares(residuals(tape.logits, chosen)))
    probabilities = tape.logits.detach().softmax(1)
    sums: dict[str, Tensor] = {}
    for label in range(probabilities.shape[1]):
        constant = torch.full_like(probabilities[:, 0], label, dtype=torch.int64)
        squares = by_layer(tape.squares(residuals(tape.logits, constant), again=True))
        for name, value in squares.items():
            sums[name] = sums.get(name, 0) + probabilities[:, label] * value
    return sums


def fisher_trace_minibatch(model: nn.Module, x: Source, generator: torch.Generator | None = None) -> float:
    """Tr(F^B) = ||1/B sum_i g(x_i, y^_i)||^2, y^_i ~ p_theta(y|x_i): what the Fisher penalty penalises (appendix C).

    x (B, ...), or an iterable of batches, then B counts all of them. Since E g(x, y^) = 0 for sampled labels, its
    expectation is Tr(F) / B. One forward and one backward pass. Raises ValueError for no examples.
    """
    with evaluation_mode(model):
        parts = ((inputs, None) for inputs, _ in batches(model, x, None, "fisher_trace_minibatch"))
        gradient, count = summed_gradient(model, parts, lambda logits, _: sample_labels(logits, generator))
    return squared_norm(gradient).item() / count**2
