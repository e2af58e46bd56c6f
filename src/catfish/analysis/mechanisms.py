"""What the experiments around the paper are summed up by: numbers of single runs, and which runs are compared.

Jastrzebski et al. 2020, "The Break-Even Point on Optimization Trajectories of Deep Neural Networks"; Cohen et al. 2021,
"Gradient Descent on Neural Networks Typically Occurs at the Edge of Stability".
"""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from catfish.analysis.collect import Case, LoadedRun

HYPERPARAMETERS = ("learning_rate", "batch_size")


def hyperparameters(case: Case) -> dict[str, float]:
    """Learning rate and batch size."""
    return {key: case.runs[0].record["run"][key] for key in HYPERPARAMETERS}


def differing_in(key: str, cases: Iterable[Case]) -> list[Case]:
    """The cases that differ in `key`, one of HYPERPARAMETERS, and not in the other, in ascending order.

    Of several such families the largest one; an empty list if none has two cases.
    """
    (other,) = set(HYPERPARAMETERS) - {key}
    families: dict[float, list[Case]] = {}
    for case in cases:
        families.setdefault(hyperparameters(case)[other], []).append(case)
    largest = max(families.values(), key=len)
    return sorted(largest, key=lambda case: hyperparameters(case)[key]) if len(largest) > 1 else []


def largest(run: LoadedRun, column: str) -> float:
    """The largest value along the trajectory, without the initialisation; NaN if it was never measured there."""
    return float(run.history[column].iloc[1:].max())


def stability(run: LoadedRun) -> pd.Series:
    """lambda_H^1 eta / 2 at every epoch at which the sharpness was measured: 1 is the edge of stability."""
    return (run.history["hessian_largest"] * run.record["run"]["learning_rate"] / 2).dropna()


def arrival(run: LoadedRun) -> int | None:
    """The first measured epoch after the initialisation at which the sharpness is 2 / eta or more; None if it never is.

    One that begins above the edge falls below it first, if it does not diverge.
    """
    values = stability(run)
    below = values.index[values < 1]
    if below.empty:
        return None
    reached = values.index[(values >= 1) & (values.index > below[0])]
    return int(reached[0]) if len(reached) else None


def mean_stability(run: LoadedRun) -> float:
    """The time average of lambda_H^1 eta / 2 from the arrival on; NaN without an arrival."""
    start = arrival(run)
    return math.nan if start is None else float(stability(run).loc[start:].mean())


def share_of_rises(run: LoadedRun) -> float:
    """The share of the steps after the arrival that raised the training loss; NaN without two such steps.

    Of full-batch gradient descent: `minibatch_loss` is the training loss before an epoch's only step.
    """
    losses = _losses_from_arrival(run)
    return float((np.diff(losses) > 0).mean()) if len(losses) > 1 else math.nan


def loss_ratio(run: LoadedRun) -> float:
    """The training loss before the last step to that on arrival; NaN without two steps after the arrival."""
    losses = _losses_from_arrival(run)
    return float(losses[-1] / losses[0]) if len(losses) > 1 else math.nan


def _losses_from_arrival(run: LoadedRun) -> np.ndarray:
    start = arrival(run)
    return np.empty(0) if start is None else run.history["minibatch_loss"].loc[start + 1 :].to_numpy()


def outputs(run: LoadedRun) -> np.ndarray:
    """The network's outputs along its first steps, (points, examples x classes)."""
    return run.trajectory.filter(regex="^output_").to_numpy()


def parting(one: np.ndarray, other: np.ndarray) -> int | None:
    """The first point of trajectory `one` (n, d) from which on it keeps away from all of `other` (m, d).

    Away: farther from every point of the other than twice the median distance between neighbours along the two. None if
    it is never so, or from the first point on, when there is nothing common to part from.
    """
    steps = [np.linalg.norm(np.diff(path, axis=0), axis=1) for path in (one, other)]
    near = 2 * np.median(np.concatenate(steps))
    nearest = np.linalg.norm(one[:, None] - other[None], axis=2).min(1)
    together = np.flatnonzero(nearest <= near)
    if together.size == 0 or together[-1] + 1 == len(one):
        return None
    return int(together[-1]) + 1
