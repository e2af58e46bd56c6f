"""What is measured at the end of an epoch: each function yields (column of history.csv, value), all in float32.

Each draws from generators of its own, so whether something is measured never changes the trajectory.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from catfish.curvature import fisher_trace, fisher_trace_minibatch, gradient_norm, hessian_trace
from catfish.curvature.evaluation import evaluation_mode
from catfish.plan import Run
from catfish.training.batches import Data, Examples, Pixels
from catfish.training.seeds import generator

PIXELS_AT_ONCE = 500 * 32 * 32  # that go through the network in one batch of a measurement

Measurement = tuple[str, float]


def is_due(run: Run, epoch: int) -> bool:
    """Whether anything is measured at the end of this epoch."""
    return _evaluates(run, epoch) or _differentiates(run, epoch) or _differentiates_twice(run, epoch)


def _evaluates(run: Run, epoch: int) -> bool:
    return epoch == run.epochs or epoch % run.measure.evaluate_every == 0


def _differentiates(run: Run, epoch: int) -> bool:
    return epoch == run.epochs or epoch % run.measure.curvature_every == 0


def _differentiates_twice(run: Run, epoch: int) -> bool:
    every = run.measure.hessian_every
    return every is not None and (epoch == run.epochs or epoch % every == 0)


def evaluations(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Losses and accuracies that the run's `measure` asks for at the end of this epoch (0: before training)."""
    if _evaluates(run, epoch):
        yield from evaluate_all(run, model, data)


def curvatures(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Gradient norms and traces that it asks for."""
    if _differentiates(run, epoch):
        yield from gradients(run, model, data, epoch)
    if _differentiates_twice(run, epoch):
        yield from hessian(run, model, data, epoch)


def evaluate_all(run: Run, model: nn.Module, data: Data) -> Iterator[Measurement]:
    """Loss and accuracy on the training examples (clean and noisy ones apart), on validation and on test images."""
    train = data.train
    if run.measure.train_examples is not None:
        train = _draw(train, run.measure.train_examples, generator("cpu", run.seed, "evaluated examples"))
    losses, correct = evaluate(model, train, data.pixels)
    yield "train_loss", losses.mean().item()
    yield "train_accuracy", correct.mean().item()
    if train.noisy.any():
        yield "noisy_accuracy", correct[train.noisy].mean().item()
    if not train.noisy.all():
        yield "clean_accuracy", correct[~train.noisy].mean().item()
    for name, examples in (("validation", data.validation), ("test", data.test)):
        if len(examples):
            losses, correct = evaluate(model, examples, data.pixels)
            yield f"{name}_loss", losses.mean().item()
            yield f"{name}_accuracy", correct.mean().item()


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """Cross-entropy and correctness (1.0 or 0.0) of every example, (N,) each; evaluation mode."""
    losses, correct = [], []
    with evaluation_mode(model), torch.no_grad():
        for x, labels in _batches(examples, pixels):
            logits = model(x)
            losses.append(F.cross_entropy(logits, labels, reduction="none"))
            correct.append((logits.argmax(1) == labels).float())
    return torch.cat(losses), torch.cat(correct)


def gradients(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Tr(F), Tr(F^B) and gradient norms on randomly drawn training examples, without augmentation."""
    count = run.measure.fisher_examples or run.batch_size
    draw = generator("cpu", run.seed, "measured examples", epoch)
    labels = generator(data.train.labels.device, run.seed, "measured labels", epoch)
    examples = _draw(data.train, count, draw)
    yield "fisher_trace", fisher_trace(model, _batches(examples, data.pixels), generator=labels)
    yield "fisher_trace_minibatch", fisher_trace_minibatch(model, _batches(examples, data.pixels), labels)
    yield "gradient_norm", gradient_norm(model, _batches(examples, data.pixels))
    if not data.train.noisy.any():
        return
    for name, group in (("clean", ~data.train.noisy), ("noisy", data.train.noisy)):
        examples = _draw(data.train.subset(group.nonzero().squeeze(1)), count, draw)
        if len(examples):
            yield f"{name}_gradient_norm", gradient_norm(model, _batches(examples, data.pixels))


def step_fisher_trace(run: Run, model: nn.Module, data: Data, step: int) -> float:
    """Tr(F) before a step (from 0), as `gradients` takes it after an epoch; batch norm by its running statistics."""
    count = run.measure.fisher_examples or run.batch_size
    examples = _draw(data.train, count, generator("cpu", run.seed, "examples of a step", step))
    labels = generator(data.train.labels.device, run.seed, "labels of a step", step)
    return fisher_trace(model, _batches(examples, data.pixels), generator=labels)


def hessian(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Tr(H) with its standard error on randomly drawn training examples."""
    examples = _draw(data.train, run.measure.hessian_examples, generator("cpu", run.seed, "hessian examples", epoch))
    probes = generator(data.train.labels.device, run.seed, "hessian probes", epoch)
    x = data.pixels(examples.images)
    trace, error = hessian_trace(model, x, examples.labels, run.measure.hessian_probes, probes)
    yield "hessian_trace", trace
    yield "hessian_trace_error", error


def _batches(examples: Examples, pixels: Pixels) -> Iterator[tuple[Tensor, Tensor]]:
    """Network inputs (B, 3, H, W) and labels (B,), B as large as memory for activations is meant to allow."""
    height, width = examples.images.shape[1:3]
    size = max(1, PIXELS_AT_ONCE // (height * width))
    return ((pixels(images), y) for images, y in zip(examples.images.split(size), examples.labels.split(size)))


def _draw(examples: Examples, count: int, source: torch.Generator) -> Examples:
    """At most `count` examples, drawn without replacement."""
    index = torch.randperm(len(examples), generator=source)[:count]
    return examples.subset(index.to(examples.labels.device))
