"""What a measurement is taken on: one batch, or more than fits into memory at once."""

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

Source = Tensor | Iterable[Tensor | tuple[Tensor, Tensor]]


def batches(model: nn.Module, x: Source, y: Tensor | None, name: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The batches x (B, ...), y (B,) on the model's device; y is None where no labels are given.

    x: a tensor, or an iterable of batches, tensors x or pairs (x, y), such as a DataLoader; then y is not given.
    Raises ValueError for data without examples, and if an iterable comes with labels of its own; `name`: of what.
    """
    device = next(model.parameters()).device
    if y is not None and not isinstance(x, Tensor):
        raise ValueError(f"{name}: with batches, labels belong into them, as pairs (x, y); leave y out")
    count = 0
    for batch in [(x, y)] if isinstance(x, Tensor) else x:
        inputs, labels = (batch, None) if isinstance(batch, Tensor) else batch
        count += len(inputs)
        if len(inputs):
            yield inputs.to(device), None if labels is None else labels.to(device)
    require_examples(count, name)


def labelled(model: nn.Module, x: Source, y: Tensor | None, name: str) -> Iterator[tuple[Tensor, Tensor]]:
    """The same with labels; raises ValueError where there are none."""
    for inputs, labels in batches(model, x, y, name):
        if labels is None:
            raise ValueError(f"{name}: labels are needed; give y (B,), or batches (x, y)")
        yield inputs, labels


def require_examples(count: int, name: str) -> None:
    """Raises ValueError for no examples: a mean over none is undefined. `name`: of what."""
    if not count:
        raise ValueError(f"{name}: the batch is empty; allowed: one example or more")


def again(x: Source, name: str) -> None:
    """Raises ValueError for data that can be read only once, which a measurement of several passes cannot use."""
    if not isinstance(x, Tensor) and isinstance(x, Iterator):
        raise ValueError(
            f"{name}: an iterator can be read once, but several passes are needed; give a list or a loader"
        )
