"""Small networks in float64 that use their layers in every way that matters, and gradients of single examples."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, hessian
from torch.nn import functional as F
from torch.nn.utils import parametrizations

CLASSES = 4
IMAGE = (2, 6, 5)


class Shared(nn.Module):
    """One layer used twice."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(60, 60)
        self.outer = nn.Linear(60, CLASSES)

    def forward(self, x):
        return self.outer(self.inner(self.inner(x.flatten(1)).tanh()))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.outer = nn.Linear(60, 60), nn.Linear(60, 60), nn.Linear(60, CLASSES)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.outer(self.second(self.first(x.flatten(1)).tanh()))


class Sequences(nn.Module):
    """A linear layer on every row of an image."""

    def __init__(self):
        super().__init__()
        self.rows, self.outer = nn.Linear(5, 3), nn.Linear(3, CLASSES)

    def forward(self, x):
        return self.outer(self.rows(x.flatten(1, 2)).tanh().mean(1))


class NotCalled(nn.Module):
    """A layer whose weight is used without calling it."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        return self.outer(F.linear(x.flatten(1), self.inner.weight).relu())


class UsedBesides(nn.Module):
    """A layer that is called once, and whose weight is used once more."""

    def __init__(self):
        super().__init__()
        self.first, self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        inner = self.inner(self.first(x.flatten(1)).tanh())
        return self.outer(F.linear(inner, self.inner.weight))


class CalledInVain(nn.Module):
    """A layer whose call leads nowhere, and whose weight is used once."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(60, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        self.inner(x.flatten(1))
        return self.outer(F.linear(x.flatten(1), self.inner.weight).tanh())


class Scalar(nn.Module):
    """A layer that no library knows: it uses its two numbers three times."""

    def __init__(self):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(0.7)), nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return self.scale * x + self.shift * self.scale


class Gate(nn.Module):
    """A layer of two inputs."""

    def __init__(self):
        super().__init__()
        self.inner, self.gate, self.outer = nn.Linear(60, 7), nn.Bilinear(7, 60, 5), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.outer(self.gate(self.inner(x.flatten(1)), x.flatten(1)))


class Turned(nn.Module):
    """A layer whose first dimension is not the batch, though it may be as long."""

    def __init__(self):
        super().__init__()
        self.rows, self.outer = nn.Linear(10, 7), nn.Linear(7, CLASSES)

    def forward(self, x):
        turned = self.rows(x.transpose(1, 2).flatten(2).transpose(0, 1)[[0, 1, 2, 3, 4, 5, 5]]).tanh()  # (7, B, 7)
        return self.outer(turned.transpose(0, 1).square().sum(1))


class Own(nn.Module):
    """A parameter of its own beside ordinary layers."""

    def __init__(self):
        super().__init__()
        self.scale, self.outer = nn.Parameter(torch.rand(60)), nn.Linear(60, CLASSES)

    def forward(self, x):
        return self.outer(x.flatten(1) * self.scale)


def _conv(*arguments, positions: int, **options) -> nn.Module:
    layer = nn.Conv2d(*arguments, **options)
    return nn.Sequential(layer, nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(arguments[1] * positions, CLASSES))


def _normalised(layer: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(2, 6, 3), layer, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 12, CLASSES))


def _frozen_layer() -> nn.Module:
    model = _conv(2, 3, 3, positions=12)
    model[0].requires_grad_(False)
    return model


def _frozen_bias() -> nn.Module:
    model = _conv(2, 3, 3, positions=12)
    model[0].bias.requires_grad_(False)
    return model


def _deep() -> nn.Module:
    """Both forms of the convolution's formula: many positions and few channels, then the reverse."""
    many = nn.Conv2d(2, 3, 3, padding=1)  # 30 positions
    few = nn.Conv2d(3, 20, 3, padding=1)  # 6 positions
    deep = nn.Conv2d(20, 30, 3, padding=1)
    return nn.Sequential(
        many, nn.ReLU(), nn.MaxPool2d(2), few, nn.Tanh(), deep, nn.ReLU(), nn.Flatten(), nn.Linear(180, CLASSES)
    )


