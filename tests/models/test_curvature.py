"""The curvature package serves every architecture exactly, batch norm in evaluation mode included."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from catfish.curvature import fisher_trace, hessian_trace, per_example_gradient_norms
from catfish.models import BUILDERS, FIXED_DEPTH, build

CLASSES = 3


def network(name, width=0.1):
    """One block a stage in float64, away from its initialisation, batch norm having seen data; and a batch."""
    torch.manual_seed(0)
    model = build(name, CLASSES, width, 1.0 if name in FIXED_DEPTH else 0.01).double()
    x, y = torch.randn(4, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 2, 1, 1])
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() < 2 or not p.any():
                p += 0.1 * torch.randn_like(p)
        model(x)
    return model, x, y


def squared_norms(model, x, y):
    """One pass forwards and backwards for every example, in evaluation mode."""
    model.eval()
    found = []
    for image, label in zip(x, y):
        loss = F.cross_entropy(model(image[None]), label[None])
        found.append(sum(g.square().sum() for g in torch.autograd.grad(loss, list(model.parameters()))))
    model.train()
    return torch.stack(found)


@pytest.mark.parametrize("name", BUILDERS)
def test_norms_and_fisher_trace_are_those_of_explicit_gradients(name):
    model, x, y = network(name)
    exact = squared_norms(model, x, y)
    assert (exact > 1e-4).all()
    assert_close(per_example_gradient_norms(model, x, y), exact.sqrt(), rtol=1e-9, atol=0)

    probabilities = model.eval()(x).softmax(1).detach()
    labels = torch.arange(CLASSES)[:, None].expand(-1, len(x))
    squares = torch.stack([squared_norms(model, x, of_class) for of_class in labels], dim=1)
    trace = (probabilities * squares).sum(1).mean().item()
    assert fisher_trace(model, x, labels="expected") == pytest.approx(trace, rel=1e-9)


@pytest.mark.parametrize("name", ["resnet32", "wresnet44_3_skipinit"])
def test_the_trace_of_the_hessian_is_that_of_the_fisher_matrix(name):
    """Each path through these networks uses a parameter at most once, so logits are piecewise linear in every one."""
    model, x, y = network(name, width=0.005)
    size = sum(p.numel() for p in model.parameters())
    generator = torch.Generator().manual_seed(2)
    trace, _ = hessian_trace(model, x, y, probes=2, generator=generator, deflated=size - 1)
    assert trace == pytest.approx(fisher_trace(model, x, labels="expected"), rel=1e-6)
