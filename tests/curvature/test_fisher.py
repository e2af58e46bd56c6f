"""Tr(F) and Tr(F^B) against their exact expectations, sums over all classes."""

import pytest
import torch

from catfish.curvature import fisher_trace, fisher_trace_minibatch

from .conftest import exact_trace, network, single_gradients

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
    assert fisher_trace(model, x, generator()) == pytest.approx(exact, rel=1e-10)


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
    draws = torch.tensor([estimator(model, x, source) for _ in range(1500)])
    error = draws.std().item() / len(draws) ** 0.5
    assert error < 0.03 * exact
    assert abs(draws.mean().item() - exact) < 3.5 * error


def test_labels_come_from_the_model_and_not_from_a_uniform_draw(batch):
    """A certain model draws its own label, whose gradient vanishes."""
    model = network("plain")
    with torch.no_grad():
        model[-1].bias.copy_(torch.tensor([0.0, 200, 0, 0]))
    assert fisher_trace(model, batch[0], generator()) == pytest.approx(0, abs=1e-20)
    assert fisher_trace_minibatch(model, batch[0], generator()) == pytest.approx(0, abs=1e-20)


def test_the_generator_decides(batch):
    model = network("plain")
    assert fisher_trace(model, batch[0], generator(1)) == fisher_trace(model, batch[0], generator(1))
    assert fisher_trace(model, batch[0], generator(1)) != fisher_trace(model, batch[0], generator(2))


def test_a_network_that_blew_up_gives_nan(batch):
    """A diverging run is measured as what it is and not stopped by an error of the sampler."""
    model = network("plain")
    with torch.no_grad():
        model[0].weight.fill_(float("inf"))
    assert fisher_trace(model, batch[0], generator()) != fisher_trace(model, batch[0], generator())
