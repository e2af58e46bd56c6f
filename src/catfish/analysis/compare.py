"""Two result folders A and B side by side: the same configurations, their quantities and the differences.

Configurations meet by their ids. These hold symbols (`eta_star`, `small`, `best`), so two scales meet although the
values that the symbols stand for differ.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from catfish.analysis.collect import LoadedRun
from catfish.analysis.result_folder import ResultFolder
from catfish.analysis.statistics import (
    Summary,
    max_fisher_trace,
    summarise,
    test_accuracy,
    train_accuracy,
    train_seconds,
)


@dataclass(frozen=True)
class Quantity:
    """A number of a completed run; NaN where it was not measured."""

    name: str
    title: str
    unit: str
    of_run: Callable[[LoadedRun], float]


# A run does not know at which epoch its params file reports the accuracy, so all accuracies are those of the last.
QUANTITIES = (
    Quantity("test_accuracy", "test accuracy (%)", "%", lambda run: 100 * test_accuracy(run, "last")),
    Quantity("max_fisher_trace", "max Tr(F)", "1", max_fisher_trace),
    Quantity("train_accuracy", "training accuracy (%)", "%", lambda run: 100 * train_accuracy(run)),
    Quantity("hessian_trace", "Tr(H)", "1", lambda run: float(run.history["hessian_trace"].iloc[-1])),
    Quantity("seconds_per_epoch", "seconds per epoch", "s", train_seconds),
)


def shared(a: ResultFolder, b: ResultFolder) -> list[str]:
    """The ids of the configurations that are in both."""
    return sorted(set(a.runs) & set(b.runs))


def compare(a: ResultFolder, b: ResultFolder) -> pd.DataFrame:
    """One row per shared configuration and quantity, with columns of A and of B ending in `_a` and `_b`.

    `mean` and `std` are over the `n` completed runs that measured the quantity; `difference` is B minus A, and
    `standard_error` is its own, without the assumption of equal spreads (Welch).
    """
    return pd.DataFrame([_row(id, a.runs[id], b.runs[id], quantity) for id in shared(a, b) for quantity in QUANTITIES])


def _row(id: str, a: list[LoadedRun], b: list[LoadedRun], quantity: Quantity) -> dict[str, Any]:
    setting, method, _ = id.split("/")
    sides = {**_side(a, quantity, "a"), **_side(b, quantity, "b")}
    difference = sides["mean_b"] - sides["mean_a"]
    error = standard_error(_summary(a, quantity), _summary(b, quantity))
    return {
        "configuration": id,
        "setting": setting,
        "method": method,
        "quantity": quantity.name,
        "unit": quantity.unit,
        **sides,
        "difference": difference,
        "standard_error": error,
        "difference_in_standard_errors": difference / error,
    }


def _side(runs: list[LoadedRun], quantity: Quantity, side: str) -> dict[str, Any]:
    summary = _summary(runs, quantity)
    values = {
        "learning_rate": resolved(runs, "learning_rate"),
        "coefficient": resolved(runs, "coefficient"),
        "mean": summary.mean,
        "std": summary.std,
        "n": summary.n,
        "diverged": sum(not run.completed for run in runs),
    }
    return {f"{key}_{side}": value for key, value in values.items()}


def _summary(runs: list[LoadedRun], quantity: Quantity) -> Summary:
    values = [quantity.of_run(run) for run in runs if run.completed]
    return summarise([value for value in values if not math.isnan(value)])


def standard_error(a: Summary, b: Summary) -> float:
    """Of the difference of two means; NaN where a side has fewer than two values, or neither side's values differ."""
    if min(a.n, b.n) < 2:
        return math.nan
    error = math.sqrt(a.std**2 / a.n + b.std**2 / b.n)
    rounding = 1e-12 * max(abs(a.mean), abs(b.mean))  # which leaves equal values a tiny spread
    return error if error > rounding else math.nan


def resolved(runs: list[LoadedRun], key: str) -> str:
    """The number that the symbol of a configuration stood for in its runs, as text; empty where there is none."""
    values = {run.record["run"].get(key) for run in runs} - {None}
    return ", ".join(f"{value:g}" for value in sorted(values))


def same_runs(a: ResultFolder, b: ResultFolder) -> tuple[int, int, int]:
    """How many runs (configuration and seed) are in both; with the same fingerprint; with the same history."""
    pairs = [(x, y) for id in shared(a, b) for x in a.runs[id] for y in b.runs[id] if x.seed == y.seed]
    fingerprints = [x.record.get("fingerprint") == y.record.get("fingerprint") for x, y in pairs]
    return len(pairs), sum(fingerprints), sum(x.history.equals(y.history) for x, y in pairs)
