"""Figures 2 and 7: early-phase Tr(F) and test accuracy, across learning rates or batch sizes."""

import math

import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import panels, scale, style
from catfish.analysis.statistics import early_fisher_trace, summarise, test_accuracy
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "learning_rate", "batch_size", "early_loss", "point", "seed", "outcome", "x", "x_std",
           "y", "y_std", "n"]  # fmt: skip
WIDEST = 28  # characters of a heading in a line
_LATE = "loss never reached epsilon"


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a panel per model and data set, and its points: means, single runs, and runs that cannot be shown."""
    groups = panels.groups(plan.params, plan.params.outputs[name].settings)
    cases = load(plan, plan.shown(name))
    data = pd.concat([_points(plan.params, case) for case in cases], ignore_index=True)
    titles = _titles(list(groups), plan.params.scale)
    figure, strips = style.beside(titles, height=3.1, columns=3)
    for strip, (heading, members) in zip(strips, groups.items()):
        own = [case for case in cases if case.configuration.setting in members]
        _panel(strip, plan.params, own, data[data["panel"] == heading])
    return figure, data


def _titles(headings: list[str], scale: str) -> list[str]:
    """Titles no wider than their panels, all of equally many lines."""
    broken = [heading.replace(" (", "\n(") if len(heading) > WIDEST else heading for heading in headings]
    lines = max(heading.count("\n") for heading in broken)
    return [f"{heading}\n{scale} scale" + "\n " * (lines - heading.count("\n")) for heading in broken]


def _points(params: Params, case: Case) -> pd.DataFrame:
    """The case's mean over the runs that have a point, then every run."""
    setting = params.settings[case.configuration.setting]
    runs = pd.DataFrame([_run(run, setting.early_loss, setting.report) for run in case.runs])
    shown = runs[runs["outcome"] == "completed"]
    x, y = summarise(shown["x"]), summarise(shown["y"])
    mean = {"point": "mean", "outcome": "completed", "x": x.mean, "x_std": x.std, "y": y.mean, "y_std": y.std, "n": x.n}
    table = pd.concat([pd.DataFrame([mean] if x.n else []), runs], ignore_index=True)
    return table.assign(
        panel=labels.setting(params, case.configuration.setting),
        setting=case.configuration.setting,
        early_loss=setting.early_loss,
        **panels.hyperparameters(params, case),
    ).reindex(columns=COLUMNS)


def _run(run: LoadedRun, early_loss: float, report: str) -> dict:
    """A run's Tr(F_i) and test accuracy in per cent; without them if it diverged or never learned so much."""
    row = {"point": "run", "seed": run.seed, "outcome": run.outcome_text, "x": math.nan, "y": math.nan, "n": 1}
    if run.completed:
        trace = early_fisher_trace(run, early_loss)
        late = {"outcome": _LATE}
        row |= late if math.isnan(trace) else {"x": trace, "y": 100 * test_accuracy(run, report)}
    return row


def _panel(strip: FigureBase, params: Params, cases: list[Case], data: pd.DataFrame) -> None:
    cases = sorted(cases, key=lambda case: tuple(panels.hyperparameters(params, case).values()))
    places = [2.0**place for place in range(len(cases))]  # evenly spaced: the values may be as near as 0.007 and 0.01
    colours = scale.colours(places)
    texts = panels.differences(params, cases)
    axes = strip.subplots()
    keys = []
    for case, place in zip(cases, places):
        colour = to_hex(colours.to_rgba(place))
        setting, rate = case.configuration.setting, case.learning_rate
        keys.append(style.key(texts[setting, rate], colour, linestyle="", marker="o"))
        own = data[(data["setting"] == setting) & (data["learning_rate"] == rate)]
        runs, means = own[own["point"] == "run"], own[own["point"] == "mean"]
        if (runs["x"].notna()).sum() > 1:
            axes.plot(runs["x"], runs["y"], linestyle="", marker=".", markersize=4, color=colour, alpha=0.5, mew=0)
        axes.errorbar(means["x"], means["y"], xerr=means["x_std"], yerr=means["y_std"], fmt="o", markersize=4.5,
                      color=colour, elinewidth=0.9, capsize=2)  # fmt: skip
    runs = data[data["point"] == "run"].dropna(subset="x")
    axes.set_title(panels.correlation_text(runs, "runs"), fontsize=7, loc="left")
    axes.set_xlabel(r"early-phase $\mathrm{Tr}(\mathbf{F}_i)$")
    axes.set_ylabel(panels.ACCURACY[params.settings[cases[0].configuration.setting].report])
    axes.margins(0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    if style.spans(runs["x"]):
        axes.set_xscale("log")
    if runs.empty:
        style.empty(axes, f"no run to show of {len(data)}")
    style.below(strip, keys, _caption(data))


def _caption(data: pd.DataFrame) -> str:
    """The threshold, how many runs each mean is from, and the runs that have no point."""
    threshold = " or ".join(labels.number(value) for value in sorted(set(data["early_loss"])))
    counts = sorted(set(data.loc[data["point"] == "mean", "n"]))
    lines = [rf"$\epsilon$ = {threshold}; " + ("single runs" if counts in ([], [1]) else "mean and standard deviation")]
    if counts not in ([], [1]):
        lines.append(f"of {' or '.join(map(str, counts))} runs; small dots: single runs")
    runs = data.loc[data["point"] == "run", "outcome"]
    late, diverged = (runs == _LATE).sum(), runs.str.startswith("diverged").sum()
    if late:
        lines.append(rf"{late} of {len(runs)} runs never reached $\epsilon$: not shown")
    if diverged:
        lines.append(f"{diverged} of {len(runs)} runs diverged: not shown")
    return "\n".join(lines)
