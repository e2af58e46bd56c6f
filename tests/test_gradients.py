import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish.gradients import (
    LOSSES,
    full_precision,
    loss_gradient,
    rounds,
    sample_labels,
    squared_norm,
    trainable,
    uniform_labels,
)

DRAWS = 20_000
# 0.999 quantiles of chi-square with 4 degrees of freedom: exceeded by a right sampler once in a thousand seeds.
CRITICAL = 18.47


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def chi_square(labels, probabilities):
    expected = probabilities * len(labels)
    return ((torch.bincount(labels, minlength=len(probabilities)) - expected).square() / expected).sum().item()


def test_sampled_labels_follow_the_softmax():
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, 0.5])
    probabilities = logits.exp() / logits.exp().sum()
    labels = sample_labels(logits.expand(DRAWS, 5), generator())
    assert chi_square(labels, probabilities) < CRITICAL
    assert chi_square(labels, torch.full((5,), 0.2)) > 100 * CRITICAL


def test_uniform_labels_are_uniform_whatever_the_logits():
    logits = torch.tensor([9.0, 0.0, -1.0, 1.0, 0.5])
    labels = uniform_labels(logits.expand(DRAWS, 5), generator())
    assert chi_square(labels, torch.full((5,), 0.2)) < CRITICAL


def test_every_row_has_a_distribution_of_its_own():
    logits = torch.full((6, 6), -1e9).fill_diagonal_(0.0)
    assert sample_labels(logits, generator()).tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("sampler", [sample_labels, uniform_labels])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_labels_are_class_numbers(sampler, dtype):
    logits = torch.zeros(50, 3, dtype=dtype, requires_grad=True)
    labels = sampler(logits, generator())
    assert labels.shape == (50,) and labels.dtype == torch.int64 and not labels.requires_grad
    assert set(labels.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("sampler", [sample_labels, uniform_labels])
def test_the_generator_alone_decides_and_the_global_one_rests(sampler):
    logits = torch.randn(40, 5)
    before = torch.get_rng_state()
    first, again, other = (sampler(logits, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again) and not torch.equal(first, other)
    sampler(logits)
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_model_that_diverged_still_gets_labels(broken):
    """The loss tells that a run diverged; an error of the sampler would end it before the loss is read."""
    logits = torch.tensor([[0.0, broken, 0.0], [0.0, 50.0, 0.0]]).repeat(200, 1)
    labels = sample_labels(logits, generator())
    assert set(labels[::2].tolist()) == {0, 1, 2}
    assert set(labels[1::2].tolist()) == {1}


@pytest.mark.parametrize("dtype, digits", [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_loss_gradient_against_the_formula(dtype, digits):
    """For logits themselves the mean cross-entropy's gradient is (softmax - one-hot) / B, in their own precision."""
    logits = torch.randn(6, 4, generator=generator(), dtype=dtype, requires_grad=True)
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    (gradient,) = loss_gradient(logits, labels, [logits])
    exact = (logits.detach().double().softmax(1) - F.one_hot(labels, 4)) / 6
    assert gradient.dtype == dtype and not gradient.requires_grad
    torch.testing.assert_close(gradient.double(), exact, rtol=digits, atol=digits)


def test_the_loss_of_low_precision_logits_is_taken_in_float32():
    logits = torch.randn(6, 4, generator=generator()).bfloat16().requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    (gradient,) = loss_gradient(logits, labels, [logits])
    exact = (logits.detach().float().softmax(1) - F.one_hot(labels, 4)) / 6
    assert torch.equal(gradient, exact.bfloat16())


def test_a_differentiable_gradient_can_be_differentiated():
    weight = torch.randn(3, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    x, labels = torch.randn(5, 3, generator=generator(1), dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    check = torch.autograd.gradcheck
    assert check(lambda w: squared_norm(loss_gradient(x @ w, labels, [w], differentiable=True)), [weight])


@pytest.mark.parametrize("differentiable", [False, True])
def test_the_gradient_at_what_the_loss_does_not_use_is_zero(differentiable):
    weight, unused = (torch.randn(3, 4, generator=generator(), requires_grad=True) for _ in range(2))
    x, labels = torch.randn(5, 3, generator=generator(1)), torch.tensor([0, 1, 2, 3, 0])
    alone = loss_gradient(x @ weight, labels, [weight], differentiable)
    both = loss_gradient(x @ weight, labels, [unused, weight], differentiable)
    assert torch.equal(both[0], torch.zeros(3, 4)) and torch.equal(both[1], alone[0])
    if differentiable:
        second = torch.autograd.grad(squared_norm(both), [weight, unused], materialize_grads=True)
        assert torch.equal(second[0], torch.autograd.grad(squared_norm(alone), weight)[0])
        assert torch.equal(second[1], torch.zeros(3, 4))


def test_squared_norm_is_over_all_entries_of_all_tensors():
    assert squared_norm([torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [4.0]])]).item() == 30.0


@pytest.mark.parametrize("dtype, result", [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_squared_norm_accumulates_in_at_least_float32(dtype, result):
    """In bfloat16 a sum of 1000 ones would stop at 256."""
    norm = squared_norm([torch.ones(1000, dtype=dtype), torch.ones(3, dtype=dtype)])
    assert norm.dtype == result and norm.item() == 1003.0


def test_trainable_leaves_out_what_is_frozen_and_counts_what_is_tied_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight.requires_grad_(False)
    model[2].weight = model[0].weight
    expected = [model[0].weight, model[0].bias, model[1].bias, model[2].bias]
    assert [id(p) for p in trainable(model)] == [id(p) for p in expected]


def test_the_square_loss_is_half_the_squared_distance_to_the_labels_unit_vector():
    outputs = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.5, -1.0]], dtype=torch.float64)
    labels, losses = torch.tensor([1, 2]), [(1 + 1 + 0) / 2, (0 + 0.25 + 4) / 2]
    square = LOSSES["square"]
    assert square(outputs, labels, reduction="none").tolist() == losses
    assert square(outputs, labels).item() == sum(losses) / 2
    model = nn.Linear(3, 3).double()
    weight, _ = loss_gradient(model(outputs), labels, list(model.parameters()), loss=square)
    error = model(outputs) - F.one_hot(labels, 3)
    assert torch.allclose(weight, error.T @ outputs / 2, rtol=1e-12)


def test_full_precision_turns_off_what_rounds_and_leaves_the_settings_as_they_were():
    convolutions, recurrent = torch.backends.cudnn.conv, torch.backends.cudnn.rnn
    assert rounds("cuda") and not rounds("cpu")  # PyTorch's defaults
    with full_precision("cpu"):
        assert not rounds("cuda")
    assert rounds("cuda")
    with torch.autocast("cpu", torch.bfloat16):
        assert rounds("cpu")
        with full_precision("cpu"):
            assert not rounds("cpu")
    try:
        convolutions.fp32_precision = recurrent.fp32_precision = "ieee"  # the newer switches, set by somebody else
        with full_precision("cpu"):
            assert not rounds("cuda")
        assert convolutions.fp32_precision == recurrent.fp32_precision == "ieee"
    finally:
        convolutions.fp32_precision = recurrent.fp32_precision = "tf32"
