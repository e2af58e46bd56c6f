"""One training run, from its initialisation or its last checkpoint to its last epoch."""

import math
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from catfish.convolution import TwiceDifferentiable
from catfish.gradients import LOSSES
from catfish.perturbation import perturbed
from catfish.plan import NORMS_FILE, WEIGHTS_FILE, Run
from catfish.records import COLUMNS, TIMING_COLUMNS, Table
from catfish.training import checkpoint, grafting, step_measurements
from catfish.training.batch_norm import refreshed_statistics
from catfish.training.batches import AUGMENTATIONS, Data, epoch_order
from catfish.training.checkpoint import Keeper
from catfish.training.measurements import curvatures, evaluations
from catfish.training.mixup import mixed, mixed_loss
from catfish.training.precision import trained_in
from catfish.training.state import State, initial_state
from catfish.training.step_measurements import StepMeasurements


def learning_rate(run: Run, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1: multiplied by `decay` after each milestone that is past."""
    return run.learning_rate * run.decay ** sum(epoch > milestone for milestone in run.milestones)


def train_run(
    run: Run,
    data: Data,
    folder: Path,
    keeper: Keeper,
    start: Path | None = None,
    norms: Path | None = None,
    kept: Collection[str] = (),
    say: Callable[[str], None] = print,
) -> tuple[dict, float]:
    """Train one run and write its tables into `folder`; the outcome and the seconds it took.

    The outcome is {"status": "completed"} or {"status": "diverged", "step": n}, n the first step (from 1) whose loss
    was not finite. Goes on from the keeper's checkpoint if there is one, with the same numbers (CPU) as if it had never
    been interrupted. `start` is a file of weights to begin with, in place of a fresh initialisation; `norms` one of the
    gradient norms that the steps take. WEIGHTS_FILE and NORMS_FILE are written for others if they are among `kept`.
    `say` receives one line an epoch.
    Raises Interrupted, with everything saved, when the process is asked to end.
    """
    if len(data.train) < run.batch_size:
        raise ValueError(f"batch_size: {run.batch_size} is more than the {len(data.train)} training examples")
    device, steps = data.train.labels.device, run.epochs * (len(data.train) // run.batch_size)
    state = initial_state(run, data.classes, device)
    if NORMS_FILE in kept:
        state.norms = torch.full((steps,), math.nan, device=device)
    if norms is not None:
        state.taken_norms = grafting.read_norms(norms, steps, run.step_norm == "constant", device)
    if keeper.resume(state):
        say(f"goes on after step {state.step}, in epoch {state.epoch} of {run.epochs}")
    elif start is not None:
        checkpoint.load_weights(start, state.model)
    tables = _tables(run, state, data, folder)
    if state.rows == 0:
        _finish_epoch(run, state, data, tables, {}, None, say)
    outcome = {"status": "completed"}
    while state.epoch < run.epochs or state.order is not None:
        losses = train_epoch(run, state, data, lambda: keeper.after_step(state))
        for name, rows in state.measured.items():
            tables[name].append(*rows)
        state.measured = {}
        broken = first_not_finite(losses)
        if broken is not None:
            outcome = {"status": "diverged", "step": state.step - len(losses) + broken + 1}
            state.seconds += state.elapsed
            break
        known = {"minibatch_loss": losses.mean().item(), "learning_rate": learning_rate(run, state.epoch)}
        _finish_epoch(run, state, data, tables, known, state.elapsed, say)
        state.elapsed = 0.0
    if WEIGHTS_FILE in kept:
        checkpoint.write(folder / WEIGHTS_FILE, state.model.state_dict())
    if NORMS_FILE in kept:
        checkpoint.write(folder / NORMS_FILE, {"norms": state.norms})
    return outcome, state.seconds


def _tables(run: Run, state: State, data: Data, folder: Path) -> dict[str, Table]:
    """The run's tables, cut back to what the state has seen, by file name."""
    tables = {"history.csv": Table(folder / "history.csv", COLUMNS, keep=state.rows)}
    tables["timing.csv"] = Table(folder / "timing.csv", TIMING_COLUMNS, keep=state.rows)
    rows = step_measurements.rows(run.measure, state.step - len(state.losses))
    for name, columns in step_measurements.columns(run, state.model, data.classes).items():
        tables[name] = Table(folder / name, columns, keep=rows[name])
    return tables


def first_not_finite(losses: Tensor) -> int | None:
    """The index of the first loss that is infinite or not a number, if there is one."""
    broken = (~losses.isfinite()).nonzero()
    return broken[0].item() if len(broken) else None


def train_epoch(run: Run, state: State, data: Data, after_step: Callable[[], None] = lambda: None) -> Tensor:
    """One pass over the training examples, or what is left of it; the losses (steps,) of all its steps.

    They are read from the device only at the end. The last entry also stands for the weights after the last step, so
    that a run that breaks there is noticed.
    """
    state.model.train()
    if state.order is None:
        state.epoch += 1
        state.order = epoch_order(len(data.train), run.batch_size, state.generators["order"])
    state.optimizer.learning_rate = learning_rate(run, state.epoch)
    done, total, started = len(state.losses), len(state.order), time.perf_counter()
    batches, shown = data.train.batches(state.order[done:]), f"epoch {state.epoch}/{run.epochs}"
    for images, y in tqdm(batches, shown, total, initial=done, unit="step", leave=False, disable=None):
        state.losses.append(_step(run, state, data, images, y))
        state.step += 1
        state.elapsed += time.perf_counter() - started
        after_step()
        started = time.perf_counter()
    weights = torch.stack([parameter.detach().sum() for parameter in state.model.parameters()]).sum()
    losses = torch.stack(state.losses)
    losses[-1] = torch.where(weights.isfinite(), losses[-1], math.nan)
    losses = losses.cpu()
    state.elapsed += time.perf_counter() - started
    state.order, state.losses = None, []
    return losses


def _step(run: Run, state: State, data: Data, images: Tensor, y: Tensor) -> Tensor:
    x = data.pixels(AUGMENTATIONS[run.augment](images, state.generators["augmentation"]))
    measurements = StepMeasurements(run, state.model, data, state.step)
    state.optimizer.zero_grad()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=trained_in(run, x.device) == "bf16"):
        logits, loss = _gradient(run, state, x, y)
    state.optimizer.step()
    for name, row in measurements.after(logits, y).items():
        state.measured.setdefault(name, []).append(row)
    return loss


