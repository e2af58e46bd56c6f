"""What other libraries and plain PyTorch are called with for the measurements of catfish.curvature.

An adapter takes the model, imports and wraps what a training run imports and wraps once, and returns measure(x, y),
which does everything that a user repeats for each measurement. Images x (B, 3, 32, 32), class numbers y (B,), loss:
mean cross-entropy. A library is imported when its adapter is called, so one that is missing fails alone.
"""

import math
from collections.abc import Callable
from importlib import import_module

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jvp, vmap
from torch.nn import functional as F

PROBES = 30  # random vectors for the trace
TOLERANCE = 0.01  # relative, for the eigenvalue

Measure = Callable[[Tensor, Tensor], Tensor | float | tuple[float, float]]
Adapter = Callable[[nn.Module], Measure]


# Per-example gradient norms, (B,)


def loop_norms(model: nn.Module) -> Measure:
    """One forward and one backward pass for every example."""
    parameters = list(model.parameters())

    def norm(one: Tensor, label: Tensor) -> Tensor:
        gradients = torch.autograd.grad(F.cross_entropy(model(one), label), parameters)
        return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()

    return lambda x, y: torch.stack([norm(one, label) for one, label in zip(x.split(1), y.split(1))])


def vmap_norms(model: nn.Module) -> Measure:
    """torch.func.vmap of torch.func.grad, all examples at once."""

    def measure(x: Tensor, y: Tensor) -> Tensor:
        parameters = {name: p.detach() for name, p in model.named_parameters()}

        def loss(weights: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
            return F.cross_entropy(functional_call(model, weights, (one[None],)), label[None])

        gradients = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
        return torch.stack([g.flatten(1).square().sum(1) for g in gradients.values()]).sum(0).sqrt()

    return measure


def backpack_norms(model: nn.Module) -> Measure:
    """BackPACK's BatchL2Grad: squared norms for each parameter.

    With the mean as the loss each gradient would carry 1/B, hence the sum.
    """
    backpack, extensions = import_module("backpack"), import_module("backpack.extensions")
    model = backpack.extend(model)
    loss = backpack.extend(nn.CrossEntropyLoss(reduction="sum"))

    def measure(x: Tensor, y: Tensor) -> Tensor:
        with backpack.backpack(extensions.BatchL2Grad()):
            loss(model(x), y).backward()
        norms = torch.stack([p.batch_l2 for p in model.parameters()]).sum(0).sqrt()
        model.zero_grad()
        return norms

    return measure


def opacus_norms(model: nn.Module) -> Measure:
    """Opacus's fast gradient clipping: norms from layer inputs for Linear (ghost clipping), explicit for Conv2d.

    Its hooks record in training mode only; these models have no layer that the mode changes.
    """
    opacus = import_module("opacus.grad_sample.grad_sample_module_fast_gradient_clipping")
    model = opacus.GradSampleModuleFastGradientClipping(model.train(), loss_reduction="sum", use_ghost_clipping=True)

    def measure(x: Tensor, y: Tensor) -> Tensor:
        F.cross_entropy(model(x), y, reduction="sum").backward()
        norms = model.get_norm_sample()
        model.zero_grad()
        return norms

    return measure


# Trace of the Hessian: estimate and its standard error (NaN where the library gives none)


def double_backward_trace(model: nn.Module) -> Measure:
    """Two backward passes, the first one's graph shared by all probes; Gaussian probes."""
    parameters = list(model.parameters())

    def measure(x: Tensor, y: Tensor) -> tuple[float, float]:
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True)
        samples = []
        for _ in range(PROBES):
            probe = [torch.randn_like(p) for p in parameters]
            products = torch.autograd.grad(gradients, parameters, probe, retain_graph=True)
            samples.append(sum((z * hz).sum() for z, hz in zip(probe, products)))
        return _mean_and_error(torch.stack(samples))

    return measure


def forward_over_reverse_trace(model: nn.Module) -> Measure:
    """torch.func.jvp of torch.func.grad for each probe; Gaussian probes."""

    def measure(x: Tensor, y: Tensor) -> tuple[float, float]:
        parameters = {name: p.detach() for name, p in model.named_parameters()}
        gradient = grad(lambda weights: F.cross_entropy(functional_call(model, weights, (x,)), y))
        samples = []
        for _ in range(PROBES):
            probe = {name: torch.randn_like(p) for name, p in parameters.items()}
            _, products = jvp(gradient, (parameters,), (probe,))
            samples.append(sum((probe[name] * hz).sum() for name, hz in products.items()))
        return _mean_and_error(torch.stack(samples))

    return measure


def pyhessian_trace(model: nn.Module) -> Measure:
    """PyHessian; Rademacher probes.

    It stops when the running mean changes by less than `tol` times the trace, always if the trace is negative; with
    minus infinity it takes all probes.
    """
    pyhessian = import_module("pyhessian")

    def measure(x: Tensor, y: Tensor) -> tuple[float, float]:
        analysis = pyhessian.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=x.is_cuda)
        samples = analysis.trace(maxIter=PROBES, tol=-math.inf)
        return _mean_and_error(torch.tensor(samples))

    return measure


