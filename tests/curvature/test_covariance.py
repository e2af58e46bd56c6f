"""The spectrum of the gradient noise against the dense covariance of single gradients."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from catfish.curvature import covariance
from catfish.curvature.covariance import gradient_covariance
from catfish.gradients import square_loss

from .conftest import CLASSES, FAST, GENERIC, IMAGE, gradient_of, network, single_gradients


def group_gradients(model, x, y, group):
    """(n, P): gradients of single examples, averaged over each group."""
    return single_gradients(model, x, y).unflatten(0, (-1, group)).mean(1)


def dense_spectrum(gradients):
    """All eigenvalues of the (P, P) covariance matrix, descending."""
    return torch.linalg.eigvalsh(torch.cov(gradients.T, correction=0)).flip(0)


def check(found, gradients):
    exact = dense_spectrum(gradients)
    rank = min(len(gradients) - 1, gradients.shape[1])
    assert found.eigenvalues.dtype == torch.float64
    assert_close(found.eigenvalues, exact[:rank], rtol=1e-8, atol=1e-13 * exact[0].item())
    assert found.trace == pytest.approx(exact.sum().item(), rel=1e-10)
    assert found.largest == pytest.approx(exact[0].item(), rel=1e-10)
    assert found.smallest == pytest.approx(exact[rank - 1].item(), rel=1e-7)
    assert found.conditioning == pytest.approx((exact[rank - 1] / exact[0]).item(), rel=1e-7)


@pytest.fixture
def six(batch):
    """x (6, 2, 6, 5), y (6,)."""
    return batch[0][:6], batch[1][:6]


NETWORKS = ["plain", "batch norm", "one layer frozen", "one bias frozen", "group norm", "weight norm"]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("group", [1, 2])
def test_the_dense_covariance(name, group, six):
    model = network(name)
    check(gradient_covariance(model, *six, group), group_gradients(model, *six, group))


@pytest.mark.parametrize("name", FAST | GENERIC)
def test_every_network_has_the_trace_of_its_gradients(name, batch):
    model = network(name)
    gradients = single_gradients(model, *batch)
    expected = (gradients - gradients.mean(0)).square().sum(1).mean().item()
    assert gradient_covariance(model, *batch).trace == pytest.approx(expected, rel=1e-10)


def test_fewer_parameters_than_groups():
    """K has then at most P eigenvalues."""
    model = nn.Linear(1, 2).double()
    x, y = torch.randn(9, 1, dtype=torch.float64), torch.arange(9) % 2
    gradients = torch.stack([gradient_of(F.cross_entropy(model(a[None]), b[None]), model) for a, b in zip(x, y)])
    exact = dense_spectrum(gradients)
    found = gradient_covariance(model, x, y)
    assert len(found.eigenvalues) == 2  # the rows of both classes are opposite: rank 2 of 4
    assert_close(found.eigenvalues, exact[:2], rtol=1e-10, atol=0)


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("gradients_that_fit", [0, 1, 3, 5, 6, 7, 40])
def test_the_memory_changes_nothing(gradients_that_fit, group, six):
    model = network("batch norm")
    memory = gradients_that_fit * sum(p.numel() for p in model.parameters()) * 8
    check(gradient_covariance(model, *six, group, memory), group_gradients(model, *six, group))


@pytest.mark.parametrize("gradients_that_fit", [6, 12, 25, 50])
def test_the_memory_is_used_and_kept(gradients_that_fit, monkeypatch):
    """The gradients that are held, the origin and three times those computed at once: together not above it."""
    model = network("plain")
    held, streamed, inner = set(), set(), covariance._inner

    def recorded(a, b):
        (held if a is b else streamed).add(len(b))
        return inner(a, b)

    monkeypatch.setattr(covariance, "_inner", recorded)
    x, y = torch.randn(60, *IMAGE, dtype=torch.float64), torch.arange(60) % CLASSES
    gradient_covariance(model, x, y, memory=gradients_that_fit * sum(p.numel() for p in model.parameters()) * 8)
    used = max(held) + 1 + 3 * max(streamed)
    assert 0.9 * gradients_that_fit <= used <= gradients_that_fit


def test_repeated_examples_lower_the_rank(batch):
    """Seven examples, three of them twice: of rank six, not of rank nine."""
    model = network("plain")
    x, y = batch
    again = [0, 1, 2, 3, 4, 5, 6, 1, 3, 5]
    gradients = single_gradients(model, x[again], y[again])
    exact = dense_spectrum(gradients)
    for memory in (1, 2**30):
        found = gradient_covariance(model, x[again], y[again], memory=memory)
        assert len(found.eigenvalues) == 6
        assert found.smallest == pytest.approx(exact[5].item(), rel=1e-8)


def test_repeated_examples_lower_the_rank_in_float32(batch):
    x, y = batch[0].repeat(3, 1, 1, 1), batch[1].repeat(3)
    exact = gradient_covariance(network("deep"), x, y)
    found = gradient_covariance(network("deep").float(), x.float(), y)
    assert len(found.eigenvalues) == len(exact.eigenvalues) == 6
    assert_close(found.eigenvalues, exact.eigenvalues, rtol=1e-4, atol=0)


def test_rounding_does_not_count_as_rank_in_float32():
    """Gradients affine in 20 inputs: of rank 20 among 60 of them, although rounding of a large mean makes it 59."""
    model = nn.Linear(20, 3)
    x = 100 + 0.1 * torch.randn(60, 20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        model.weight.zero_()
        model.bias.copy_(torch.tensor([0.0, 1, 2]))
    slope = (model.bias.softmax(0) - torch.tensor([1.0, 0, 0])).double().square().sum().item()
    found = gradient_covariance(model, x, torch.zeros(60, dtype=torch.int64))
    assert len(found.eigenvalues) == 20
    assert found.smallest == pytest.approx(slope * dense_spectrum(x.double())[19].item(), rel=1e-3)


def test_equal_gradients_have_no_covariance(batch):
    found = gradient_covariance(network("deep"), batch[0][:1].repeat(4, 1, 1, 1), batch[1][:1].repeat(4))
    assert len(found.eigenvalues) == 0 and found.largest == 0
    assert found.trace == pytest.approx(0, abs=1e-20)
    assert found.smallest != found.smallest and found.conditioning != found.conditioning


@pytest.mark.parametrize("dtype, mean", [(torch.float32, 1e2), (torch.float64, 1e7)])
def test_a_large_mean_gradient_does_not_swamp_the_differences(dtype, mean):
    """Differences of 1e-3: the products of whole gradients differ by less than their dtype resolves."""
    model = nn.Linear(20, 3).to(dtype)
    x = mean + 1e-3 * torch.randn(12, 20, generator=torch.Generator().manual_seed(2), dtype=dtype)
    with torch.no_grad():
        model.weight.zero_()  # the gradients are affine in the inputs
        model.bias.copy_(torch.tensor([0.0, 1, 2]))
    slope = (model.bias.softmax(0) - torch.tensor([1.0, 0, 0])).double().square().sum().item()
    exact = slope * dense_spectrum(x.double())[:11]
    found = gradient_covariance(model, x, torch.zeros(12, dtype=torch.int64))
    assert exact[0] < torch.finfo(dtype).eps * slope * 20 * mean**2
    assert_close(found.eigenvalues[:8], exact[:8], rtol=0.02, atol=0)
    assert found.trace == pytest.approx(exact.sum().item(), rel=0.02)


def test_float32_agrees_with_float64(batch):
    x, y = batch
    exact = gradient_covariance(network("batch norm"), x, y)
    found = gradient_covariance(network("batch norm").float(), x.float(), y)
    assert_close(found.eigenvalues, exact.eigenvalues, rtol=1e-4, atol=0)


def test_a_gradient_that_is_not_finite_gives_nan(batch):
    model = network("plain")
    with torch.no_grad():
        model[-1].bias[0] = torch.nan
    found = gradient_covariance(model, *batch)
    for value in (found.largest, found.smallest, found.trace, found.conditioning):
        assert value != value


@pytest.mark.parametrize("group", [0, -1, 2, 6, 7])
def test_groups_that_do_not_divide_the_batch(group, batch):
    message = (
        f"group: {group} is not allowed for 7 examples; allowed: a divisor of the number of examples that leaves two"
    )
    with pytest.raises(ValueError, match=message):
        gradient_covariance(network("plain"), *batch, group)


def test_one_example_has_no_covariance(batch):
    with pytest.raises(ValueError, match="group: 1 is not allowed for 1 examples"):
        gradient_covariance(network("plain"), batch[0][:1], batch[1][:1])


def test_an_empty_batch(batch):
    with pytest.raises(ValueError, match="gradient_covariance: the batch is empty; allowed: one example or more"):
        gradient_covariance(network("plain"), batch[0][:0], batch[1][:0])


def test_labels_for_other_examples(batch):
    with pytest.raises(ValueError, match="examples and labels do not match"):
        gradient_covariance(network("plain"), batch[0][:6], batch[1])


@pytest.mark.parametrize("gradients_that_fit", [1, 3, 40])
@pytest.mark.parametrize("sizes", [[6], [1] * 6, [4, 1, 1], [5, 0, 1]])
@pytest.mark.parametrize("group", [1, 2, 3])
def test_batches_give_what_all_examples_together_give(group, sizes, gradients_that_fit, six):
    """Groups go across the batches' borders."""
    model = network("batch norm")
    memory = gradients_that_fit * sum(p.numel() for p in model.parameters()) * 8
    parts = list(zip(six[0].split(sizes), six[1].split(sizes)))
    found = gradient_covariance(model, parts, group=group, memory=memory)
    whole = gradient_covariance(model, *six, group, memory)
    assert_close(found.eigenvalues, whole.eigenvalues, rtol=1e-9, atol=0)
    assert found.trace == pytest.approx(whole.trace, rel=1e-12)


