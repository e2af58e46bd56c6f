"""What is measured at single steps: the rows of steps.csv, trajectory.csv and allocation.csv that a run asks for.

Each draws from generators of its own, so whether something is measured never changes the trajectory.
"""

import torch
from torch import Tensor, nn

from catfish.config import Measure
from catfish.curvature import fisher_trace, layer_names, loss_change_allocation
from catfish.curvature.evaluation import evaluation_mode
from catfish.gradients import LOSSES, trainable
from catfish.plan import ALLOCATION_FILE, STEPS_FILE, TRAJECTORY_FILE, Run, step_files
from catfish.records import ALLOCATION_COLUMNS, STEP_COLUMNS, TRAJECTORY_COLUMNS
from catfish.training.batches import Data
from catfish.training.measurements import batches, draw, gradient_noise
from catfish.training.seeds import generator

DIGITS = 4  # after the point of an output, a probability: far below the distances between two points of a trajectory

Row = dict[str, float]


def columns(run: Run, model: nn.Module, classes: int) -> dict[str, tuple[str, ...]]:
    """The columns of each table of single steps that the run has, by file name."""
    outputs = (f"output_{number}" for number in range(run.measure.trajectory_examples * classes))
    known = {
        STEPS_FILE: STEP_COLUMNS,
        TRAJECTORY_FILE: (*TRAJECTORY_COLUMNS, *outputs),
        ALLOCATION_FILE: (*ALLOCATION_COLUMNS, *layer_names(model)),
    }
    return {name: known[name] for name in step_files(vars(run.measure))}


def rows(measure: Measure, steps: int) -> dict[str, int]:
    """How many rows each of these tables has after so many steps."""
    return {
        STEPS_FILE: min(steps, measure.fisher_steps),
        TRAJECTORY_FILE: -(-min(steps, measure.trajectory_steps) // measure.trajectory_every),
        ALLOCATION_FILE: min(steps, measure.allocation_steps),
    }


class StepMeasurements:
    """What is measured before and after one step (from 0) of a run; `rows` are those to be written, by file name."""

    def __init__(self, run: Run, model: nn.Module, data: Data, step: int):
        self.run, self.model, self.data, self.step = run, model, data, step
        self.rows: dict[str, Row] = {}
        measure = run.measure
        if step < measure.fisher_steps:
            self.rows[STEPS_FILE] = {"step": step + 1, "fisher_trace": step_fisher_trace(run, model, data, step)}
        if step < measure.trajectory_steps and step % measure.trajectory_every == 0:
            self.rows[TRAJECTORY_FILE] = trajectory_point(run, model, data, step)
        self.allocates = step < measure.allocation_steps
        self.start = [p.detach().clone() for p in trainable(model)] if self.allocates else []

    def after(self, logits: Tensor, y: Tensor) -> dict[str, Row]:
        """The rows, once the step is taken; logits (B, K) and labels (B,) of its mini-batch."""
        if STEPS_FILE in self.rows:
            self.rows[STEPS_FILE]["minibatch_accuracy"] = (logits.argmax(1) == y).float().mean().item()
        if self.allocates:
            self.rows[ALLOCATION_FILE] = allocation(self.run, self.model, self.data, self.step, self.start)
        return self.rows


def step_fisher_trace(run: Run, model: nn.Module, data: Data, step: int) -> float:
    """Tr(F) before a step (from 0), as it is taken after an epoch; batch norm by its running statistics."""
    count = run.measure.fisher_examples or run.batch_size
    examples = draw(data.train, count, generator("cpu", run.seed, "examples of a step", step))
    labels = generator(data.train.labels.device, run.seed, "labels of a step", step)
    return fisher_trace(model, batches(examples, data.pixels), generator=labels)


def trajectory_point(run: Run, model: nn.Module, data: Data, step: int) -> Row:
    """Where the network is: its outputs and accuracy on the same examples at every step, and lambda_K^1."""
    count = run.measure.trajectory_examples
    examples = draw(data.train, count, generator("cpu", run.seed, "trajectory examples"))
    with evaluation_mode(model), torch.no_grad():
        outputs = torch.cat([model(x).float().softmax(1) for x, _ in batches(examples, data.pixels)])
    accuracy = (outputs.argmax(1) == examples.labels).float().mean().item()
    largest = gradient_noise(run, model, data, "trajectory covariance").largest
    named = {f"output_{number}": round(value, DIGITS) for number, value in enumerate(outputs.flatten().tolist())}
    return {"step": step, "covariance_largest": largest, "train_accuracy": accuracy, **named}


def allocation(run: Run, model: nn.Module, data: Data, step: int, start: list[Tensor]) -> Row:
    """What the step from the weights `start` did to the loss of the same examples at every step, by layer."""
    examples = draw(data.train, run.measure.allocation_examples, generator("cpu", run.seed, "allocation examples"))
    parts = list(batches(examples, data.pixels))
    found = loss_change_allocation(model, start, parts, loss=LOSSES[run.loss])
    ends = {"loss_before": found.before, "loss_after": found.after}
    return {"step": step + 1, **ends, "helping": found.helping, **found.layers}
