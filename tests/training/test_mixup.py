import torch
from torch.nn import functional as F

from catfish.training.mixup import mixed, mixed_loss


def test_inputs_are_convex_combinations_with_their_partners():
    source = torch.Generator().manual_seed(0)
    x = torch.eye(16)
    y = torch.arange(16)
    inputs, partners, weight = mixed(x, y, 1.0, source)
    assert torch.allclose(inputs, weight * x + (1 - weight) * x[partners])
    assert sorted(partners.tolist()) == y.tolist()


def test_lambda_has_the_moments_of_a_beta_distribution():
    source = torch.Generator().manual_seed(0)
    beta = 0.4
    x, y = torch.zeros(1, 1), torch.zeros(1, dtype=torch.long)
    weights = torch.stack([mixed(x, y, beta, source)[2] for _ in range(4000)])
    assert abs(weights.mean() - 0.5) < 0.03
    assert abs(weights.var() - 1 / (4 * (2 * beta + 1))) < 0.01


def test_the_loss_equals_cross_entropy_with_mixed_targets():
    logits = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    y, partners, weight = torch.tensor([0, 1, 2, 3, 0, 1]), torch.tensor([3, 1, 0, 2, 2, 0]), torch.tensor(0.3)
    targets = 0.3 * F.one_hot(y, 4).double() + 0.7 * F.one_hot(partners, 4).double()
    assert torch.allclose(mixed_loss(logits, y, partners, weight.double()), F.cross_entropy(logits, targets))
