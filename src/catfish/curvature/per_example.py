"""Norms of the gradients of single examples, without a backward pass for each.

One forward pass records what every layer took, one backward pass what arrived at its output; `layers` makes norms of
it, and for rarer layers vectorised differentiation of the layer alone. Parameters used otherwise (bare ones, shared or
reparametrised weights) go through vectorised differentiation of the model, which is as exact.
"""

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm

from catfish.curvature import layers
from catfish.curvature.data import Source, labelled
from catfish.curvature.evaluation import evaluation_mode
from catfish.curvature.uses import uses

_CHUNK_BYTES = 2**29  # memory for gradients held at once on the generic path
_ACTIVATION_BYTES = 2**28  # of layers' outputs at once on a CPU; beyond, memory is slower than one example at a time


def per_example_gradient_norms(
    model: nn.Module, x: Source, y: Tensor | None = None, per_layer: bool = False
) -> Tensor | dict[str, Tensor]:
    """||g(x_i, y_i)|| for every example, over the trained parameters; x (B, ...), y (B,) class numbers -> (B,).

    g(x, y) is the gradient of the cross-entropy of one example. x may be an iterable of batches (x, y) instead. With
    `per_layer` a norm for every module with trained parameters of its own, by its name ("" for the model itself);
    their squares add up to the whole one's square. Evaluation mode; exact up to rounding for every model whose output
    for an example depends on that example alone. Costs about one forward and one backward pass. Raises ValueError for
    no examples or labels, and for batch norm without running statistics, where no example has a gradient of its own.
    """
    parts: dict[str, list[Tensor]] = {}
    with evaluation_mode(model):
        for inputs, labels in portions(model, labelled(model, x, y, "per_example_gradient_norms")):
            tape = Tape(model, inputs)
            for name, squares in by_layer(tape.squares(residuals(tape.logits, labels))).items():
                parts.setdefault(name, []).append(squares)
    found = {name: torch.cat(squares) for name, squares in parts.items()}
    if per_layer:
        return {name: squares.sqrt() for name, squares in found.items()}
    return torch.stack(list(found.values())).sum(0).sqrt()


def portions(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor | None]]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The same examples in batches that suit a CPU's memory; on other devices as they come."""
    size = None
    for x, y in batches:
        if x.device.type != "cpu":
            yield x, y
            continue
        if size is None:
            size = max(1, _ACTIVATION_BYTES // max(1, _output_bytes(model, x[:1])))
        yield from zip(x.split(size), repeat(None) if y is None else y.split(size))


@torch.no_grad()
def _output_bytes(model: nn.Module, x: Tensor) -> int:
    """Memory of what the layers of a model give for x."""
    sizes: list[int] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        sizes.extend(tensor.nbytes for tensor in [output] if isinstance(tensor, Tensor))

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        model(x)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sizes)


def residuals(logits: Tensor, y: Tensor) -> Tensor:
    """The gradient of each example's cross-entropy at its logits, softmax(z) - onehot(y); (B, K)."""
    values = logits.detach().to(torch.promote_types(logits.dtype, torch.float32)).softmax(1)
    return values.scatter_add(1, y[:, None], -torch.ones_like(values[:, :1])).to(logits.dtype)


def by_layer(squares: dict[str, Tensor]) -> dict[str, Tensor]:
    """The sums over the parameters of each module, in the order of the model."""
    found: dict[str, Tensor] = {}
    for name, value in squares.items():
        layer = name.rpartition(".")[0]
        found[layer] = found[layer] + value if layer in found else value
    return found


class Call(NamedTuple):
    """One call of a layer."""

    layer: nn.Module
    a: Tensor  # what it took
    version: int  # of that tensor, to notice when it is overwritten
    before: Any  # the node of the autograd graph that made it
    edge: Any  # of the output in the autograd graph; None if nothing is differentiated


class Tape:
    """A forward pass in evaluation mode, from which squared norms of per-example gradients can be taken repeatedly.

    logits (B, K). To be used inside `evaluation_mode`.
    """

    def __init__(self, model: nn.Module, x: Tensor):
        _refuse_mixing(model)
        self._model, self._x = model, x
        candidates = _candidates(model)
        self.logits, calls = _recorded(model, candidates, x)
        few = x[:1] if len(x) != 1 else torch.cat([x, x])
        with torch.no_grad():  # shows whether a layer's first dimension counts the examples
            _, probed = _recorded(model, candidates, few)
        total = uses(self.logits.grad_fn) if self.logits.requires_grad else {}
        self._calls = {
            name: found[0]
            for name, found in calls.items()
            if len(found) == len(probed[name]) == 1
            and (len(found[0].a), len(probed[name][0].a)) == (len(x), len(few))
            and _serves(found[0], total)
        }
        served = {
            f"{name}.{own}" if name else own for name in self._calls for own, _ in candidates[name].named_parameters()
        }
        self._trained = [name for name, p in model.named_parameters() if p.requires_grad]
        self._rest = [name for name in self._trained if name not in served]

    def squares(self, cotangents: Tensor, again: bool = False) -> dict[str, Tensor]:
        """||J_i^T c_i||^2 for each trained parameter's name and each example, (B,); cotangents c (B, K).

        J_i is the Jacobian of example i's logits. `again`: keep the pass for another call.
        """
        edges = [call.edge for call in self._calls.values()]
        found: dict[str, Tensor] = {}
        if edges:
            with torch.enable_grad():  # of a number: with vectors, autograd would import sympy first, half a second
                total = (self.logits * cotangents).sum()
            gradients = torch.autograd.grad(total, edges, retain_graph=again, allow_unused=True, materialize_grads=True)
            for (name, call), g in zip(self._calls.items(), gradients):
                form = layers.squares if layers.is_known(call.layer) else _of_layer
                for own, value in form(call.layer, call.a, g).items():
                    found[f"{name}.{own}" if name else own] = value
        if self._rest:
            found |= _generic(self._model, self._rest, self._x, cotangents)
        return {name: found[name] for name in self._trained}


