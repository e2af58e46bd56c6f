"""Norms of the gradients of single examples, without a backward pass for each.

One forward pass records what every layer took, one backward pass what arrived at its output; `layers` makes norms of
it. Parameters outside such layers (bare ones, shared or reparametrised weights, rarer layers) go through vectorised
differentiation, which is as exact.
"""

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm

from catfish.curvature import layers
from catfish.curvature.data import Source, labelled
from catfish.curvature.evaluation import evaluation_mode

_CHUNK_BYTES = 2**29  # memory for gradients held at once on the generic path


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
        for inputs, labels in labelled(model, x, y, "per_example_gradient_norms"):
            tape = Tape(model, inputs)
            for name, squares in by_layer(tape.squares(residuals(tape.logits, labels))).items():
                parts.setdefault(name, []).append(squares)
    found = {name: torch.cat(squares) for name, squares in parts.items()}
    if per_layer:
        return {name: squares.sqrt() for name, squares in found.items()}
    return torch.stack(list(found.values())).sum(0).sqrt()


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
        self._calls = {
            name: found[0]
            for name, found in calls.items()
            if len(found) == 1
            and len(probed[name]) == 1
            and (len(found[0][1]), len(probed[name][0][1])) == (len(x), len(few))
            and layers.takes(candidates[name], found[0][1])
            and found[0][1]._version == found[0][2]  # not overwritten since
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
        edges = [edge for _, _, _, edge in self._calls.values()]
        found: dict[str, Tensor] = {}
        if edges:
            gradients = torch.autograd.grad(
                self.logits, edges, cotangents, retain_graph=again, allow_unused=True, materialize_grads=True
            )
            for (name, (layer, a, _, _)), g in zip(self._calls.items(), gradients):
                for own, value in layers.squares(layer, a, g).items():
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
    """The modules with trained parameters that they share with no other, if `layers` knows their kind."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for p in module.parameters(recurse=False):
            owners[id(p)] = owners.get(id(p), 0) + 1
    return {
        name: module
        for name, module in model.named_modules()
        if layers.is_known(module)
        and any(p.requires_grad for p in module.parameters())
        and all(owners[id(p)] == 1 for p in module.parameters())
    }


def _recorded(model: nn.Module, candidates: dict[str, nn.Module], x: Tensor):
    """The logits, and for each candidate its calls: (layer, input, the input's version, edge of the output)."""
    calls: dict[str, list] = {name: [] for name in candidates}

    def remember(name: str):
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            # The edge stays that of the layer's output when a ReLU then overwrites the tensor in place.
            a = inputs[0].detach() if inputs else x.new_empty(0)  # called by keyword: not served
            calls[name].append((layer, a, a._version, get_gradient_edge(output) if output.requires_grad else None))

        return hook

    hooks = [layer.register_forward_hook(remember(name)) for name, layer in candidates.items()]
    try:
        return model(x), calls
    finally:
        for hook in hooks:
            hook.remove()


def _generic(model: nn.Module, names: list[str], x: Tensor, cotangents: Tensor) -> dict[str, Tensor]:
    """The same squares from explicit per-example gradients of the named parameters, a chunk of examples at a time."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    chosen = {name: parameters.pop(name) for name in names}
    fixed = parameters | {name: b.detach() for name, b in model.named_buffers()}

    def product(some: dict[str, Tensor], one: Tensor, cotangent: Tensor) -> Tensor:
        return (torch.func.functional_call(model, (some, fixed), (one[None],))[0] * cotangent).sum()

    def norms(one: Tensor, cotangent: Tensor) -> dict[str, Tensor]:
        return {name: g.square().sum() for name, g in torch.func.grad(product)(chosen, one, cotangent).items()}

    bytes_each = sum(p.numel() * p.element_size() for p in chosen.values())
    chunk = max(1, _CHUNK_BYTES // max(1, bytes_each))
    return torch.func.vmap(norms, chunk_size=chunk, randomness="error")(x, cotangents)