def test_a_loader_is_read_in_order_and_differentiated_in_chunks(batch, monkeypatch):
    model = network("plain")
    x, y = torch.randn(60, *IMAGE, dtype=torch.float64), torch.arange(60) % CLASSES
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    sizes, made = set(), covariance._gradients

    def recorded(*arguments):
        gradients = made(*arguments)
        return lambda images, labels: (sizes.add(len(images)), gradients(images, labels))[1]

    monkeypatch.setattr(covariance, "_gradients", recorded)
    found = gradient_covariance(model, loader, memory=24 * sum(p.numel() for p in model.parameters()) * 8)
    check(found, single_gradients(model, x, y))
    assert sizes == {2}


class Shuffled:
    """Batches that come in another order every time."""

    def __init__(self, x, y):
        self.x, self.y, self.shift = x, y, 0

    def __iter__(self):
        self.shift += 1
        return iter(zip(self.x.roll(self.shift, 0).split(2), self.y.roll(self.shift, 0).split(2)))


class Shrinking(Shuffled):
    def __iter__(self):
        self.shift += 1
        return iter([(self.x[self.shift :], self.y[self.shift :])])


@pytest.mark.parametrize("kind", [Shuffled, Shrinking])
def test_batches_that_change_are_refused(kind, batch):
    with pytest.raises(ValueError, match="differ from one reading to the next; do not shuffle"):
        gradient_covariance(network("plain"), kind(*batch))


