"""Which examples are penalised, how the norm is differentiated, and what is shared with the training step."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish.penalties import PENALTIES, FisherPenalty, GradientPenalty

ALPHA = 0.3


def generator(seed=7):
    return torch.Generator().manual_seed(seed)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


# Examples and micro-batches


@pytest.mark.parametrize("name", ["gradient", "input_gradient"])
def test_only_the_first_examples_count(name, model, make_batch):
    x, y = make_batch(size=6)
    found = PENALTIES[name](model, ALPHA, first_examples=2).gradient(x, y)
    assert torch.equal(flat(found), flat(PENALTIES[name](model, ALPHA).gradient(x[:2], y[:2])))
    all_of_them = PENALTIES[name](model, ALPHA, first_examples=100).gradient(x, y)
    torch.testing.assert_close(flat(all_of_them), flat(PENALTIES[name](model, ALPHA).gradient(x, y)))


def test_one_example_is_equation_6(model, make_batch):
    """alpha ||g(x_1, y^_1)||^2 with the label drawn from the model's prediction for the first example."""
    x, _ = make_batch()
    label = torch.multinomial(model(x[:1]).detach().float().softmax(1), 1, generator=generator())[0]
    gradient = torch.autograd.grad(F.cross_entropy(model(x[:1]), label), list(model.parameters()))
    found = FisherPenalty(model, ALPHA, every=1, generator=generator(), first_examples=1).squared_norm(x)
    torch.testing.assert_close(found.detach(), flat(gradient).square().sum(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["gradient", "input_gradient"])
@pytest.mark.parametrize("derivative", ["double_backward", "finite_difference"])
def test_micro_batches_are_penalised_one_by_one(name, derivative, model, make_batch):
    x, y = make_batch(size=6)
    found = PENALTIES[name](model, ALPHA, micro_batch=2, derivative=derivative)
    single = PENALTIES[name](model, ALPHA, derivative=derivative)
    parts = [(x[i : i + 2], y[i : i + 2]) for i in (0, 2, 4)]
    torch.testing.assert_close(
        flat(found.gradient(x, y)), torch.stack([flat(single.gradient(*part)) for part in parts]).mean(0)
    )
    torch.testing.assert_close(
        found.squared_norm(x, y), torch.stack([single.squared_norm(*part) for part in parts]).mean()
    )


def test_micro_batches_must_divide_the_batch(model, make_batch):
    with pytest.raises(ValueError, match="micro_batch: 4 does not divide the 6 examples"):
        GradientPenalty(model, ALPHA, micro_batch=4).gradient(*make_batch(size=6))


# Finite differences


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_finite_differences_are_close_to_double_backward_on_a_smooth_network(name, model, make_batch):
    x, y = make_batch()
    exact = flat(PENALTIES[name](model, ALPHA, generator=generator()).gradient(x, y))
    before = flat(model.parameters()).clone()
    kept = x.clone()
    found = PENALTIES[name](model, ALPHA, generator=generator(), derivative="finite_difference").gradient(x, y)
    assert exact.norm() > 1e-3
    assert (flat(found) - exact).norm() < 0.02 * exact.norm()
    assert torch.equal(flat(model.parameters()), before)
    assert torch.equal(x, kept)


def test_the_error_of_finite_differences_shrinks_with_the_step(model, make_batch, monkeypatch):
    x, y = make_batch()
    exact = flat(GradientPenalty(model, ALPHA).gradient(x, y))
    errors = []
    for step in (1e-2, 1e-3, 1e-4):
        monkeypatch.setattr("catfish.penalties.penalty.STEP", step)
        found = flat(GradientPenalty(model, ALPHA, derivative="finite_difference").gradient(x, y))
        errors.append((found - exact).norm())
    assert errors[0] > 8 * errors[1] > 64 * errors[2]


def test_parameters_come_back_even_after_an_error(model, make_batch):
    x, y = make_batch()
    before = flat(model.parameters()).clone()
    calls = []

    def fail_at_the_second(*_):
        calls.append(1)
        if len(calls) == 2:
            raise KeyError

    model[0].register_forward_hook(fail_at_the_second)
    with pytest.raises(KeyError):
        GradientPenalty(model, ALPHA, derivative="finite_difference").gradient(x, y)
    assert torch.equal(flat(model.parameters()), before)


def test_a_vanishing_gradient_has_a_vanishing_penalty():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    x = torch.zeros(3, 1, 2, 2)
    found = GradientPenalty(model, ALPHA, derivative="finite_difference").gradient(x, torch.arange(3))
    assert flat(found).abs().max() < 1e-6


def test_finite_differences_under_autocast_are_those_without_it(make_batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 2, 3, stride=2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 4))
    x, y = make_batch()
    x = x.float()
    penalty = GradientPenalty(model, ALPHA, derivative="finite_difference")
    expected = penalty.gradient(x, y)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(x)
        found = penalty.gradient(x, y, logits)
    assert all(torch.equal(a, b) for a, b in zip(expected, found))


# Shared with the training step


@pytest.mark.parametrize("derivative", ["double_backward", "finite_difference"])
@pytest.mark.parametrize("name", sorted(set(PENALTIES) - {"input_gradient"}))
def test_logits_of_the_training_step_give_the_same_gradient_without_another_forward_pass(
    name, derivative, model, make_batch
):
    x, y = make_batch()
    kind = PENALTIES[name]
    expected = flat(kind(model, ALPHA, generator=generator(), derivative=derivative).gradient(x, y))
    passes = []
    model[0].register_forward_hook(lambda *_: passes.append(1))
    logits = model(x)
    F.cross_entropy(logits, y).backward(retain_graph=True)
    found = kind(model, ALPHA, generator=generator(), derivative=derivative).gradient(x, y, logits)
    torch.testing.assert_close(flat(found), expected, rtol=1e-12, atol=1e-15)
    assert len(passes) == (1 if derivative == "double_backward" else 2)


@pytest.mark.parametrize("derivative", ["double_backward", "finite_difference"])
def test_the_steps_statistics_move_once_with_shared_logits(derivative, make_batch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 4)).double()
    x, y = make_batch()
    logits = model(x)
    F.cross_entropy(logits, y).backward(retain_graph=True)
    GradientPenalty(model, ALPHA, derivative=derivative).gradient(x, y, logits)
    assert model[1].num_batches_tracked == 1