def _gradient(run: Run, state: State, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Leave what the step goes along in the parameters' `.grad`; the logits of the batch, and its loss."""
    penalty = state.penalty if state.epoch > run.onset else None
    shares = penalty is not None and penalty.shares and run.forward_batch is None
    logits, loss = _loss_gradient(run, state, x, y, shares)
    if state.norms is not None:
        state.norms[state.step] = grafting.gradient_norm(state.model)
    if penalty is not None:
        penalty.add_gradient(x, y, logits if shares else None)
    if run.sam:
        with perturbed(state.model, run.coefficient):
            _loss_gradient(run, state, x, y)
    if run.step_norm is not None:
        grafting.take_norm(state.model, _taken_norm(run, state, x, y))
    return logits, loss.detach()


def _loss_gradient(run: Run, state: State, x: Tensor, y: Tensor, shares: bool = False) -> tuple[Tensor, Tensor]:
    """Add the gradient of the loss to the parameters' `.grad`; the logits of the batch, and its loss.

    With `shares`, their graph is kept, and can be differentiated twice fast.
    """
    if run.forward_batch is None:
        with TwiceDifferentiable() if shares else nullcontext():
            logits, loss = _forward(run, state, x, y)
        loss.backward(retain_graph=shares)
        return logits, loss
    found = []
    for x_part, y_part in zip(x.split(run.forward_batch), y.split(run.forward_batch)):
        logits, loss = _forward(run, state, x_part, y_part)
        loss = loss * (len(y_part) / len(y))
        loss.backward()
        found.append((logits.detach(), loss.detach()))
    return torch.cat([logits for logits, _ in found]), torch.stack([loss for _, loss in found]).sum()


def _taken_norm(run: Run, state: State, x: Tensor, y: Tensor) -> Tensor:
    """The norm that a grafted step's gradient gets."""
    if run.step_norm == "micro_batch":
        return grafting.small_batch_norm(state.model, x[: run.micro_batch], y[: run.micro_batch])
    return state.taken_norms[state.step]


def _forward(run: Run, state: State, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of the batch, and its loss."""
    if not run.mixup:
        logits = state.model(x)
        return logits, LOSSES[run.loss](logits.float(), y)
    inputs, partners, weight = mixed(x, y, run.coefficient, state.generators["mixup"])
    logits = state.model(inputs)
    return logits, mixed_loss(logits.float(), y, partners, weight)


def _finish_epoch(
    run: Run,
    state: State,
    data: Data,
    tables: dict[str, Table],
    known: dict,
    elapsed: float | None,
    say: Callable[[str], None],
) -> None:
    """Measure, write the epoch's rows, and say one line."""
    started = time.perf_counter()
    row = {"epoch": state.epoch, "step": state.step, **known}
    with refreshed_statistics(run, state.model, data, state.epoch):
        row |= dict(evaluations(run, state.model, data, state.epoch))
        evaluated = time.perf_counter()
        row |= dict(curvatures(run, state.model, data, state.epoch))
    ended = time.perf_counter()
    tables["history.csv"].append(row)
    seconds = {"train": elapsed, "evaluation": evaluated - started, "curvature": ended - evaluated}
    tables["timing.csv"].append({"epoch": state.epoch, **{f"{part}_seconds": value for part, value in seconds.items()}})
    state.rows += 1
    state.seconds += ended - started + (elapsed or 0.0)
    shown = {
        "loss": "train_loss",
        "train": "train_accuracy",
        "validation": "validation_accuracy",
        "test": "test_accuracy",
        "Tr(F)": "fisher_trace",
    }
    text = "  ".join(f"{label} {row[column]:.4g}" for label, column in shown.items() if column in row)
    say(f"epoch {state.epoch}/{run.epochs}  {text}  ({elapsed or 0:.1f} s + {ended - started:.1f} s)")