def test_batches_that_cannot_be_read_twice_or_have_no_labels(batch):
    model, (x, y) = network("plain"), batch
    with pytest.raises(ValueError, match="gradient_covariance: an iterator can be read once"):
        gradient_covariance(model, iter([(x, y)]))
    with pytest.raises(ValueError, match="gradient_covariance: labels are needed"):
        gradient_covariance(model, [x])
    with pytest.raises(ValueError, match="gradient_covariance: labels are needed"):
        gradient_covariance(model, x)
    with pytest.raises(ValueError, match="gradient_covariance: with batches, labels belong into them"):
        gradient_covariance(model, [(x, y)], y)


@pytest.mark.parametrize("group", [1, 3])
def test_another_loss(group, batch):
    """The square loss of a linear network, whose gradients are known: (z - e_y) x^T and z - e_y."""
    x, y = (part[:6] for part in batch)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), CLASSES)).double()
    error = (model(x) - F.one_hot(y, CLASSES)).detach()
    single = torch.cat([(error[:, :, None] * x.flatten(1)[:, None]).flatten(1), error], dim=1)
    found = gradient_covariance(model, x, y, group=group, loss=square_loss)
    check(found, single.unflatten(0, (-1, group)).mean(1))


def test_groups_load_no_compiler():
    code = """
import sys, torch
from catfish.curvature import gradient_covariance
gradient_covariance(torch.nn.Linear(2, 2), torch.randn(8, 2), torch.arange(8) % 2, group=4)
print("torch._dynamo" in sys.modules)
"""
    source = Path(__file__).parents[2] / "src"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env={"PYTHONPATH": str(source)}, check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"