def _refuse_mixing(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(
                f"{name or type(module).__name__}: batch norm without running statistics mixes the examples of a "
                "batch, so none has a gradient of its own; use track_running_stats=True"
            )


def _candidates(model: nn.Module) -> dict[str, nn.Module]:
    """The modules whose parameters are all their own: neither a submodule's nor shared with another module."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for p in module.parameters(recurse=False):
            owners[id(p)] = owners.get(id(p), 0) + 1
    return {
        name: module
        for name, module in model.named_modules()
        if any(p.requires_grad for p in module.parameters())
        and all(owners[id(p)] == 1 for p in module.parameters())
        and not any(True for child in module.children() for _ in child.parameters())
    }


def _recorded(model: nn.Module, candidates: dict[str, nn.Module], x: Tensor) -> tuple[Tensor, dict[str, list[Call]]]:
    """The logits, and the calls of each candidate."""
    calls: dict[str, list[Call]] = {name: [] for name in candidates}

    def remember(name: str):
        def hook(layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            tensors = (*inputs, output)
            if named or len(tensors) != 2 or not all(isinstance(tensor, Tensor) for tensor in tensors):
                calls[name] += [None, None]  # not to be served, as little as a layer that is called twice
                return
            # The edge stays that of the layer's output when a ReLU then overwrites the tensor in place.
            edge = get_gradient_edge(output) if output.requires_grad else None
            calls[name].append(Call(layer, inputs[0].detach(), inputs[0]._version, inputs[0].grad_fn, edge))

        return hook

    hooks = [layer.register_forward_hook(remember(name), with_kwargs=True) for name, layer in candidates.items()]
    try:
        return model(x), calls
    finally:
        for hook in hooks:
            hook.remove()


def _serves(call: Call, total: dict[int, int]) -> bool:
    """Whether the gradients of a layer's parameters follow from this call: the model uses them nowhere else."""
    layer, a = call.layer, call.a
    if call.edge is None or (layers.is_known(layer) and not layers.takes(layer, a)) or a._version != call.version:
        return False
    here = uses(call.edge.node, call.before)
    return all(here[id(p)] == total[id(p)] for p in layer.parameters() if p.requires_grad)


def _of_layer(layer: nn.Module, a: Tensor, g: Tensor) -> dict[str, Tensor]:
    """What `layers.squares` gives, for a layer of any kind, from explicit gradients of its trained parameters."""
    trained = {name: p.detach() for name, p in layer.named_parameters() if p.requires_grad}
    fixed = {name: p.detach() for name, p in layer.named_parameters() if not p.requires_grad}
    fixed |= {name: buffer.detach() for name, buffer in layer.named_buffers()}

    def product(some: dict[str, Tensor], one: Tensor, cotangent: Tensor) -> Tensor:
        return (torch.func.functional_call(layer, (some, fixed), (one[None],))[0] * cotangent).sum()

    return _squared_gradients(product, trained, a, g)


def _generic(model: nn.Module, names: list[str], x: Tensor, cotangents: Tensor) -> dict[str, Tensor]:
    """The same squares from explicit per-example gradients of the named parameters, a chunk of examples at a time."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    chosen = {name: parameters.pop(name) for name in names}
    fixed = parameters | {name: b.detach() for name, b in model.named_buffers()}

    def product(some: dict[str, Tensor], one: Tensor, cotangent: Tensor) -> Tensor:
        return (torch.func.functional_call(model, (some, fixed), (one[None],))[0] * cotangent).sum()

    return _squared_gradients(product, chosen, x, cotangents)


def _squared_gradients(product, parameters: dict[str, Tensor], x: Tensor, cotangents: Tensor) -> dict[str, Tensor]:
    """Squared norms (B,) of the gradients of product(parameters, x_i, c_i), a chunk of examples at a time."""

    def norms(one: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
        return {name: g.square().sum() for name, g in torch.func.grad(product)(parameters, one, cotangent).items()}

    bytes_each = sum(p.numel() * p.element_size() for p in parameters.values())
    chunk = max(1, _CHUNK_BYTES // max(1, bytes_each))
    return torch.func.vmap(norms, chunk_size=chunk, randomness="error")(x, cotangents)