def curvlinops_trace(model: nn.Module) -> Measure:
    """curvlinops's hutchinson_trace, which applies the Hessian to all probes in one vectorised product."""
    curvlinops = import_module("curvlinops")

    def measure(x: Tensor, y: Tensor) -> tuple[float, float]:
        trace = curvlinops.hutchinson_trace(_curvlinops_hessian(model, x, y), PROBES, "normal")
        return trace.item(), math.nan

    return measure


def eigenthings_trace(model: nn.Module) -> Measure:
    """hessian-eigenthings' Hutchinson estimator; Gaussian probes."""
    eigenthings = import_module("hessian_eigenthings")

    def measure(x: Tensor, y: Tensor) -> tuple[float, float]:
        operator = _eigenthings_hessian(model, x, y)
        result = eigenthings.hutchinson(operator, num_samples=PROBES, distribution="gaussian")
        return result.estimate, result.stderr

    return measure


# Largest eigenvalue of the Hessian


def pyhessian_eigenvalue(model: nn.Module) -> Measure:
    """PyHessian's power iteration with its own tolerance.

    The tolerance bounds the last step, not the error, so 1 % of error takes less than 1 % of it.
    """
    pyhessian = import_module("pyhessian")

    def measure(x: Tensor, y: Tensor) -> float:
        analysis = pyhessian.hessian(model, nn.CrossEntropyLoss(), data=(x, y), cuda=x.is_cuda)
        (value,), _ = analysis.eigenvalues(top_n=1)
        return value

    return measure


def double_backward_eigenvalue(model: nn.Module, tolerance: float = TOLERANCE) -> Measure:
    """Two backward passes, the first one's graph shared by all products, in SciPy's eigsh."""
    linalg = import_module("scipy.sparse.linalg")
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]

    def measure(x: Tensor, y: Tensor) -> float:
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True)

        def product(vector):
            pieces = torch.from_numpy(vector).to(parameters[0]).view(-1).split(sizes)
            direction = [piece.view_as(p) for piece, p in zip(pieces, parameters)]
            products = torch.autograd.grad(gradients, parameters, direction, retain_graph=True)
            return torch.cat([hv.flatten() for hv in products]).cpu().numpy()

        dtype = torch.empty(0, dtype=parameters[0].dtype).numpy().dtype
        return _largest(linalg.LinearOperator((sum(sizes), sum(sizes)), product, dtype=dtype), tolerance)

    return measure


def curvlinops_eigenvalue(model: nn.Module) -> Measure:
    """curvlinops's operator in SciPy's eigsh."""
    import_module("curvlinops")
    import_module("scipy.sparse.linalg")
    return lambda x, y: _largest(_curvlinops_hessian(model, x, y).to_scipy(), TOLERANCE)


def eigenthings_eigenvalue(model: nn.Module) -> Measure:
    """hessian-eigenthings' Lanczos method, largest algebraic eigenvalue.

    The number of steps is fixed beforehand and the default, 2, too few: ten, and twice as many until it says that it
    has converged.
    """
    eigenthings = import_module("hessian_eigenthings")

    def measure(x: Tensor, y: Tensor) -> float:
        operator = _eigenthings_hessian(model, x, y)
        for steps in (10, 20, 40, 80):
            result = eigenthings.lanczos(operator, k=1, max_iter=steps, tol=TOLERANCE, which="LA")
            if result.converged.all():
                return result.eigenvalues.item()
        raise RuntimeError("not converged after 80 steps")

    return measure


def _mean_and_error(samples: Tensor) -> tuple[float, float]:
    return samples.mean().item(), (samples.std() / len(samples) ** 0.5).item()


def _largest(operator, tolerance: float) -> float:
    """The largest algebraic eigenvalue by eigsh (ARPACK's restarted Lanczos method).

    With its default of 20 Lanczos vectors it takes at least 20 products, even to 1 %; ten are kind to it.
    """
    eigsh = import_module("scipy.sparse.linalg").eigsh
    return eigsh(operator, k=1, which="LA", ncv=10, tol=tolerance, return_eigenvectors=False).item()


def _curvlinops_hessian(model: nn.Module, x: Tensor, y: Tensor):
    """Without its check that two passes agree, which would cost two products."""
    operator = import_module("curvlinops").HessianLinearOperator
    return operator(model, nn.CrossEntropyLoss(), list(model.parameters()), [(x, y)], check_deterministic=False)


def _eigenthings_hessian(model: nn.Module, x: Tensor, y: Tensor):
    eigenthings = import_module("hessian_eigenthings")
    return eigenthings.HessianOperator(model, [(x, y)], eigenthings.supervised_loss(F.cross_entropy))
