"""Norms of single examples' gradients against one backward pass for each."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from catfish.curvature import fisher_trace, layers, per_example, per_example_gradient_norms
from catfish.models import build

from .conftest import FAST, GENERIC, RARE, network, single_gradients


@pytest.mark.parametrize("name", FAST | RARE | GENERIC)
def test_norms_are_those_of_explicit_gradients(name, batch):
    model = network(name)
    exact = single_gradients(model, *batch).norm(dim=1)
    assert (exact > 0.01).all()
    assert_close(per_example_gradient_norms(model, *batch), exact, rtol=1e-10, atol=0)


@pytest.fixture
def generic_names(monkeypatch):
    """The parameters that take the generic path."""
    taken = []
    generic = per_example._generic
    monkeypatch.setattr(per_example, "_generic", lambda *given: taken.extend(given[1]) or generic(*given))
    return taken


@pytest.mark.parametrize("name", FAST | RARE)
def test_known_layers_need_no_gradients_of_single_examples(name, batch, generic_names):
    per_example_gradient_norms(network(name), *batch)
    assert generic_names == []


@pytest.mark.parametrize(
    "name, names",
    [
        ("a parameter of its own", ["scale"]),
        ("used besides", ["inner.weight", "inner.bias"]),
        ("two inputs", ["gate.weight", "gate.bias"]),
    ],
)
def test_only_what_follows_from_no_layer_alone_takes_the_generic_path(name, names, batch, generic_names):
    per_example_gradient_norms(network(name), *batch)
    assert generic_names == names


@pytest.mark.parametrize("name", ["simplecnn", "vgg11"])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_papers_networks(name, memory_format, generic_names):
    torch.manual_seed(0)
    model = build(name, 10, width=0.1)
    x, y = torch.rand(3, 3, 32, 32), torch.tensor([3, 0, 9])
    exact = single_gradients(model.double(), x.double(), y).norm(dim=1)
    model = model.float().to(memory_format=memory_format)
    assert_close(per_example_gradient_norms(model, x, y).double(), exact, rtol=1e-4, atol=0)
    assert generic_names == []


@pytest.mark.parametrize("name", [name for name in FAST if name != "layer norm of rows"])
def test_float32_agrees_with_float64(name, batch):
    """In float32 convolutions take another kernel."""
    x, y = batch
    exact = single_gradients(network(name), x, y).norm(dim=1)
    assert_close(per_example_gradient_norms(network(name).float(), x.float(), y).double(), exact, rtol=1e-4, atol=0)


def test_both_forms_of_the_convolutions_formula_are_taken(batch, monkeypatch):
    forms = []
    for form in ("_by_pairs", "_by_gradients"):
        original = getattr(layers, form)
        monkeypatch.setattr(
            layers, form, lambda *given, form=form, original=original: forms.append(form) or original(*given)
        )
    per_example_gradient_norms(network("deep"), *batch)
    assert forms == ["_by_gradients", "_by_gradients", "_by_pairs"]


@pytest.mark.parametrize("name", ["deep", "groups", "strides and dilation", "large strides"])
@pytest.mark.parametrize("cheaper", [True, False], ids=["pairs", "gradients"])
@pytest.mark.parametrize("memory", [1, 2**23], ids=["one at a time", "all at once"])
@pytest.mark.parametrize("grouped", [True, False], ids=["grouped", "one by one"])
def test_each_form_serves_every_convolution(name, cheaper, memory, grouped, batch, monkeypatch):
    monkeypatch.setattr(layers, "_grouped_kernel_is_fast", lambda *_: grouped)
    monkeypatch.setattr(layers, "_pairs_are_cheaper", lambda *_: cheaper)
    monkeypatch.setattr(layers, "_CACHE_BYTES", memory)
    exact = single_gradients(network(name), *batch).norm(dim=1)
    assert_close(per_example_gradient_norms(network(name), *batch), exact, rtol=1e-10, atol=0)
    x, y = batch
    single = per_example_gradient_norms(network(name).float(), x.float(), y)
    assert_close(single.double(), exact, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["batch norm", "a parameter of its own", "tied weights"])
def test_layers_apart(name, batch):
    model = network(name)
    norms = per_example_gradient_norms(model, *batch, per_layer=True)
    gradients = single_gradients(model, *batch)
    sizes = [p.numel() for p in model.parameters()]
    owners = [owner.rpartition(".")[0] for owner, _ in model.named_parameters()]
    exact = dict.fromkeys(owners, 0)
    for owner, part in zip(owners, gradients.split(sizes, dim=1)):
        exact[owner] = exact[owner] + part.square().sum(1)
    assert list(norms) == list(exact)
    for owner, squares in exact.items():
        assert_close(norms[owner], squares.sqrt(), rtol=1e-10, atol=0)


def test_chunks_of_the_generic_path_agree(batch, monkeypatch):
    model = network("tied weights")
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


@pytest.mark.parametrize("name", ["plain", "turned", "short sequences"])
def test_one_example(name, batch):
    x, y = batch
    model = network(name)
    assert_close(per_example_gradient_norms(model, x[:1], y[:1]), per_example_gradient_norms(model, x, y)[:1])


def test_an_output_that_is_overwritten_in_place(batch):
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 9), nn.LeakyReLU(0.1, inplace=True), nn.Linear(9, 4)).double()
    exact = single_gradients(model, *batch).norm(dim=1)
    assert_close(per_example_gradient_norms(model, *batch), exact, rtol=1e-10, atol=0)


def test_batch_norm_without_running_statistics_is_refused(batch):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, track_running_stats=False), nn.Flatten())
    with pytest.raises(ValueError, match="1: batch norm without running statistics mixes the examples"):
        per_example_gradient_norms(model.double(), *batch)


def test_an_input_that_changes_after_its_layer_took_it_is_refused_as_in_training(batch):
    class Overwriting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(60, 4)

        def forward(self, x):
            x = x.flatten(1).clone()
            logits = self.inner(x)
            x.mul_(2)
            return logits

    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        per_example_gradient_norms(Overwriting().double(), *batch)


@pytest.mark.parametrize("name", ["batch norm", "a parameter of its own"])
def test_portions_that_suit_the_memory_agree_with_the_whole(name, batch, monkeypatch):
    model, taken = network(name), []
    whole = per_example_gradient_norms(model, *batch)
    given = fisher_trace(model, *batch, labels="given")
    tape = per_example.Tape
    monkeypatch.setattr(per_example, "Tape", lambda model, x: taken.append(len(x)) or tape(model, x))
    monkeypatch.setattr(per_example, "_ACTIVATION_BYTES", 3 * per_example._output_bytes(model.eval(), batch[0][:1]))
    model.train()
    assert_close(per_example_gradient_norms(model, *batch), whole, rtol=1e-12, atol=0)
    assert taken == [3, 3, 1]
    assert fisher_trace(model, *batch, labels="given") == pytest.approx(given, rel=1e-12)
    monkeypatch.setattr(per_example, "_ACTIVATION_BYTES", 1)
    assert_close(per_example_gradient_norms(model, *batch), whole, rtol=1e-12, atol=0)
