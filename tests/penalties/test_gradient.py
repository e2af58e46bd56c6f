"""The gradient of each penalty against two oracles: an explicit Hessian, and central differences of the norm."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev
from torch.nn import functional as F

from catfish.penalties import PENALTIES, FisherPenalty, GradientPenalty

ALPHA = 0.3


def generator(seed=7):
    return torch.Generator().manual_seed(seed)


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


def labels_of(name, model, x, y):
    """The labels that a penalty with `generator()` has to take; drawn here from probabilities written out."""
    if name == "fisher":
        logits = model(x).detach().float()
        probabilities = logits.exp() / logits.exp().sum(1, keepdim=True)
        return torch.multinomial(probabilities, 1, generator=generator()).squeeze(1)
    if name == "random_label_gradient":
        return torch.randint(4, (len(x),), generator=generator())
    return y


def as_functions(model, x, labels):
    """The parameters as one vector, and the mean loss as a function of it and of the input."""
    names, tensors = zip(*model.named_parameters())

    def loss(vector, inputs):
        parts = vector.split([t.numel() for t in tensors])
        parameters = {name: part.view_as(t) for name, part, t in zip(names, parts, tensors)}
        logits = functional_call(model, parameters, (inputs,))
        return -logits.log_softmax(1)[torch.arange(len(labels)), labels].mean()

    return flat(tensors).detach(), loss


def mean_of_single_gradients(model, x, labels):
    """The mini-batch gradient from one backward pass for each example."""
    gradients = []
    for one, label in zip(x, labels):
        loss = F.cross_entropy(model(one[None]), label[None])
        gradients.append(flat(torch.autograd.grad(loss, list(model.parameters()))))
    return torch.stack(gradients).mean(0)


@pytest.fixture(params=["fisher", "gradient", "input_gradient", "random_label_gradient"])
def case(request, model, make_batch):
    """A penalty with its generator, its batch, and the labels it takes."""
    x, y = make_batch()
    penalty = PENALTIES[request.param](model, ALPHA, generator=generator())
    labels = labels_of(request.param, model, x, y)
    return request.param, penalty, x, y, labels


def test_labels_differ_from_one_penalty_to_the_next(model, make_batch):
    """Otherwise the oracles below would not tell the penalties apart."""
    x, y = make_batch()
    drawn = {tuple(labels_of(name, model, x, y).tolist()) for name in ("fisher", "gradient", "random_label_gradient")}
    assert len(drawn) == 3


def test_the_norm(case, model):
    name, penalty, x, y, labels = case
    if name == "input_gradient":
        vector, loss = as_functions(model, x, labels)
        exact = grad(loss, argnums=1)(vector, x).square().sum()
    else:
        exact = mean_of_single_gradients(model, x, labels).square().sum()
    torch.testing.assert_close(penalty.squared_norm(x, y), exact, rtol=1e-12, atol=0)


def test_the_gradient_is_twice_alpha_hessian_times_gradient(case, model):
    name, penalty, x, y, labels = case
    vector, loss = as_functions(model, x, labels)
    if name == "input_gradient":
        mixed = jacrev(grad(loss, argnums=1))(vector, x).flatten(0, -2)  # (pixels, parameters)
        exact = 2 * ALPHA * mixed.T @ grad(loss, argnums=1)(vector, x).flatten()
    else:
        exact = 2 * ALPHA * hessian(loss)(vector, x) @ mean_of_single_gradients(model, x, labels)
    torch.testing.assert_close(flat(penalty.gradient(x, y)), exact, rtol=1e-10, atol=1e-14)


def test_the_gradient_by_central_differences(case, model):
    name, penalty, x, y, labels = case
    vector, loss = as_functions(model, x, labels)
    argument = 1 if name == "input_gradient" else 0

    def penalised(at):
        return ALPHA * grad(loss, argnums=argument)(at, x).square().sum()

    step = 1e-5
    basis = torch.eye(len(vector), dtype=torch.float64) * step
    exact = torch.stack([(penalised(vector + e) - penalised(vector - e)) / (2 * step) for e in basis])
    gradient = flat(penalty.gradient(x, y))
    assert gradient.norm() > 1e-3
    torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-9)


def test_gradients_have_the_parameters_shapes_and_are_no_part_of_a_graph(case, model):
    _, penalty, x, y, _ = case
    gradients = penalty.gradient(x, y)
    assert [g.shape for g in gradients] == [p.shape for p in model.parameters()]
    assert not any(g.requires_grad for g in gradients)
    assert all(p.grad is None for p in model.parameters()) and x.grad is None and not x.requires_grad


def test_the_gradient_is_linear_in_the_coefficient(case, model):
    _, penalty, x, y, _ = case
    first = flat(penalty.gradient(x, y))
    again = type(penalty)(model, 10 * ALPHA, generator=generator())
    torch.testing.assert_close(flat(again.gradient(x, y)), 10 * first, rtol=1e-13, atol=0)


def test_gradients_are_taken_where_the_caller_has_switched_them_off(case, model):
    _, penalty, x, y, _ = case
    expected = penalty.gradient(x, y)
    again = type(penalty)(model, ALPHA, generator=generator())
    with torch.no_grad():
        found = again.gradient(x, y)
    assert all(torch.equal(a, b) for a, b in zip(expected, found))


def test_true_labels_are_ignored_where_labels_are_drawn(model, make_batch):
    x, y = make_batch()
    for name in ("fisher", "random_label_gradient"):
        pairs = [PENALTIES[name](model, ALPHA, generator=generator()).gradient(x, labels) for labels in (None, y)]
        assert all(torch.equal(a, b) for a, b in zip(*pairs))


def test_frozen_parameters_take_no_part(model, make_batch):
    x, y = make_batch()
    model[0].weight.requires_grad_(False)
    penalty = GradientPenalty(model, ALPHA)
    gradients = penalty.gradient(x, y)
    assert [g.shape for g in gradients] == [p.shape for p in model.parameters() if p.requires_grad]
    single = torch.autograd.grad(F.cross_entropy(model(x), y), [p for p in model.parameters() if p.requires_grad])
    exact = flat(single).square().sum()
    torch.testing.assert_close(penalty.squared_norm(x, y), exact, rtol=1e-12, atol=0)


def test_a_parameter_that_the_norm_does_not_depend_on_gets_zeros():
    """The Jacobian of a linear model's logits does not depend on its parameters, nor do they on an unused layer."""
    model = nn.ModuleDict({"used": nn.Linear(4, 3), "unused": nn.Linear(2, 2)}).double()
    model.forward = lambda x: model["used"](x)
    x, y = torch.randn(2, 4, dtype=torch.float64), torch.tensor([0, 2])
    for name, penalty in PENALTIES.items():
        for derivative in ("double_backward", "finite_difference"):
            weight, bias, *unused = penalty(model, 1.0, derivative=derivative).gradient(x, y)
            assert all((g == 0).all() for g in unused), name
            assert weight.shape == (3, 4) and bias.shape == (3,)
            assert ("jacobian" in name) == bool(weight.norm() < 1e-9), (name, derivative)


