"""One training run, from its initialisation or its last checkpoint to its last epoch."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from catfish import models
from catfish.convolution import TwiceDifferentiable
from catfish.penalties import PENALTIES
from catfish.plan import STEPS_FILE, WEIGHTS_FILE, Run
from catfish.records import COLUMNS, STEP_COLUMNS, TIMING_COLUMNS, Table
from catfish.training import checkpoint
from catfish.training.batch_norm import refreshed_statistics
from catfish.training.batches import AUGMENTATIONS, Data, epoch_order
from catfish.training.measurements import curvatures, evaluations, step_fisher_trace
from catfish.training.mixup import mixed, mixed_loss
from catfish.training.seeds import derive, generator
from catfish.training.sgd import SGD

CHECKPOINT_SECONDS = 30.0  # a shorter run is cheaper to repeat than to save


@dataclass
class State:
    """All that changes while a run goes on, and so all that a checkpoint holds."""

    model: nn.Module
    optimizer: SGD
    penalty: object | None
    generators: dict[str, torch.Generator]
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    rows: int = 0
    measured: list[dict] = field(default_factory=list)  # rows of steps.csv of the current epoch
    parts: dict = field(init=False)

    def __post_init__(self):
        self.parts = {"model": self.model, "optimizer": self.optimizer}
        if self.penalty is not None:
            self.parts["penalty"] = self.penalty

    def state_dict(self) -> dict:
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            "generators": {name: source.get_state() for name, source in self.generators.items()},
            **{name: getattr(self, name) for name in ("epoch", "step", "seconds", "rows")},
        }

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        for name, source in self.generators.items():
            source.set_state(state["generators"][name].cpu())
        for name in ("epoch", "step", "seconds", "rows"):
            setattr(self, name, state[name])


def initial_state(run: Run, classes: int, device: torch.device) -> State:
    """The run before its first step; initial weights depend on the run's seed alone, whatever the method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "weights"))
        model = models.build(run.model, classes, run.width, run.depth)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = SGD(model.parameters(), run.learning_rate, run.momentum, run.weight_decay)
    generators = {name: generator(device, run.seed, name) for name in ("order", "augmentation", "labels", "mixup")}
    penalty = None
    if run.penalty is not None:
        form = {key: getattr(run, key) for key in ("first_examples", "micro_batch", "derivative")}
        penalty = PENALTIES[run.penalty](model, run.coefficient, run.every, generators["labels"], **form)
    return State(model, optimizer, penalty, generators)


def learning_rate(run: Run, epoch: int) -> float:
    """The learning rate of an epoch, counted from 1: multiplied by `decay` after each milestone that is past."""
    return run.learning_rate * run.decay ** sum(epoch > milestone for milestone in run.milestones)


def train_run(
    run: Run,
    data: Data,
    folder: Path,
    fingerprint: str,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    start: Path | None = None,
    keeps_weights: bool = False,
    say: Callable[[str], None] = print,
) -> tuple[dict, float]:
    """Train one run and write its tables into `folder`; the outcome and the seconds it took.

    The outcome is {"status": "completed"} or {"status": "diverged", "step": n}, n the first step (from 1) whose loss
    was not finite. Goes on from the folder's checkpoint if it belongs to the run, with the same numbers (CPU) as if
    it had never been interrupted. `start` is a file of weights to begin with, in place of a fresh initialisation; with
    `keeps_weights`, the final ones are written for others. `say` receives one line an epoch.
    """
    if len(data.train) < run.batch_size:
        raise ValueError(f"batch_size: {run.batch_size} is more than the {len(data.train)} training examples")
    state, saved = initial_state(run, data.classes, data.train.labels.device), folder / checkpoint.NAME
    stored = checkpoint.load(saved, fingerprint, data.train.labels.device)
    if stored is not None:
        state.load_state_dict(stored)
        say(f"goes on after epoch {state.epoch} of {run.epochs}")
    elif start is not None:
        checkpoint.load_weights(start, state.model)
    history = Table(folder / "history.csv", COLUMNS, keep=state.rows)
    timing = Table(folder / "timing.csv", TIMING_COLUMNS, keep=state.rows)
    steps = None
    if run.measure.fisher_steps:
        steps = Table(folder / STEPS_FILE, STEP_COLUMNS, keep=min(state.step, run.measure.fisher_steps))
    if state.rows == 0:
        _finish_epoch(run, state, data, history, timing, {}, None, say)
    since_saved, outcome = time.perf_counter(), {"status": "completed"}
    while state.epoch < run.epochs:
        started = time.perf_counter()
        losses = train_epoch(run, state, data)
        elapsed = time.perf_counter() - started
        while state.measured:
            steps.append(state.measured.pop(0))
        broken = first_not_finite(losses)
        if broken is not None:
            outcome = {"status": "diverged", "step": state.step - len(losses) + broken + 1}
            state.seconds += elapsed
            break
        _finish_epoch(run, state, data, history, timing, {"minibatch_loss": losses.mean().item()}, elapsed, say)
        if time.perf_counter() - since_saved >= checkpoint_seconds and state.epoch < run.epochs:
            checkpoint.save(saved, {"fingerprint": fingerprint, **state.state_dict()})
            since_saved = time.perf_counter()
    if keeps_weights:
        checkpoint.save(folder / WEIGHTS_FILE, state.model.state_dict())
    saved.unlink(missing_ok=True)
    return outcome, state.seconds


