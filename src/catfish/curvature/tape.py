"""A network's operations on one batch, recorded once, with the loss's gradient at the output of each."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, functionalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten


@dataclass
class Operation:
    """One of torch's elementary operations. Values that depend on parameters have numbers; the others are constants."""

    function: Callable  # without side effects
    flat: list[Any]  # all arguments, lists unpacked; in `record`'s result those with numbers are leaves of autograd's
    layout: Any  # how `flat` becomes positional and named arguments
    results: list[Any]  # the outputs; in `record`'s result with the graph from `flat`
    sources: dict[int, int]  # position in `flat` -> number of the value
    targets: dict[int, int] = field(default_factory=dict)  # position in `results` -> number of the value
    deltas: dict[int, Tensor] = field(default_factory=dict)  # position in `results` -> the loss's gradient there

    def __call__(self, replaced: dict[int, Any]) -> list[Any]:
        """The outputs with other values at these positions of `flat`."""
        flat = [replaced.get(position, value) for position, value in enumerate(self.flat)]
        arguments, named = tree_unflatten(flat, self.layout)
        return tree_flatten(self.function(*arguments, **named))[0]


def _copied(to: Tensor, value: Tensor, non_blocking: bool = False) -> Tensor:
    return value.to(to).expand_as(to)


INSTEAD = {torch.ops.aten.copy.default: _copied}  # what autograd does not know, in operations that it does


def record(
    model: nn.Module,
    parameters: list[nn.Parameter],
    x: Tensor,
    loss: Callable[[Tensor], Tensor],
    wanted: Callable[[Operation], bool],
) -> list[Operation]:
    """All operations between `parameters`, which are values number 0, 1, ..., and loss(model(x)), in order.

    The loss's gradients are those with respect to the outputs of the operations that are `wanted`. Two forward passes
    and a backward one without parameters' gradients. Raises RuntimeError for what cannot be told from the operations or
    performed again: functions that come with a derivative of their own, parameters that a model keeps in a second
    place, random numbers from a distribution that parameters move, buffers that change, complex numbers.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    values = [p.detach() for p in parameters]

    def run(values: list[Tensor], inputs: Tensor) -> Tensor:
        weights = {names[id(p)]: value for p, value in zip(parameters, values)}
        return loss(functional_call(model, weights, (inputs,)))

    with _Recorder(values) as recorder:
        output = functionalize(run)(values, x)  # which writes in-place operations as ones without side effects
    if any(value._version != version for value, version in recorder.constants):
        raise NotImplementedError("a buffer changes between its uses")
    known = _again(recorder.operations, parameters)
    last = recorder.numbers.get(id(output))
    if last not in known:
        raise NotImplementedError("the loss depends on no parameter")
    operations = [operation for operation in recorder.operations if operation.targets]
    _differentiate(operations, {last: torch.ones_like(known[last])}, len(parameters), wanted)
    return operations


class _Recorder(TorchDispatchMode):
    """Notes every operation on values that autograd would differentiate with respect to the given ones."""

    def __init__(self, given: list[Tensor]):
        super().__init__()
        self.operations: list[Operation] = []
        self.numbers = {id(value): number for number, value in enumerate(given)}
        self.given, self.count = given, len(given)
        self.constants: list[tuple[Tensor, int]] = []  # with the number of changes until their use

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Without this the first operation imports torch's compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        output = function(*arguments, **(named or {}))
        flat, layout = tree_flatten((arguments, named or {}))
        tensors = {position: value for position, value in enumerate(flat) if isinstance(value, Tensor)}
        if any(value.requires_grad for value in tensors.values()):
            raise NotImplementedError(f"{function}: a parameter from outside of the model's own")
        sources = {position: self.numbers[id(v)] for position, v in tensors.items() if id(v) in self.numbers}
        if sources and torch.is_grad_enabled():
            if function._schema.is_mutable or torch.Tag.nondeterministic_seeded in function.tags:
                raise NotImplementedError(f"{function} is random or changes its arguments")
            self.constants += [(value, value._version) for p, value in tensors.items() if p not in sources]
            self._note(Operation(INSTEAD.get(function, function), flat, layout, tree_flatten(output)[0], sources))
        return output

    def _note(self, operation: Operation) -> None:
        """Keeps the outputs alive, so that an id stays with one value."""
        for position, value in enumerate(operation.results):
            if isinstance(value, Tensor) and value.is_complex():
                raise NotImplementedError(f"{operation.function} has complex outputs")
            if isinstance(value, Tensor) and value.is_floating_point():
                self.numbers[id(value)] = operation.targets[position] = self.count
                self.count += 1
        self.operations.append(operation)


def _again(operations: list[Operation], parameters: list[nn.Parameter]) -> dict[int, Tensor]:
    """Performs each operation in a graph of its own; returns all values. Targets that autograd holds constant go."""
    values = dict(enumerate(p.detach() for p in parameters))
    for operation in operations:
        operation.sources = {position: n for position, n in operation.sources.items() if n in values}
        for position, n in operation.sources.items():
            operation.flat[position] = values[n].detach().requires_grad_()
        if operation.sources:
            operation.results = operation({})
        targets = operation.targets.items() if operation.sources else ()
        operation.targets = {position: n for position, n in targets if operation.results[position].requires_grad}
        values.update((n, operation.results[position].detach()) for position, n in operation.targets.items())
    return values


def _differentiate(
    operations: list[Operation], gradients: dict[int, Tensor], first: int, wanted: Callable[[Operation], bool]
) -> None:
    """Goes back from the known gradients, number -> gradient, to all values but those with numbers below `first`."""
    for operation in reversed(operations):
        deltas = {position: gradients.pop(n) for position, n in operation.targets.items() if n in gradients}
        places = [position for position, n in operation.sources.items() if n >= first]
        if deltas and wanted(operation):
            operation.deltas = deltas
        if not deltas or not places:
            continue
        outputs, arguments = [operation.results[p] for p in deltas], [operation.flat[p] for p in places]
        parts = torch.autograd.grad(outputs, arguments, list(deltas.values()), retain_graph=True, allow_unused=True)
        for number, part in zip((operation.sources[p] for p in places), parts):
            if part is not None:
                gradients[number] = gradients[number] + part if number in gradients else part
