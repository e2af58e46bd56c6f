"""Figures 12 and 18: Tr(F) of single examples, of the mini-batch, and Tr(H), against one another."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure, FigureBase

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, panels, scale, style
from catfish.plan import Plan

FISHER, MINIBATCH, HESSIAN = "fisher_trace", "fisher_trace_minibatch", "hessian_trace"
COLUMNS = ["panel", "setting", "method", "learning_rate", "series", "outcome", "seed", "epoch", "x", "y", "y_low",
           "y_high", "n"]  # fmt: skip
_EPOCHS = ListedColormap(colormaps["viridis_r"](np.linspace(0.12, 1, 256)))  # without the palest yellow
_LABELS = {
    FISHER: r"$\mathrm{Tr}(\mathbf{F})$",
    MINIBATCH: r"$\mathrm{Tr}(\mathbf{F}^B)$",
    HESSIAN: r"$\mathrm{Tr}(\mathbf{H})$",
}


def draw_learning_rates(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """Figure 12, a row per setting: both traces against each other, then each over the epochs; by learning rate."""
    return _draw(plan, name, _rates_data, _rates_row)


def draw_hessian(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """Figure 18, a row per setting: Tr(H) against Tr(F) and against Tr(F^B), coloured by epoch."""
    return _draw(plan, name, _hessian_data, _hessian_row)


def _draw(plan: Plan, name: str, of_case: Callable, row: Callable) -> tuple[Figure, pd.DataFrame]:
    cases = load(plan, plan.shown(name))
    data = pd.concat([part for case in cases for part in of_case(case)], ignore_index=True)[COLUMNS]
    settings = plan.params.outputs[name].settings
    titles = [labels.title(plan.params, setting) for setting in settings]
    figure, strips = style.rows(titles, height=2.6)
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        row(strip, own, data[data["setting"] == setting], plan.params.settings[setting].epochs)
    return figure, data


def _rates_data(case: Case) -> list[pd.DataFrame]:
    over_epochs = [curves.curve(case, column, "mean", lambda run, column=column: run.history[column])
                   for column in (FISHER, MINIBATCH)]  # fmt: skip
    return [_points(case, FISHER, MINIBATCH), *(curve.assign(epoch=curve["x"]) for curve in over_epochs)]


def _hessian_data(case: Case) -> list[pd.DataFrame]:
    return [_points(case, column, HESSIAN) for column in (FISHER, MINIBATCH)]


def _points(case: Case, x: str, y: str) -> pd.DataFrame:
    """A row for every epoch of every run in which both were measured; with y's standard error if that is known."""
    configuration = case.configuration
    parts = []
    for run in case.runs:
        values, error = run.history[y], run.history.get(f"{y}_error", default=math.nan)
        table = run.history[["epoch"]].assign(x=run.history[x], y=values, y_low=values - error, y_high=values + error)
        table = table.assign(seed=run.seed, outcome=run.outcome_text)
        parts.append(table.replace([math.inf, -math.inf], math.nan).dropna(subset=["x", "y"]))
    return pd.concat(parts, ignore_index=True).assign(
        panel=f"{y} against {x}", setting=configuration.setting, method=configuration.method, series="points",
        learning_rate=case.learning_rate, n=1,
    ).reindex(columns=COLUMNS)  # fmt: skip


def _rates_row(strip: FigureBase, cases: list[Case], data: pd.DataFrame, epochs: int) -> None:
    rates = sorted(case.learning_rate for case in cases)
    colours = scale.colours(rates)
    axes = strip.subplots(1, 3)
    points = data[data["series"] == "points"]
    _scatter(axes[0], points, "learning_rate", colours, FISHER, MINIBATCH)
    for ax, column in zip(axes[1:], (FISHER, MINIBATCH)):
        shown = data[data["panel"] == column]
        for rate, part in shown.groupby("learning_rate"):
            curves.draw(ax, part, colours.to_rgba(rate))
        style.finish(ax, shown, _LABELS[column], epochs)
    bar = strip.colorbar(colours, ax=axes, pad=0.01, aspect=25)
    bar.set_label(r"learning rate $\eta$")
    bar.set_ticks(rates, labels=[labels.number(value) for value in rates])
    bar.minorticks_off()
    style.legend(strip, [style.key("left: every epoch of every run", linestyle="", marker=".")], cases)


def _hessian_row(strip: FigureBase, cases: list[Case], data: pd.DataFrame, epochs: int) -> None:
    colours = ScalarMappable(Normalize(0, epochs), _EPOCHS)
    axes = strip.subplots(1, 2)
    for ax, column in zip(axes, (FISHER, MINIBATCH)):
        points = data[data["panel"] == f"{HESSIAN} against {column}"]
        _scatter(ax, points, "epoch", colours, column, HESSIAN)
    limits = [*axes[0].get_xlim(), *axes[0].get_ylim()]
    axes[0].plot([min(limits), max(limits)], [min(limits), max(limits)], color="#777777", linewidth=0.8, linestyle="--")
    axes[0].set(xlim=limits[:2], ylim=limits[2:])
    strip.colorbar(colours, ax=axes, pad=0.01, aspect=25).set_label("epoch")
    keys = [style.key("an epoch; bar: standard error over the probes", "#777777", linestyle="", marker="."),
            style.key(f"{_LABELS[HESSIAN]} = {_LABELS[FISHER]}", "#777777", linestyle="--")]  # fmt: skip
    style.below(strip, keys, _runs(cases))


def _scatter(axes, points: pd.DataFrame, by: str, colours: ScalarMappable, x: str, y: str) -> None:
    """Points coloured by a column, with bars for the error of y; both axes are logarithmic if one has to be."""
    axes.set_xlabel(_LABELS[x])
    axes.set_ylabel(_LABELS[y])
    if points.empty:
        style.empty(axes, "nothing measured")
        return
    logarithmic = style.spans(points["x"]) or style.spans(points["y"])
    if logarithmic:
        axes.set_xscale("log")
        axes.set_yscale("log")
    points = points.sort_values("epoch")  # so that no run hides another as a whole
    error = [points["y"] - points["y_low"], points["y_high"] - points["y"]]
    axes.errorbar(points["x"], points["y"], yerr=error, fmt="none", ecolor="#BBBBBB", elinewidth=0.5)
    size = 9 if len(points) < 300 else 4
    axes.scatter(points["x"], points["y"], c=colours.to_rgba(points[by]), s=size, alpha=0.75, linewidths=0, zorder=2)
    text = panels.correlation_text(points, "points")
    hidden = (points[["x", "y"]] <= 0).any(axis=1).sum()
    if logarithmic and hidden:
        text += f"\n{hidden} with a value below zero not shown"
    axes.set_title(text, fontsize=7, loc="left")


def _runs(cases: list[Case]) -> str:
    """How many runs the points are from."""
    runs, diverged = sum(len(case.runs) for case in cases), sum(len(case.diverged) for case in cases)
    text = "all measured epochs of " + ("a single run" if runs == 1 else f"{runs} runs")
    return text + (f", {diverged} of which diverged" if diverged else "")
