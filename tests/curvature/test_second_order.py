"""z^T H z by a sweep of first derivatives, against the explicit Hessian and against autograd's double backward."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish.curvature import second_order
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.products import HessianProduct
from catfish.curvature.second_order import QuadraticForm
from catfish.gradients import trainable
from catfish.models import build

from .conftest import CLASSES, FAST, GENERIC, NotCalled, dense_hessian, gradient_of, network


class Residual(nn.Module):
    """Operations in place, trained scalars, a layer used twice, concatenation, poolings, views."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.grown, self.norm, self.relu = nn.Conv2d(4, 3, 1), nn.BatchNorm2d(7), nn.ReLU(inplace=True)
        self.multiplier, self.shift = nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor([0.1]))
        self.outer = nn.Linear(7 * 4 + 7, CLASSES)

    def forward(self, x):
        shortcut = self.relu(self.first(x))
        out = self.again(self.relu(self.again(shortcut + self.shift))) * self.multiplier
        out += shortcut
        out = self.norm(torch.cat([out, self.grown(F.relu(out))], 1))
        out[:, 0] *= 2
        self.relu(out)
        pooled = F.avg_pool2d(F.leaky_relu(out - 1), (3, 2)).flatten(1)
        return self.outer(torch.cat([pooled, F.adaptive_max_pool2d(out, 1).flatten(1)], 1))


class Attention(nn.Module):
    """Products of values with values, softmax, functions that are nowhere linear."""

    def __init__(self):
        super().__init__()
        self.inner, self.mixed, self.norm = nn.Linear(5, 12), nn.Linear(4, 6), nn.LayerNorm(6)
        self.outer = nn.Linear(6, CLASSES)

    def forward(self, x):
        q, k, v = self.inner(x.flatten(1, 2)).chunk(3, dim=-1)
        attended = (q @ k.transpose(1, 2) / 2).softmax(-1) @ v
        hidden = self.norm(F.gelu(self.mixed(attended)))
        return self.outer((hidden * hidden.sigmoid() / (1 + hidden.square())).mean(1))


class Stopped(nn.Module):
    """Values that autograd holds for constant."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        hidden = self.inner(x.flatten(1)).tanh()
        with torch.no_grad():
            scale = hidden.abs().mean()
        return self.outer(hidden * hidden.detach() / scale + hidden.round() + hidden.argmax(1, keepdim=True))


def _seen(model: nn.Module) -> nn.Module:
    """In training mode, after some data for its batch norm; scales and shifts as if trained."""
    torch.manual_seed(0)
    model = model.double()
    with torch.no_grad():
        model(2 + 3 * torch.randn(8, 2, 6, 5, dtype=torch.float64))
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


OTHERS = {
    "residual": Residual,
    "attention": Attention,
    "stopped": Stopped,
    "one-dimensional": lambda: nn.Sequential(
        nn.Flatten(1, 2), nn.Conv1d(12, 4, 3, stride=2), nn.ELU(), nn.Flatten(), nn.Linear(8, CLASSES)
    ),
    "instance norm, no running statistics": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, affine=True), nn.SiLU(), nn.Flatten(), nn.Linear(36, CLASSES)
    ),
}


def case_of(name: str) -> nn.Module:
    if name in OTHERS:
        torch.manual_seed(0)
        return _seen(OTHERS[name]())
    return network(name)


def exact_form(model: nn.Module, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> float:
    """Two backward passes with torch's own formulas."""
    parameters = trainable(model)
    gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True, materialize_grads=True)
    flat = torch.cat([g.flatten() for g in gradients])
    return (z @ gradient_of(flat @ z, model)).item()


