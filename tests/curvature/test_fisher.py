"""Tr(F) and Tr(F^B) against their exact expectations, sums over all classes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from catfish.curvature import fisher_trace, fisher_trace_minibatch

from .conftest import CLASSES, dense_hessian, exact_trace, network, single_gradients

NETWORKS = ["deep", "batch norm"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn_labels(model, x, seed=0):
    """What a measurement with `generator(seed)` draws from the model in evaluation mode."""
    probabilities = model.eval()(x).detach().exp()
    model.train()
    return torch.multinomial((probabilities / probabilities.sum(1, keepdim=True)).float(), 1, generator=generator(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_tr_f_is_the_mean_squared_norm_with_the_drawn_labels(name, batch):
    model, x = network(name), batch[0]
    labels = drawn_labels(model, x).squeeze(1)
    exact = single_gradients(model, x, labels).square().sum(1).mean().item()
    assert fisher_trace(model, x, generator=generator()) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_tr_f_of_the_minibatch_is_the_squared_norm_of_the_mean_gradient(name, batch):
    model, x = network(name), batch[0]
    labels = drawn_labels(model, x).squeeze(1)
    exact = single_gradients(model, x, labels).mean(0).square().sum().item()
    assert fisher_trace_minibatch(model, x, generator()) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("estimator", [fisher_trace, fisher_trace_minibatch])
def test_the_mean_over_draws_is_the_exact_trace(estimator, batch):
    """The mini-batch form's expectation is Tr(F) / B, since gradients with sampled labels have mean zero."""
    model, x = network("batch norm"), batch[0]
    exact = exact_trace(model, x) / (len(x) if estimator is fisher_trace_minibatch else 1)
    source = generator(3)
    draws = torch.tensor([estimator(model, x, generator=source) for _ in range(1500)])
    error = draws.std().item() / len(draws) ** 0.5
    assert error < 0.03 * exact
    assert abs(draws.mean().item() - exact) < 3.5 * error


def test_labels_come_from_the_model_and_not_from_a_uniform_draw(batch):
    """A certain model draws its own label, whose gradient vanishes."""
    model = network("plain")
    with torch.no_grad():
        model[-1].bias.copy_(torch.tensor([0.0, 200, 0, 0]))
    assert fisher_trace(model, batch[0], generator=generator()) == pytest.approx(0, abs=1e-20)
    assert fisher_trace_minibatch(model, batch[0], generator()) == pytest.approx(0, abs=1e-20)


def test_the_generator_decides(batch):
    model = network("plain")
    assert fisher_trace(model, batch[0], generator=generator(1)) == fisher_trace(
        model, batch[0], generator=generator(1)
    )
    assert fisher_trace(model, batch[0], generator=generator(1)) != fisher_trace(
        model, batch[0], generator=generator(2)
    )


def test_a_network_that_blew_up_gives_nan(batch):
    """A diverging run is measured as what it is and not stopped by an error of the sampler."""
    model = network("plain")
    with torch.no_grad():
        model[0].weight.fill_(float("inf"))
    assert fisher_trace(model, batch[0], generator=generator()) != fisher_trace(model, batch[0], generator=generator())


@pytest.mark.parametrize("name", [*NETWORKS, "tied weights", "a parameter of its own"])
def test_expected_labels_give_the_exact_trace(name, batch):
    model, x = network(name), batch[0]
    assert fisher_trace(model, x, labels="expected") == pytest.approx(exact_trace(model, x), rel=1e-9)


def test_given_labels_give_the_empirical_fisher(batch):
    model = network("batch norm")
    exact = single_gradients(model, *batch).square().sum(1).mean().item()
    assert fisher_trace(model, *batch, labels="given") == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("labels", ["sampled", "expected", "given"])
def test_layers_add_up_to_the_whole(labels, batch):
    model = network("batch norm")
    parts = fisher_trace(model, *batch, labels=labels, generator=generator(), per_layer=True)
    assert list(parts) == ["0", "1", "4"]  # convolution, batch norm, dense
    whole = fisher_trace(model, *batch, labels=labels, generator=generator())
    assert sum(parts.values()) == pytest.approx(whole, rel=1e-12)
    assert min(parts.values()) > 0


def test_batches_give_what_all_examples_together_give(batch):
    model, (x, y) = network("batch norm"), batch
    parts = [(x[:2], y[:2]), (x[2:6], y[2:6]), (x[6:], y[6:])]
    for labels in ("expected", "given"):
        whole = fisher_trace(model, x, y, labels=labels)
        assert fisher_trace(model, parts, labels=labels) == pytest.approx(whole, rel=1e-12)
        assert fisher_trace(model, iter(parts), labels=labels) == pytest.approx(whole, rel=1e-12)  # one pass is enough
    assert fisher_trace(model, [x[:3], x[3:]], labels="expected") == pytest.approx(exact_trace(model, x), rel=1e-9)


def test_the_minibatch_form_takes_batches_as_one(batch):
    model, x = network("batch norm"), batch[0]
    whole = fisher_trace_minibatch(model, x, generator())
    assert fisher_trace_minibatch(model, [x], generator()) == pytest.approx(whole, rel=1e-12)
    labels = drawn_labels(model, x[:4], 3).squeeze(1)
    source = generator(3)
    parts = [x[:4], x[4:]]
    got = fisher_trace_minibatch(model, parts, source)
    model.eval()
    rest = torch.multinomial(model(x[4:]).detach().softmax(1).float(), 1, generator=continued(3, model, x[:4])).squeeze(
        1
    )
    exact = single_gradients(model, x, torch.cat([labels, rest])).mean(0).square().sum().item()
    assert got == pytest.approx(exact, rel=1e-9)


def continued(seed, model, x):
    """The generator after it drew the labels of x."""
    source = generator(seed)
    torch.multinomial(model(x).detach().softmax(1).float(), 1, generator=source)
    return source


def test_for_piecewise_linear_networks_it_is_the_trace_of_the_hessian(batch):
    """On the diagonal H has nothing else than F, as the logits are linear in each parameter; the labels drop out."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 5, 3, padding=1), nn.BatchNorm2d(5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 6, 2)]
    model = nn.Sequential(*layers, nn.LeakyReLU(), nn.Flatten(), nn.Linear(12, CLASSES)).double().eval()
    trace = fisher_trace(model, batch[0], labels="expected")
    for y in (batch[1], (batch[1] + 1) % CLASSES):
        assert dense_hessian(model, batch[0], y).trace().item() == pytest.approx(trace, rel=1e-9)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"labels": "true"}, "labels: 'true' is not allowed; allowed: sampled, expected, given"),
        ({"labels": "given"}, "needs labels"),
    ],
)
def test_wrong_arguments(arguments, message, batch):
    with pytest.raises(ValueError, match=message):
        fisher_trace(network("plain"), batch[0], **arguments)


def test_labels_beside_batches_are_refused(batch):
    x, y = batch
    with pytest.raises(ValueError, match="fisher_trace: with batches, labels belong into them"):
        fisher_trace(network("plain"), [x], y)


def test_the_first_trace_loads_no_sympy():
    code = """
import sys, torch
from catfish.curvature import fisher_trace
before = "sympy" in sys.modules
layers = torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Flatten(), torch.nn.Linear(8, 2)
fisher_trace(torch.nn.Sequential(*layers), torch.randn(3, 1, 4, 4))
print(before, "sympy" in sys.modules)
"""
    source = Path(__file__).parents[2] / "src"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env={"PYTHONPATH": str(source)}, check=True, capture_output=True, text=True)
    assert found.stdout == "False False\n"
