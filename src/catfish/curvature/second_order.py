"""z^T H z for many z, H the Hessian of the loss on one batch, without the products H z.

Along theta + t z every value v of the network has a first derivative v' and the loss has the second derivative
z^T H z. By the chain rule that is the sum over the operations of <d, s>: d, the loss's gradient at the operation's
output, is the same for all z; s is the operation's own second derivative along the v' of its arguments. So all
directions share one forward and one backward pass, and each takes only a sweep of first derivatives from the parameters
to the loss. An operation that is linear, or piecewise so, has s = 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catfish.curvature.tape import Operation, record

aten = torch.ops.aten
Along = dict[int, Tensor]  # position among an operation's arguments, or its results -> first derivative there
Rule = Callable[[Along], tuple[Along, list[Tensor]]]  # of the arguments -> of the results, and the terms of <d, s>

# Operations that are linear or piecewise so, for which s need not be computed.
STRAIGHT = {
    aten.relu.default,
    aten.threshold.default,
    aten.leaky_relu.default,
    aten.max_pool2d_with_indices.default,
    aten.avg_pool2d.default,
    aten._adaptive_avg_pool2d.default,
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.cat.default,
    aten.mean.dim,
    aten.sum.dim_IntList,
    aten.view.default,
    aten._unsafe_view.default,
    aten.expand.default,
    aten.permute.default,
    aten.transpose.int,
    aten.t.default,
    aten.clone.default,
    aten.slice.Tensor,
    aten.select.int,
}

# Products: positions of the two factors, and of what is added to the product.
PRODUCTS = {aten.convolution.default: (0, 1, 2), aten.addmm.default: (1, 2, 0), aten.mm.default: (0, 1, None)}
CANCELLATION = 10.0  # how much larger than their sum terms may be: one digit lost


class QuadraticForm:
    """z -> z^T H z, H of the mean cross-entropy on x (B, ...), y (B,); z as tensors of the parameters' shapes.

    Raises RuntimeError for a model that `record` refuses and for an operation that torch cannot differentiate twice.
    """

    def __init__(self, model: nn.Module, parameters: list[nn.Parameter], x: Tensor, y: Tensor):
        def loss(logits: Tensor) -> Tensor:
            return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), y)

        self.operations = record(model, parameters, x, loss, lambda operation: operation.function not in STRAIGHT)
        self.rules = [_rule(operation) for operation in self.operations]
        last = {n: step for step, o in enumerate(self.operations) for n in (*o.sources.values(), *o.targets.values())}
        self.finished = [[n for n, end in last.items() if end == step] for step in range(len(self.operations))]

    @torch.no_grad()
    def __call__(self, direction: list[Tensor]) -> float:
        along = dict(enumerate(direction))
        terms: list[Tensor] = []
        for operation, rule, finished in zip(self.operations, self.rules, self.finished):
            results, seconds = rule({position: along[n] for position, n in operation.sources.items()})
            along.update((n, results[position]) for position, n in operation.targets.items())
            terms += seconds
            for number in finished:
                del along[number]
        return float(sum(terms))


def _rule(operation: Operation) -> Rule:
    factors = PRODUCTS.get(operation.function, ())[:2]
    scaled = operation.function is aten.addmm.default and len(operation.flat) > 3  # alpha, beta
    return _Product(operation) if operation.sources.keys() & set(factors) and not scaled else _generic(operation)


def _generic(operation: Operation) -> Rule:
    """By autograd: <J^T u, a'> at u = d has the derivative J a' with respect to u, and h, <h, a'> = <d, s>, to a."""
    places, variables = list(operation.sources), [operation.flat[position] for position in operation.sources]
    outputs = [operation.results[position] for position in operation.targets]
    gradients = [operation.deltas.get(position, _zeros(output)) for position, output in zip(operation.targets, outputs)]
    weights = [gradient.detach().requires_grad_() for gradient in gradients]
    transposed = torch.autograd.grad(outputs, variables, weights, create_graph=True, materialize_grads=True)
    wanted = weights if operation.function in STRAIGHT else weights + variables
    known = [(t, place) for t, place in zip(transposed, places) if t.requires_grad]  # the others are zero

    def rule(along: Along) -> tuple[Along, list[Tensor]]:
        if not known:
            return {position: _zeros(weight) for position, weight in zip(operation.targets, weights)}, []
        functions, vectors = zip(*((t, along[place]) for t, place in known))
        derivatives = torch.autograd.grad(functions, wanted, vectors, retain_graph=True, allow_unused=True)
        first = [_zeros(weight) if value is None else value for weight, value in zip(weights, derivatives)]
        seconds = zip(places, derivatives[len(weights) :])
        return dict(zip(operation.targets, first)), [(s * along[place]).sum() for place, s in seconds if s is not None]

    return rule


def _zeros(like: Tensor) -> Tensor:
    """Without memory."""
    return like.new_zeros(()).expand_as(like)


class _Product:
    """a b + c, of factors a, b and an optional c: its derivative is a' b + a b' + c', and s = 2 a' b'.

    Two products instead of three: with q = a' b' and any number r, (a + a'/r) (r b + b') = r a b + a' b + a b' + q/r.
    """

    def __init__(self, operation: Operation):
        self.operation = operation
        self.places = PRODUCTS[operation.function]
        constants = [None if place is None else operation.flat[place] for place in self.places]
        self.a, self.b, self.c = (value if value is None else value.detach() for value in constants)
        self.value = operation.results[0].detach()
        self.norm = self.value.norm()
        self.short = self.value.dtype in (torch.float32, torch.float64)

    def __call__(self, along: Along) -> tuple[Along, list[Tensor]]:
        a, b, c = (along.get(place) for place in self.places)
        if a is None:
            return {0: self.times(self.a, b, c)}, []
        if b is None:
            return {0: self.times(a, self.b, c)}, []
        q = self.times(a, b)
        first = self.from_two(a, b, c, q) if self.short else None
        if first is None:
            first = self.times(a, self.b, c).add_(self.times(self.a, b))
        delta = self.operation.deltas.get(0)
        return {0: first}, [] if delta is None else [2 * torch.dot(delta.flatten(), q.flatten())]

    def times(self, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        first, second, added = self.places
        if c is None and self.operation.function is aten.addmm.default:
            return a @ b
        return self.operation({first: a, second: b} if added is None else {first: a, second: b, added: c})[0]

    def from_two(self, a: Tensor, b: Tensor, c: Tensor | None, q: Tensor) -> Tensor | None:
        """r makes r a b and q/r equally large. None where they are so large that rounding would show."""
        size = q.norm()
        r = (size / self.norm).sqrt().item()
        if not 0 < r < float("inf"):
            return None
        shift = c if self.c is None else r * self.c if c is None else torch.add(c, self.c, alpha=r)
        first = self.times(torch.add(self.a, a, alpha=1 / r), torch.add(b, self.b, alpha=r), shift)
        first.sub_(self.value, alpha=r).sub_(q, alpha=1 / r)
        if (size * self.norm).sqrt() > CANCELLATION * first.norm():
            self.short = False
            return None
        return first