def directions(model: nn.Module, count: int = 2) -> list[torch.Tensor]:
    source = torch.Generator().manual_seed(3)
    size = sum(p.numel() for p in trainable(model))
    return [torch.randn(size, generator=source, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("name", [*FAST, *GENERIC, *OTHERS])
def test_forms_are_those_of_the_double_backward(name, batch, monkeypatch):
    """By the sweep itself: no product is made. Directions of very different lengths follow one another."""
    model = case_of(name)
    first, second = directions(model)
    with evaluation_mode(model):
        vectors = [first, 1e-6 * second, 1e5 * first]
        exact = [exact_form(model, *batch, vector) for vector in vectors]
        monkeypatch.delattr(HessianProduct, "product")
        monkeypatch.setattr(HessianProduct, "__call__", None)
        forms = HessianProduct(model, *batch, "test").forms(vectors)
    assert forms == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("name", ["residual", "strides and dilation", "group norm", "tied weights"])
def test_forms_are_those_of_the_explicit_matrix(name, batch):
    model = case_of(name)
    matrix = dense_hessian(model, *batch)
    vectors = directions(model)
    with evaluation_mode(model):
        forms = HessianProduct(model, *batch, "test").forms(vectors)
    assert forms == pytest.approx([(z @ matrix @ z).item() for z in vectors], rel=1e-9)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_only_one_part_of_a_layer_is_trained(part, batch):
    model = network("deep")
    for name, p in model.named_parameters():
        p.requires_grad_(name.endswith(part))
    vectors = directions(model)
    with evaluation_mode(model):
        forms = HessianProduct(model, *batch, "test").forms(vectors)
        exact = [exact_form(model, *batch, z) for z in vectors]
    assert forms == pytest.approx(exact, rel=1e-9)


def test_forms_are_those_of_finite_differences(batch):
    """The slope of the gradient along z, in its direction."""
    model, (x, y) = case_of("attention"), batch
    (z,) = directions(model, 1)
    model.eval()
    (form,) = HessianProduct(model, x, y, "test").forms([z])
    here = nn.utils.parameters_to_vector(model.parameters()).detach()

    def slope(step: float) -> float:
        nn.utils.vector_to_parameters(here + step * z, model.parameters())
        return (z @ gradient_of(F.cross_entropy(model(x), y), model)).item()

    assert form == pytest.approx((slope(1e-5) - slope(-1e-5)) / 2e-5, rel=1e-6)


def error_of_float32(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """The largest error for some directions, relative to the forms' size."""
    vectors = directions(model, 5)
    with evaluation_mode(model):
        exact = [exact_form(model, x, y, z) for z in vectors]
        forms = HessianProduct(model.float(), x.float(), y, "test").forms([z.float() for z in vectors])
    return max(abs(form - value) for form, value in zip(forms, exact)) / max(map(abs, exact))


@pytest.mark.parametrize("name", ["simplecnn", "vgg11"])
def test_float32_is_precise(name):
    torch.manual_seed(0)
    model = build(name, 10, width=0.2).double()
    assert error_of_float32(model, torch.randn(8, 3, 32, 32, dtype=torch.float64), torch.arange(8)) < 1e-5


class Large(nn.Module):
    """A layer with one output of 1e10 that nothing uses."""

    def __init__(self):
        super().__init__()
        self.inner, self.middle, self.outer = nn.Linear(60, 8), nn.Linear(8, 8), nn.Linear(7, CLASSES)
        self.middle.bias.data[0] = 1e10

    def forward(self, x):
        return self.outer(self.middle(self.inner(x.flatten(1)).tanh())[:, 1:].tanh())


def test_products_whose_terms_cancel_are_made_one_by_one(batch, monkeypatch):
    def error() -> float:
        torch.manual_seed(0)
        return error_of_float32(Large().double(), *batch)

    assert error() < 1e-5
    monkeypatch.setattr(second_order, "CANCELLATION", float("inf"))
    assert error() > 1e-4


class Rounded(torch.autograd.Function):
    """Rounds, and passes gradients on as if it did not."""

    @staticmethod
    def forward(context, value):
        return value.round()

    @staticmethod
    def backward(context, gradient):
        return gradient


class Straight(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        return self.outer(Rounded.apply(4 * self.inner(x.flatten(1))).tanh())


class SecondPlace(nn.Module):
    """A weight that is used from a list, where no other tensor can be put in its place."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7, bias=False), nn.Linear(7, CLASSES)
        self.used = [self.inner.weight]

    def forward(self, x):
        return self.outer(F.linear(x.flatten(1), self.used[0]).tanh())


class Changing(nn.Module):
    """A buffer with two values in one pass."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, CLASSES)
        self.register_buffer("shift", torch.ones(()))

    def forward(self, x):
        self.shift.fill_(1)
        hidden = (self.inner(x.flatten(1)) + self.shift).tanh()
        self.shift.fill_(3)
        return self.outer(hidden.square() + self.shift)


class Waves(nn.Module):
    """Complex numbers."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(4, CLASSES)

    def forward(self, x):
        return self.outer(torch.fft.rfft(self.inner(x.flatten(1))).abs())


@pytest.mark.parametrize("kind", [Straight, SecondPlace, Changing, Waves])
def test_what_a_sweep_cannot_follow_is_left_to_products(kind, batch):
    torch.manual_seed(0)
    model = kind().double()
    vectors = directions(model)
    with pytest.raises(RuntimeError):
        QuadraticForm(model, trainable(model), *batch)
    product = HessianProduct(model, *batch, "test")
    expected = [torch.dot(z, product(z)).item() for z in vectors]
    assert product.forms(vectors) == pytest.approx(expected, rel=1e-12)


class Noisy(nn.Module):
    """Random numbers of a distribution that the parameters move."""

    def __init__(self):
        super().__init__()
        self.outer = nn.Linear(60, CLASSES)

    def forward(self, x):
        out = self.outer(x.flatten(1))
        return out + torch.normal(out, 1.0)


def test_random_numbers_that_depend_on_parameters_are_refused(batch):
    model = Noisy().double()
    with pytest.raises(NotImplementedError, match="random"):
        QuadraticForm(model, trainable(model), *batch)


def test_a_loss_that_depends_on_no_trained_parameter_is_refused(batch):
    model = NotCalled().double()
    model.requires_grad_(False).inner.bias.requires_grad_(True)
    with pytest.raises(NotImplementedError, match="the loss depends on no parameter"):
        QuadraticForm(model, trainable(model), *batch)


def test_a_branch_that_leads_nowhere_does_not_count(batch):
    class Branch(NotCalled):
        def forward(self, x):
            logits = super().forward(x)
            self.inner(x.flatten(1)).exp().sum()
            return logits

    torch.manual_seed(0)
    model = Branch().double()
    vectors = directions(model)
    form = QuadraticForm(model, trainable(model), *batch)
    product = HessianProduct(NotCalled().double(), *batch, "test")
    values = [form(product.pieces(z)) for z in vectors]
    assert values == pytest.approx([exact_form(model, *batch, z) for z in vectors], rel=1e-9)
