"""What is measured at the end of an epoch: each function yields (column of history.csv, value), all in float32.

Each draws from generators of its own, so whether something is measured never changes the trajectory.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from catfish.curvature import (
    GradientCovariance,
    fisher_trace,
    fisher_trace_minibatch,
    gradient_covariance,
    gradient_norm,
    hessian_eigenvalues,
    hessian_trace,
)
from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import LOSSES
from catfish.plan import Run
from catfish.training.batches import Data, Examples, Pixels
from catfish.training.seeds import generator

PIXELS_AT_ONCE = 500 * 32 * 32  # that go through the network in one batch of a measurement

Measurement = tuple[str, float]


def is_due(run: Run, epoch: int) -> bool:
    """Whether anything is measured at the end of this epoch."""
    measure = run.measure
    intervals = (measure.evaluate_every, measure.curvature_every, measure.hessian_every, measure.spectra_every)
    return any(_due(run, epoch, every) for every in intervals)


def _due(run: Run, epoch: int, every: int | None) -> bool:
    return every is not None and (epoch == run.epochs or epoch % every == 0)


def evaluations(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Losses and accuracies that the run's `measure` asks for at the end of this epoch (0: before training)."""
    if _due(run, epoch, run.measure.evaluate_every):
        yield from evaluate_all(run, model, data)


def curvatures(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Gradient norms, traces and spectra that it asks for."""
    if _due(run, epoch, run.measure.curvature_every):
        yield from gradients(run, model, data, epoch)
    if _due(run, epoch, run.measure.hessian_every):
        yield from hessian(run, model, data, epoch)
    if _due(run, epoch, run.measure.spectra_every):
        yield from spectra(run, model, data, epoch)


def evaluate_all(run: Run, model: nn.Module, data: Data) -> Iterator[Measurement]:
    """Loss and accuracy on the training examples (clean and noisy ones apart), on validation and on test images."""
    train = data.train
    if run.measure.train_examples is not None:
        train = draw(train, run.measure.train_examples, generator("cpu", run.seed, "evaluated examples"))
    losses, correct = evaluate(model, train, data.pixels, run.loss)
    yield "train_loss", losses.mean().item()
    yield "train_accuracy", correct.mean().item()
    if train.noisy.any():
        yield "noisy_accuracy", correct[train.noisy].mean().item()
    if not train.noisy.all():
        yield "clean_accuracy", correct[~train.noisy].mean().item()
    for name, examples in (("validation", data.validation), ("test", data.test)):
        if len(examples):
            losses, correct = evaluate(model, examples, data.pixels, run.loss)
            yield f"{name}_loss", losses.mean().item()
            yield f"{name}_accuracy", correct.mean().item()


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, pixels: Pixels, loss: str) -> tuple[Tensor, Tensor]:
    """Loss and correctness (1.0 or 0.0) of every example, (N,) each; evaluation mode."""
    losses, correct = [], []
    with evaluation_mode(model), torch.no_grad():
        for x, labels in batches(examples, pixels):
            logits = model(x)
            losses.append(LOSSES[loss](logits, labels, reduction="none"))
            correct.append((logits.argmax(1) == labels).float())
    return torch.cat(losses), torch.cat(correct)


def gradients(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Tr(F), Tr(F^B) and gradient norms on randomly drawn training examples, without augmentation."""
    count = run.measure.fisher_examples or run.batch_size
    source = generator("cpu", run.seed, "measured examples", epoch)
    labels = generator(data.train.labels.device, run.seed, "measured labels", epoch)
    examples = draw(data.train, count, source)
    yield "fisher_trace", fisher_trace(model, batches(examples, data.pixels), generator=labels)
    yield "fisher_trace_minibatch", fisher_trace_minibatch(model, batches(examples, data.pixels), labels)
    yield "gradient_norm", gradient_norm(model, batches(examples, data.pixels))
    if not data.train.noisy.any():
        return
    for name, group in (("clean", ~data.train.noisy), ("noisy", data.train.noisy)):
        examples = draw(data.train.subset(group.nonzero().squeeze(1)), count, source)
        if len(examples):
            yield f"{name}_gradient_norm", gradient_norm(model, batches(examples, data.pixels))


def hessian(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """Tr(H) with its standard error on randomly drawn training examples."""
    examples = draw(data.train, run.measure.hessian_examples, generator("cpu", run.seed, "hessian examples", epoch))
    probes = generator(data.train.labels.device, run.seed, "hessian probes", epoch)
    x = data.pixels(examples.images)
    trace, error = hessian_trace(model, x, examples.labels, run.measure.hessian_probes, probes)
    yield "hessian_trace", trace
    yield "hessian_trace_error", error


def spectra(run: Run, model: nn.Module, data: Data, epoch: int) -> Iterator[Measurement]:
    """The largest eigenvalues of H, and the spectrum of K if it is asked for, on randomly drawn training examples."""
    measure, loss = run.measure, LOSSES[run.loss]
    source = generator("cpu", run.seed, "spectrum examples", epoch)
    parts = list(batches(draw(data.train, measure.spectra_examples, source), data.pixels))
    start = generator(data.train.labels.device, run.seed, "spectrum start", epoch)
    x, y = parts[0] if len(parts) == 1 else (parts, None)
    found = hessian_eigenvalues(model, x, y, measure.spectra_eigenvalues, generator=start, loss=loss).values
    yield "hessian_largest", found[0].item()
    if measure.spectra_eigenvalues > 1:
        yield "hessian_conditioning", (found[-1] / found[0]).item()
    if measure.covariance_batches:
        covariance = gradient_noise(run, model, data, "covariance examples", epoch)
        yield "covariance_largest", covariance.largest
        yield "covariance_conditioning", covariance.conditioning
        yield "covariance_trace", covariance.trace


def gradient_noise(run: Run, model: nn.Module, data: Data, *purpose: str | int) -> GradientCovariance:
    """K of mini-batches of `covariance_batch` random training examples, whatever the batch size of the training."""
    count, size = run.measure.covariance_batches, run.measure.covariance_batch
    examples = draw(data.train, count * size, generator("cpu", run.seed, *purpose))
    return gradient_covariance(model, list(batches(examples, data.pixels)), group=size, loss=LOSSES[run.loss])


def batches(examples: Examples, pixels: Pixels) -> Iterator[tuple[Tensor, Tensor]]:
    """Network inputs (B, 3, H, W) and labels (B,), B as large as memory for activations is meant to allow."""
    height, width = examples.images.shape[1:3]
    size = max(1, PIXELS_AT_ONCE // (height * width))
    return ((pixels(images), y) for images, y in zip(examples.images.split(size), examples.labels.split(size)))


def draw(examples: Examples, count: int, source: torch.Generator) -> Examples:
    """At most `count` examples, drawn without replacement."""
    index = torch.randperm(len(examples), generator=source)[:count]
    return examples.subset(index.to(examples.labels.device))
