"""What every measurement promises: it changes nothing, and its surroundings do not change it."""

import pytest
import torch

from catfish.curvature import (
    fisher_eigenvalues,
    fisher_trace,
    fisher_trace_minibatch,
    gradient_covariance,
    gradient_norm,
    hessian_eigenvalues,
    hessian_trace,
    loss_change_allocation,
    per_example_gradient_norms,
)

from .conftest import network, single_gradients


def generator():
    return torch.Generator().manual_seed(0)


MEASUREMENTS = {
    "per_example_gradient_norms": lambda model, x, y: per_example_gradient_norms(model, x, y).sum().item(),
    "fisher_trace": lambda model, x, y: fisher_trace(model, x, generator=generator()),
    "fisher_trace_minibatch": lambda model, x, y: fisher_trace_minibatch(model, x, generator()),
    "gradient_norm": gradient_norm,
    "hessian_trace": lambda model, x, y: hessian_trace(model, x, y, 2, generator())[0],
    "hessian_eigenvalues": lambda model, x, y: hessian_eigenvalues(
        model, x, y, tolerance=0.1, generator=generator()
    ).values.item(),
    "fisher_eigenvalues": lambda model, x, y: fisher_eigenvalues(
        model, x, tolerance=0.1, generator=generator()
    ).values.item(),
    "gradient_covariance": lambda model, x, y: gradient_covariance(model, x, y).trace,
    "loss_change_allocation": lambda model, x, y: (
        loss_change_allocation(model, [0.9 * p for p in model.parameters()], x, y).layers
    ),
}


@pytest.fixture(params=MEASUREMENTS)
def measure(request):
    return MEASUREMENTS[request.param]


@pytest.mark.parametrize("name", ["deep", "batch norm"])
def test_nothing_changes(name, measure, batch):
    model = network(name)
    model[0].eval()  # a module with a mode of its own
    for number, p in enumerate(model.parameters()):
        p.grad = None if number == 0 else torch.full_like(p, number)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    torch.manual_seed(11)
    random = torch.get_rng_state()

    measure(model, *batch)

    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == modes
    assert [len(module._forward_hooks) for module in model.modules()] == hooks
    assert [p.grad is None for p in model.parameters()] == [grad is None for grad in grads]
    assert all(grad is None or torch.equal(p.grad, grad) for p, grad in zip(model.parameters(), grads))
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", ["deep", "batch norm"])
def test_the_modes_are_back_after_an_error(name, measure, batch):
    model = network(name)
    with pytest.raises(RuntimeError):
        measure(model, batch[0][:, :1], batch[1])
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("name", ["deep", "batch norm"])
def test_surroundings_do_not_matter(name, measure, batch):
    expected = measure(network(name), *batch)
    with torch.no_grad():
        assert measure(network(name), *batch) == expected
    with torch.autocast("cpu", torch.bfloat16):
        assert measure(network(name), *batch) == expected
    assert measure(network(name).eval(), *batch) == expected


def test_tensorfloat_is_off_while_it_lasts(measure, batch):
    """What the layers see of PyTorch's settings, which count on NVIDIA GPUs, and what is left of them."""
    operations = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn, torch.backends.cuda.matmul)
    torch.backends.cuda.matmul.allow_tf32 = True
    assert [operation.fp32_precision for operation in operations] == ["tf32"] * 3  # convolutions': PyTorch's default
    seen = []
    model = network("plain")
    model[0].register_forward_hook(
        lambda *_: seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
    )
    try:
        measure(model, *batch)
        assert [operation.fp32_precision for operation in operations] == ["tf32"] * 3
        assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert seen and set(seen) == {(False, False)}


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_an_empty_batch_is_refused_by_name(name, batch):
    x, y = batch
    with pytest.raises(ValueError, match=f"{name}: the batch is empty; allowed: one example or more"):
        MEASUREMENTS[name](network("plain"), x[:0], y[:0])


def test_the_gradient_norm_is_that_of_the_mean_gradient(model, batch):
    exact = single_gradients(model, *batch).mean(0).norm().item()
    assert gradient_norm(model, *batch) == pytest.approx(exact, rel=1e-10)