class WithUnused(nn.Module):
    """A network with a trained layer that its output does not depend on."""

    def __init__(self, network):
        super().__init__()
        self.unused, self.network = nn.Linear(3, 2).double(), network

    def forward(self, x):
        return self.network(x)


def test_a_layer_that_the_loss_does_not_use_changes_nothing_and_gets_zeros(case, model):
    name, _, x, y, _ = case
    whole = WithUnused(model)
    again = PENALTIES[name](whole, ALPHA, every=2, generator=generator())
    squares = [PENALTIES[name](m, ALPHA, generator=generator()).squared_norm(x, y) for m in (model, whole)]
    torch.testing.assert_close(*squares, rtol=1e-13, atol=0)
    expected = PENALTIES[name](model, ALPHA, generator=generator()).gradient(x, y)
    F.cross_entropy(whole(x), y).backward()
    before = [p.grad.clone() for p in model.parameters()]
    for times in (1, 2):
        again.add_gradient(x, y)
        for p, start, gradient in zip(model.parameters(), before, expected):
            torch.testing.assert_close(p.grad, start + times * gradient, rtol=1e-12, atol=1e-15)
        assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in whole.unused.parameters())


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_batch_norm_keeps_its_statistics_but_uses_the_batchs(name, make_batch):
    """The training step has moved the running statistics; the penalty's forward pass moves them no further."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 4)]
    model = nn.Sequential(*layers).double()
    x, y = make_batch()
    model(x)
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    gradient = flat(PENALTIES[name](model, ALPHA, generator=generator()).gradient(x, y))
    assert all(torch.equal(before[key], buffer) for key, buffer in model.named_buffers())
    assert before["1.num_batches_tracked"] == 1 and model.training

    model[1].running_mean.add_(5.0)
    again = flat(PENALTIES[name](model, ALPHA, generator=generator()).gradient(x, y))
    assert torch.equal(gradient, again)


@pytest.mark.parametrize("name", ["fisher", "random_label_gradient"])
def test_a_generator_keeps_the_global_one_untouched(name, model, make_batch):
    x, y = make_batch()
    source = generator()
    before, own = torch.get_rng_state(), source.get_state()
    PENALTIES[name](model, ALPHA, generator=source).add_gradient(x, y)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(source.get_state(), own)
    PENALTIES[name](model, ALPHA).add_gradient(x, y)
    assert not torch.equal(torch.get_rng_state(), before)


def test_the_fisher_penalty_is_tr_f_over_b_in_the_mean(model, make_batch):
    """E ||1/B sum g||^2 = Tr(F) / B, since E g = 0 for labels drawn from the model (appendix C)."""
    x, _ = make_batch(size=3)
    single = 0.0
    probabilities = model(x).softmax(1).detach()
    for one, row in zip(x, probabilities):
        for label, probability in enumerate(row):
            loss = F.cross_entropy(model(one[None]), torch.tensor([label]))
            norm = flat(torch.autograd.grad(loss, list(model.parameters()))).square().sum()
            single += probability.item() * norm.item()
    exact = single / 3 / 3
    penalty = FisherPenalty(model, 1.0, generator=generator())
    draws = torch.stack([penalty.squared_norm(x).detach() for _ in range(600)])
    error = draws.std() / 600**0.5
    assert error < 0.1 * exact
    assert abs(draws.mean() - exact) < 4 * error
