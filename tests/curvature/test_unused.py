"""A trained layer that the loss does not use: its gradient is zero, and no measurement changes for it."""

import pytest
import torch
from torch import nn

from catfish.curvature import (
    fisher_eigenvalues,
    fisher_trace,
    fisher_trace_minibatch,
    gradient_covariance,
    gradient_norm,
    hessian_eigenvalues,
    hessian_trace,
    per_example_gradient_norms,
)

from .conftest import CLASSES, network


class WithUnused(nn.Module):
    def __init__(self, used):
        super().__init__()
        self.unused, self.used = nn.Linear(3, 2).double(), used

    def forward(self, x):
        return self.used(x)


def generator():
    return torch.Generator().manual_seed(0)


MEASUREMENTS = {
    "gradient_norm": gradient_norm,
    "per_example_gradient_norms": lambda model, x, y: per_example_gradient_norms(model, x, y).sum().item(),
    "fisher_trace": lambda model, x, y: fisher_trace(model, x, labels="expected"),
    "fisher_trace_minibatch": lambda model, x, y: fisher_trace_minibatch(model, x, generator()),
    "gradient_covariance": lambda model, x, y: gradient_covariance(model, x, y).trace,
    "hessian_eigenvalues": lambda model, x, y: hessian_eigenvalues(
        model, x, y, tolerance=1e-8, generator=generator()
    ).values.item(),
    "fisher_eigenvalues": lambda model, x, y: fisher_eigenvalues(
        model, x, tolerance=1e-8, generator=generator()
    ).values.item(),
}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_it_changes_nothing(name, batch):
    measure, model = MEASUREMENTS[name], network("batch norm")
    assert measure(WithUnused(model), *batch) == pytest.approx(measure(model, *batch), rel=1e-9)


def test_the_trace_of_the_hessian_is_that_without_it(batch):
    """Other probes, but with all of the rank of 7 (4 - 1) deflated only rounding is left to them."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, CLASSES)).double()
    traces = [
        hessian_trace(m, *batch, probes=2, generator=generator(), deflated=25)[0] for m in (model, WithUnused(model))
    ]
    assert traces[0] == pytest.approx(traces[1], rel=1e-8)