def first_not_finite(losses: Tensor) -> int | None:
    """The index of the first loss that is infinite or not a number, if there is one."""
    broken = (~losses.isfinite()).nonzero()
    return broken[0].item() if len(broken) else None


def train_epoch(run: Run, state: State, data: Data) -> Tensor:
    """One pass over the training examples; the losses of its steps (steps,), read from the device only at its end.

    The last entry also stands for the weights after the last step, so that a run that breaks there is noticed.
    """
    state.model.train()
    state.epoch += 1
    state.optimizer.learning_rate = learning_rate(run, state.epoch)
    losses = []
    order = list(epoch_order(len(data.train), run.batch_size, state.generators["order"]))
    batches, shown = data.train.batches(order), f"epoch {state.epoch}/{run.epochs}"
    for images, y in tqdm(batches, shown, len(order), unit="step", leave=False, disable=None):
        losses.append(_step(run, state, data, images, y))
        state.step += 1
    total = torch.stack([parameter.detach().sum() for parameter in state.model.parameters()]).sum()
    losses[-1] = torch.where(total.isfinite(), losses[-1], math.nan)
    return torch.stack(losses).cpu()


def _step(run: Run, state: State, data: Data, images: Tensor, y: Tensor) -> Tensor:
    x = data.pixels(AUGMENTATIONS[run.augment](images, state.generators["augmentation"]))
    penalty = state.penalty if state.epoch > run.onset else None
    shares = penalty is not None and penalty.shares
    measures = state.step < run.measure.fisher_steps
    if measures:
        trace = step_fisher_trace(run, state.model, data, state.step)
    state.optimizer.zero_grad()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=run.precision == "bf16"):
        with TwiceDifferentiable() if shares else nullcontext():
            logits, loss = _forward(run, state, x, y)
        loss.backward(retain_graph=shares)
        if penalty is not None:
            penalty.add_gradient(x, y, logits if shares else None)
    state.optimizer.step()
    if measures:
        accuracy = (logits.argmax(1) == y).float().mean().item()
        state.measured.append({"step": state.step + 1, "fisher_trace": trace, "minibatch_accuracy": accuracy})
    return loss.detach()


def _forward(run: Run, state: State, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of the batch, and its loss."""
    if not run.mixup:
        logits = state.model(x)
        return logits, F.cross_entropy(logits.float(), y)
    inputs, partners, weight = mixed(x, y, run.coefficient, state.generators["mixup"])
    logits = state.model(inputs)
    return logits, mixed_loss(logits.float(), y, partners, weight)


def _finish_epoch(
    run: Run,
    state: State,
    data: Data,
    history: Table,
    timing: Table,
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
    if state.epoch:
        row["learning_rate"] = learning_rate(run, state.epoch)
    ended = time.perf_counter()
    history.append(row)
    seconds = {"train": elapsed, "evaluation": evaluated - started, "curvature": ended - evaluated}
    timing.append({"epoch": state.epoch, **{f"{part}_seconds": value for part, value in seconds.items()}})
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
