"""Curves over epochs: the tidy data that a figure's CSV holds, and the lines drawn from it."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from catfish.analysis.collect import Case, LoadedRun

COLUMNS = ["panel", "setting", "method", "learning_rate", "coefficient", "series", "outcome", "x", "y", "y_low",
           "y_high", "n"]  # fmt: skip


def curve(
    case: Case, panel: str, series: str, of_run: Callable[[LoadedRun], pd.Series], window: int = 1, first: int = 0
) -> pd.DataFrame:
    """A quantity over epochs: mean, minimum and maximum over the completed runs, then every diverged run by itself.

    of_run: gives the quantity in the unit drawn, NaN where it was not measured, one value per row of the history.
    window: epochs of the centred moving average that each run is smoothed with; it shrinks at both ends.
    first: epoch to start from.
    """
    parts = []
    completed = [_smoothed(of_run(run), window, first) for run in case.completed]
    if completed:
        table = pd.concat(completed, axis=1)
        parts.append(_part("completed", table))
    for run in case.diverged:
        table = _smoothed(of_run(run), window, first).to_frame()
        parts.append(_part(f"{run.outcome_text} (seed {run.seed})", table))
    data = pd.concat(parts, ignore_index=True)
    configuration = case.configuration
    data = data.assign(panel=panel, setting=configuration.setting, method=configuration.method, series=series,
                       learning_rate=case.learning_rate, coefficient=case.coefficient)  # fmt: skip
    return data[COLUMNS]


def draw(axes, data: pd.DataFrame, colour, linestyle: str = "-", band: bool = True) -> None:
    """One method's series: a line, with a band from minimum to maximum; a diverged run is thin and ends in a cross."""
    for outcome, part in data.groupby("outcome", sort=False):
        if outcome == "completed":
            axes.plot(part["x"], part["y"], color=colour, linestyle=linestyle)
            if band and part["n"].max() > 1:
                axes.fill_between(part["x"], part["y_low"], part["y_high"], color=colour, alpha=0.2, linewidth=0)
        else:
            axes.plot(part["x"], part["y"], color=colour, linestyle=linestyle, linewidth=0.7)
            axes.plot(part["x"].iloc[-1:], part["y"].iloc[-1:], color=colour, marker="x", markersize=4, clip_on=False)


def smoothing_window(epochs: int) -> int:
    """About a thirtieth of the training, and odd, so that the average is centred: 1 below 60 epochs, 11 for 300."""
    return 2 * (epochs // 60) + 1


def _smoothed(values: pd.Series, window: int, first: int) -> pd.Series:
    values = values.loc[first:].replace([np.inf, -np.inf], np.nan)  # the last values before a divergence can overflow
    return values.rolling(window, center=True, min_periods=1).mean().where(values.notna())


def _part(outcome: str, table: pd.DataFrame) -> pd.DataFrame:
    """Statistics over the columns (one a run); rows are epochs, those without any measurement are left out."""
    table = table.dropna(how="all")
    return pd.DataFrame({
        "outcome": outcome,
        "x": table.index,
        "y": table.mean(axis=1).to_numpy(),
        "y_low": table.min(axis=1).to_numpy(),
        "y_high": table.max(axis=1).to_numpy(),
        "n": table.notna().sum(axis=1).to_numpy(),
    })  # fmt: skip
