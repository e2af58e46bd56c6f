"""Figures 15 and 16: Tr(F) at every step, and the accuracy on the step's own mini-batch."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from catfish.analysis import labels
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import curves, scale, style
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "batch_size", "learning_rate", "series", "outcome", "x", "y", "y_low", "y_high", "n"]
_PANELS = {
    # panel: (axis label, column of the steps, factor)
    "fisher_trace": (r"$\mathrm{Tr}(\mathbf{F})$", "fisher_trace", 1),
    "minibatch_accuracy": ("accuracy on the mini-batch (%)", "minibatch_accuracy", 100),
}
_POINTS = 500  # of a line, about what a panel has pixels for; steps that share a point are shown by their range
_GREY = "#777777"


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure and its tidy data; one colour per batch size, or per learning rate if there is one size only.

    Series `line`: `y` is the moving average, mean over the runs; `y_low` to `y_high` are the extremes of all single
    steps of all runs for Tr(F), and of the runs' moving averages for the accuracy. Series `maximum`: the largest Tr(F)
    of any step of a completed run.
    """
    cases = load(plan, plan.shown(name))
    steps = max(len(run.steps) for case in cases for run in case.runs)
    window = smoothing_window(steps)
    parts = [_data(case, window) for case in cases]
    data = pd.concat(parts, ignore_index=True)
    varied = "batch_size" if data["batch_size"].nunique() > 1 else "learning_rate"
    colours = scale.colours(data[varied])
    titles = dict.fromkeys(labels.title(plan.params, setting) for setting in plan.params.outputs[name].settings)
    figure, (strip,) = style.rows(["; ".join(titles)], height=2.9)
    for ax, (panel, (label, _, _)) in zip(strip.subplots(1, len(_PANELS)), _PANELS.items()):
        for part in parts:
            _draw(ax, part[part["panel"] == panel], colours.to_rgba(part[varied].iloc[0]))
        style.finish(ax, data[data["panel"] == panel], label, steps, unit="step")
    keys = [_key(case, part, colours.to_rgba(part[varied].iloc[0])) for case, part in zip(cases, parts)]
    if (data["outcome"] == "completed").any():
        keys.append(Patch(color=_GREY, alpha=0.3, linewidth=0, label="single steps of all runs (left)"))
        keys.append(style.key("largest", _GREY, ":", "o"))
    style.legend(strip, keys, cases, window, unit="steps")
    return figure, data


def smoothing_window(steps: int) -> int:
    """About a fiftieth of the steps, and odd, so that the average is centred: 3 for 80 steps, 141 for 7000."""
    return 2 * math.ceil(steps / 100) + 1


def _data(case: Case, window: int) -> pd.DataFrame:
    """A case's lines in both panels, of the completed runs and of every diverged one by itself, and its maximum."""
    parts = []
    for panel in _PANELS:
        if case.completed:
            parts.append(_line(case.completed, panel, window).assign(outcome="completed"))
        for run in case.diverged:
            parts.append(_line([run], panel, window).assign(outcome=f"{run.outcome_text} (seed {run.seed})"))
    data = pd.concat([*parts, _maximum(case)], ignore_index=True)
    return data.assign(
        setting=case.configuration.setting,
        batch_size=case.runs[0].record["run"]["batch_size"],
        learning_rate=case.learning_rate,
    )[COLUMNS]


def _line(runs: list[LoadedRun], panel: str, window: int) -> pd.DataFrame:
    """At most about _POINTS points, each of several successive steps if need be."""
    table = _table(runs, panel)
    smooth = table.rolling(window, center=True, min_periods=1).mean()
    spread = table if panel == "fisher_trace" else smooth
    point = (table.index - 1) // max(1, math.ceil(len(table) / _POINTS))
    return pd.DataFrame({
        "panel": panel,
        "series": "line",
        "x": table.index.to_series().groupby(point).mean(),
        "y": smooth.mean(axis=1).groupby(point).mean(),
        "y_low": spread.min(axis=1).groupby(point).min(),
        "y_high": spread.max(axis=1).groupby(point).max(),
        "n": len(runs),
    })  # fmt: skip


def _maximum(case: Case) -> pd.DataFrame:
    if not case.completed:
        return pd.DataFrame()
    largest = _table(case.completed, "fisher_trace").max(axis=1)
    peak = largest.max()
    row = {"panel": "fisher_trace", "series": "maximum", "outcome": "completed", "x": largest.idxmax(), "y": peak,
           "y_low": peak, "y_high": peak, "n": len(case.completed)}  # fmt: skip
    return pd.DataFrame([row])


def _table(runs: list[LoadedRun], panel: str) -> pd.DataFrame:
    """A quantity in the unit drawn, a row per step and a column per run; of a diverged run what it was before."""
    _, column, factor = _PANELS[panel]
    columns = []
    for run in runs:
        values = run.steps.set_index("step")[column]
        columns.append(values if run.completed else values.loc[: run.record["outcome"]["step"]])
    return factor * pd.concat(columns, axis=1).replace(np.inf, np.nan).dropna(how="all")


def _draw(axes, data: pd.DataFrame, colour) -> None:
    line = data[data["series"] == "line"]
    completed = line[line["outcome"] == "completed"]
    # The thin edge keeps a range without width visible: a single run of which every step is a point of its own.
    axes.fill_between(completed["x"], completed["y_low"], completed["y_high"], color=colour, alpha=0.3, linewidth=0.4)
    curves.draw(axes, line, colour, band=False)
    for peak in data[data["series"] == "maximum"].itertuples():
        axes.axhline(peak.y, color=colour, linestyle=":", linewidth=0.7)
        axes.plot([peak.x], [peak.y], color=colour, marker="o", markersize=3.5)


def _key(case: Case, data: pd.DataFrame, colour) -> Line2D:
    size, rate = data["batch_size"].iloc[0], labels.number(case.learning_rate)
    text = rf"$S$ = {size}, $\eta$ = {rate}"
    for peak in data[data["series"] == "maximum"].itertuples():
        text += rf": largest $\mathrm{{Tr}}(\mathbf{{F}})$ {labels.number(peak.y)}, at step {peak.x:.0f}"
    return style.key(text + style.diverged_text(case), colour)