FAST = {  # networks that need no gradients of single examples
    "plain": lambda: _conv(2, 3, 3, positions=12),
    "deep": _deep,
    "strides and dilation": lambda: _conv(2, 3, (3, 2), stride=(2, 1), dilation=(1, 2), padding=(1, 2), positions=21),
    "large strides": lambda: _conv(2, 30, 3, stride=(3, 2), padding=1, positions=6),
    "no bias": lambda: nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(36, CLASSES, bias=False)
    ),
    "groups": lambda: _conv(2, 4, 3, groups=2, positions=12),
    "same padding": lambda: _conv(2, 3, (4, 3), padding="same", positions=30),
    "circular padding": lambda: _conv(2, 3, 3, padding=1, padding_mode="circular", positions=30),
    "batch norm": lambda: _normalised(nn.BatchNorm2d(6)),
    "group norm": lambda: _normalised(nn.GroupNorm(2, 6)),
    "layer norm": lambda: _normalised(nn.LayerNorm([6, 4, 3])),
    "layer norm of rows": lambda: nn.Sequential(nn.LayerNorm(5), nn.Tanh(), nn.Flatten(), nn.Linear(60, CLASSES)),
    "short sequences": Sequences,
    "one layer frozen": _frozen_layer,
    "one bias frozen": _frozen_bias,
}
RARE = {  # networks with layers that are differentiated by themselves
    "transposed": lambda: nn.Sequential(
        nn.ConvTranspose2d(2, 3, 2, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(360, CLASSES)
    ),
    "slopes": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.PReLU(3), nn.Flatten(), nn.Linear(36, CLASSES)),
    "scalars": lambda: nn.Sequential(nn.Conv2d(2, 3, 3), Scalar(), nn.Tanh(), nn.Flatten(), nn.Linear(36, CLASSES)),
}
GENERIC = {
    "weight norm": lambda: nn.Sequential(nn.Flatten(), parametrizations.weight_norm(nn.Linear(60, CLASSES))),
    "used twice": Shared,
    "tied weights": Tied,
    "not called": NotCalled,
    "a parameter of its own": Own,
    "turned": Turned,
    "used besides": UsedBesides,
    "called in vain": CalledInVain,
    "two inputs": Gate,
}


def network(name: str) -> nn.Module:
    """A network in training mode whose batch norm has seen some data."""
    torch.manual_seed(0)
    model = (FAST | RARE | GENERIC)[name]().double()
    with torch.no_grad():
        model(2 + 3 * torch.randn(8, *IMAGE, dtype=torch.float64))
    return model


def gradient_of(loss: torch.Tensor, model: nn.Module) -> torch.Tensor:
    """The gradient with respect to all trained parameters as one vector."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
    return torch.cat([g.flatten() for g in gradients])


def single_gradients(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(B, P): one forward and one backward pass for every example, in evaluation mode."""
    mode = model.training
    model.eval()
    rows = [gradient_of(-model(one[None]).log_softmax(1)[0, label], model) for one, label in zip(x, y)]
    model.train(mode)
    return torch.stack(rows)


def exact_trace(model: nn.Module, x: torch.Tensor) -> float:
    """Tr(F) on these examples: the sum over all classes k of p(k | x) ||g(x, k)||^2, averaged over the examples."""
    model.eval()
    probabilities = model(x).softmax(1).detach()
    total = 0.0
    for label in range(CLASSES):
        squares = single_gradients(model, x, torch.full((len(x),), label)).square().sum(1)
        total += (probabilities[:, label] * squares).mean().item()
    model.train()
    return total


def dense_hessian(model, x, y, loss=F.cross_entropy):
    """(P, P) in evaluation mode."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    sizes = [p.numel() for p in parameters.values()]

    def along(vector):
        pieces = [part.view_as(p) for part, p in zip(vector.split(sizes), parameters.values())]
        return loss(functional_call(model, dict(zip(parameters, pieces)), (x,)), y)

    model.eval()
    matrix = hessian(along)(torch.cat([p.flatten() for p in parameters.values()]))
    model.train()
    return matrix


@pytest.fixture
def batch():
    """x (7, 2, 6, 5), y (7,)."""
    source = torch.Generator().manual_seed(1)
    x = torch.randn(7, *IMAGE, generator=source, dtype=torch.float64)
    return x, torch.randint(CLASSES, (7,), generator=source)


@pytest.fixture
def model():
    """The network with batch norm: evaluation mode matters."""
    return network("batch norm")
