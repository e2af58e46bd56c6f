"""The Jacobian penalties against the whole Jacobian of the logits, and finite differences of the norm."""

import pytest
import torch
from torch.func import functional_call, jacrev

from catfish.penalties import AverageJacobianPenalty, UnitJacobianPenalty

ALPHA = 0.3


def generator():
    return torch.Generator().manual_seed(7)


def directions(classes=4):
    unit = torch.randn(classes, generator=generator())
    return {AverageJacobianPenalty: torch.full((classes,), 1 / classes), UnitJacobianPenalty: unit / unit.norm()}


def norm_at(model, x, u, vector):
    """||mean over examples of J^T u||^2 with all parameters in one vector, from the whole Jacobian."""
    names, tensors = zip(*model.named_parameters())

    def logits(flat):
        parts = flat.split([t.numel() for t in tensors])
        return functional_call(model, {n: p.view_as(t) for n, p, t in zip(names, parts, tensors)}, (x,))

    jacobian = jacrev(logits)(vector)  # (B, K, P)
    return torch.einsum("bkp,k->p", jacobian, u.double()).div(len(x)).square().sum()


@pytest.mark.parametrize("kind", [AverageJacobianPenalty, UnitJacobianPenalty])
def test_norm_and_gradient(kind, model, make_batch):
    x, _ = make_batch()
    u = directions()[kind]
    vector = torch.cat([p.detach().flatten() for p in model.parameters()])
    penalty = kind(model, ALPHA, generator=generator())
    torch.testing.assert_close(penalty.squared_norm(x).detach(), norm_at(model, x, u, vector), rtol=1e-6, atol=0)
    step = 1e-5
    basis = torch.eye(len(vector), dtype=torch.float64) * step
    exact = torch.stack([(norm_at(model, x, u, vector + e) - norm_at(model, x, u, vector - e)) for e in basis])
    found = kind(model, ALPHA, generator=generator()).gradient(x)
    found = torch.cat([g.flatten() for g in found])
    assert found.norm() > 1e-3
    torch.testing.assert_close(found, ALPHA * exact / (2 * step), rtol=1e-5, atol=1e-9)


def test_directions_are_of_unit_length_and_drawn_anew(model, make_batch):
    x, _ = make_batch()
    penalty = UnitJacobianPenalty(model, ALPHA, generator=generator())
    first, second = (penalty.draw(model(x), None) for _ in range(2))
    assert first.norm().item() == pytest.approx(1)
    assert not torch.equal(first, second)
