"""Norms of single examples' gradients against one backward pass for each."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.curvature import per_example, per_example_gradient_norms
from catfish.models import build

from .conftest import FAST, GENERIC, network, single_gradients


@pytest.mark.parametrize("name", FAST | GENERIC)
def test_norms_are_those_of_explicit_gradients(name, batch):
    model = network(name)
    exact = single_gradients(model, *batch).norm(dim=1)
    assert (exact > 0.01).all()
    assert_close(per_example_gradient_norms(model, *batch), exact, rtol=1e-10, atol=0)


@pytest.fixture
def no_generic_path(monkeypatch):
    def refused(*_):
        raise AssertionError("took the generic path")

    monkeypatch.setattr(per_example, "_generic", refused)


@pytest.mark.parametrize("name", FAST)
def test_plain_layers_need_no_gradients_of_single_examples(name, batch, no_generic_path):
    per_example_gradient_norms(network(name), *batch)


@pytest.mark.parametrize("name", ["simplecnn", "vgg11"])
def test_the_papers_networks_need_none_either(name, no_generic_path):
    torch.manual_seed(0)
    model = build(name, 10, width=0.1).double()
    x, y = torch.rand(3, 3, 32, 32, dtype=torch.float64), torch.tensor([3, 0, 9])
    exact = single_gradients(model, x, y).norm(dim=1)
    assert_close(per_example_gradient_norms(model, x, y), exact, rtol=1e-10, atol=0)


def test_both_forms_of_the_convolutions_formula_are_taken(batch, monkeypatch):
    shapes = []
    bmm = torch.bmm
    monkeypatch.setattr(torch, "bmm", lambda a, b: shapes.append((a.shape, b.shape)) or bmm(a, b))
    per_example_gradient_norms(network("deep"), *batch)
    products = [(a[1], b[2]) for a, b in shapes]
    assert products == [(3, 18), (6, 6), (6, 6)]  # outputs x inputs; positions x positions, twice


def test_chunks_of_the_generic_path_agree(batch, monkeypatch):
    model = network("group norm")
    whole = per_example_gradient_norms(model, *batch)
    monkeypatch.setattr(per_example, "_CHUNK_BYTES", 1)
    assert_close(per_example_gradient_norms(model, *batch), whole, rtol=1e-12, atol=0)


def test_a_certain_network_has_zero_norms(batch):
    """Rounding must not make a square negative and its root NaN."""
    model = network("deep")
    with torch.no_grad():
        model[-1].weight.zero_()
        model[-1].bias.copy_(torch.tensor([1000.0, 0, 0, 0]))
    norms = per_example_gradient_norms(model, batch[0], torch.zeros(7, dtype=torch.int64))
    assert_close(norms, torch.zeros(7, dtype=torch.float64))


def test_float32_agrees_with_float64(batch):
    x, y = batch
    exact = single_gradients(network("deep"), x, y).norm(dim=1)
    assert_close(per_example_gradient_norms(network("deep").float(), x.float(), y).double(), exact, rtol=1e-5, atol=0)


def test_one_example(batch):
    x, y = batch
    model = network("plain")
    assert_close(per_example_gradient_norms(model, x[:1], y[:1]), per_example_gradient_norms(model, x, y)[:1])


def test_an_output_that_is_overwritten_in_place(batch):
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 9), nn.LeakyReLU(0.1, inplace=True), nn.Linear(9, 4)).double()
    exact = single_gradients(model, *batch).norm(dim=1)
    assert_close(per_example_gradient_norms(model, *batch), exact, rtol=1e-10, atol=0)
