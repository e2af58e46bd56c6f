"""Products of curvature matrices with vectors, without the matrices; to be used inside `evaluation_mode`."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catfish.convolution import TwiceDifferentiable
from catfish.curvature.data import Source, again, batches, labelled
from catfish.curvature.second_order import QuadraticForm
from catfish.gradients import loss_gradient, trainable

Batch = tuple[Tensor, Tensor | None]


class Product(ABC):
    """v -> A v for a matrix A that is a mean over examples; v, A v: (P,) over the trained parameters."""

    def __init__(self, model: nn.Module, x: Source, y: Tensor | None, name: str):
        again(x, name)
        self.model, self.parameters = model, trainable(model)
        self.size = sum(p.numel() for p in self.parameters)
        self.single = isinstance(x, Tensor)
        self._data = (x, y, name)
        self._kept: dict[Callable, Any] = {}  # of the only batch; several batches make theirs for every product

    @abstractmethod
    def batches(self, x: Source, y: Tensor | None, name: str) -> Iterable[Batch]:
        """The data, checked."""

    @abstractmethod
    def graph(self, inputs: Tensor, labels: Tensor | None) -> Any:
        """What all products with one batch share."""

    @abstractmethod
    def product(self, graph: Any, pieces: list[Tensor]) -> list[Tensor]:
        """A v on one batch, v and A v as tensors of the parameters' shapes."""

    def __call__(self, vector: Tensor) -> Tensor:
        pieces = self.pieces(vector)
        return self.mean(self.graph, lambda graph: _flat(self.product(graph, pieces)))

    def mean(self, prepare: Callable, value: Callable[[Any], Tensor]) -> Tensor:
        """The mean over all examples of value(prepare(x, y)), which is a mean over those of a batch."""
        if self.single:
            if prepare not in self._kept:
                ((inputs, labels),) = self.batches(*self._data)
                self._kept[prepare] = prepare(inputs, labels)
            return value(self._kept[prepare])
        total, count = None, 0
        for inputs, labels in self.batches(*self._data):
            part = len(inputs) * value(prepare(inputs, labels))
            total = part if total is None else total.add_(part)
            count += len(inputs)
        return total / count

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """A vector (P,) as tensors of the parameters' shapes."""
        parts = vector.split([p.numel() for p in self.parameters])
        return [part.view_as(p) for part, p in zip(parts, self.parameters)]

    def random(self, generator: torch.Generator | None, distribution: str = "gaussian") -> Tensor:
        """A random vector (P,) of independent entries with mean zero and variance one, of the parameters' type."""
        vector = torch.empty(self.size, device=self.parameters[0].device, dtype=self.parameters[0].dtype)
        if distribution == "gaussian":
            return vector.normal_(generator=generator)
        return vector.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)


def _flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


class HessianProduct(Product):
    """H of the mean loss. One product costs about two forward and backward passes, with batches three."""

    forms_work = True  # until they turn out not to

    def __init__(
        self,
        model: nn.Module,
        x: Source,
        y: Tensor | None,
        name: str,
        loss: Callable[..., Tensor] = F.cross_entropy,
    ):
        super().__init__(model, x, y, name)
        self.loss = loss

    def forms(self, vectors: list[Tensor]) -> list[float]:
        """v^T H v for each v, by `QuadraticForm` if it can read the model, else by products; of the cross-entropy."""
        if self.forms_work:
            pieces = [self.pieces(vector) for vector in vectors]
            try:
                return self.mean(
                    self.form, lambda form: torch.tensor([form(p) for p in pieces], dtype=torch.float64)
                ).tolist()
            except RuntimeError:
                self.forms_work = False
                self._kept.clear()
        return [torch.dot(vector, self(vector)).item() for vector in vectors]

    def form(self, inputs: Tensor, labels: Tensor) -> QuadraticForm:
        return QuadraticForm(self.model, self.parameters, inputs, labels)

    def batches(self, x: Source, y: Tensor | None, name: str) -> Iterable[Batch]:
        return labelled(self.model, x, y, name)

    def graph(self, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        with TwiceDifferentiable():
            return loss_gradient(self.model(inputs), labels, self.parameters, differentiable=True, loss=self.loss)

    def product(self, graph: list[Tensor], pieces: list[Tensor]) -> list[Tensor]:
        dependent = [(g, v) for g, v in zip(graph, pieces) if g.requires_grad]
        outputs, vectors = zip(*dependent)
        return list(torch.autograd.grad(outputs, self.parameters, vectors, retain_graph=True, materialize_grads=True))


class FisherProduct(Product):
    """F = 1/B sum_i J_i^T (diag(p_i) - p_i p_i^T) J_i, J_i the Jacobian of example i's logits, p_i its softmax.

    The expectation over all classes, exactly. One product costs about two forward and backward passes.
    """

    def batches(self, x: Source, y: Tensor | None, name: str) -> Iterable[Batch]:
        return batches(self.model, x, y, name)

    def graph(self, inputs: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The logits z, a variable w (B, K), and J^T w, which is linear in w: its derivative along w is J."""
        with TwiceDifferentiable():
            logits = self.model(inputs)
            w = torch.zeros_like(logits, requires_grad=True)
            transposed = torch.autograd.grad(logits, self.parameters, w, create_graph=True, materialize_grads=True)
        return logits, w, list(transposed)

    def product(self, graph: tuple[Tensor, Tensor, list[Tensor]], pieces: list[Tensor]) -> list[Tensor]:
        logits, w, transposed = graph
        outputs, vectors = zip(*((t, v) for t, v in zip(transposed, pieces) if t.requires_grad))
        (along,) = torch.autograd.grad(outputs, w, vectors, retain_graph=True)  # J v, (B, K)
        p = logits.detach().softmax(1)
        weighted = p * (along - (p * along).sum(1, keepdim=True)) / len(p)
        return list(torch.autograd.grad(logits, self.parameters, weighted, retain_graph=True, materialize_grads=True))
