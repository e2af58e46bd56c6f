"""Figure M6: gradient norms along training, and how those close to small-batch SGD's go with accuracy."""

import pandas as pd
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import curves, panels, style
from catfish.analysis.statistics import gradient_norm_distance, test_accuracy
from catfish.config import Params
from catfish.plan import Plan

SMALL = "small_batch"
PANELS = {
    # panel: (axis label, column of the history, factor)
    "validation_accuracy": ("validation accuracy (%)", "validation_accuracy", 100),
    "gradient_norm": ("gradient norm\nof a micro-batch", "gradient_norm", 1),
}
COLUMNS = [*curves.COLUMNS, "seed"]


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row per setting: two panels over the steps, and a point for each run with large batches.

    Its data holds the lines, and in the panel `similarity` the points: x the distance of the gradient norms (see
    `gradient_norm_distance`), y the test accuracy in per cent; small-batch SGD's runs have the distance 0.
    """
    output = plan.params.outputs[name]
    cases = dict(zip(output.cells, load(plan, plan.shown(name))))
    rows = {setting: _own(cases, setting) for setting in output.settings}
    parts = [part for setting, own in rows.items() for part in _data(plan.params, setting, own)]
    data = pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in rows], height=2.8)
    for strip, (setting, own) in zip(strips, rows.items()):
        _row(strip, plan.params, setting, own, data[data["setting"] == setting])
    return figure, data


def _own(cases: dict[tuple[str, str], Case], setting: str) -> dict[str, Case]:
    """The cases that are shown in a setting, by method."""
    return {method: case for (where, method), case in cases.items() if where == setting}


def _data(params: Params, setting: str, cases: dict[str, Case]) -> list[pd.DataFrame]:
    lines = [
        curves.curve(case, panel, panel, lambda run, c=column, f=factor: f * _by_step(run, c))
        .assign(setting=setting, method=method)
        for method, case in cases.items()
        for panel, (_, column, factor) in PANELS.items()
    ]  # fmt: skip
    small = cases[SMALL].completed if SMALL in cases else []
    report = params.settings[setting].report
    points = [
        {"panel": "similarity", "setting": setting, "method": method, "learning_rate": case.learning_rate,
         "coefficient": case.coefficient, "series": "runs", "outcome": run.outcome_text, "seed": run.seed, "n": 1,
         "x": 0.0 if method == SMALL else gradient_norm_distance(run, small), "y": 100 * test_accuracy(run, report)}
        for method, case in cases.items()
        for run in case.completed
    ]  # fmt: skip
    return [*lines, *([pd.DataFrame(points)] if points else [])]


def _by_step(run: LoadedRun, column: str) -> pd.Series:
    return run.history.set_index("step")[column].dropna()


def _row(strip: FigureBase, params: Params, setting: str, cases: dict[str, Case], data: pd.DataFrame) -> None:
    axes = strip.subplots(1, 3)
    steps = int(data.loc[data["panel"] != "similarity", "x"].max())
    for ax, (panel, (label, _, _)) in zip(axes, PANELS.items()):
        shown = data[data["panel"] == panel]
        for method in cases:
            curves.draw(ax, shown[shown["method"] == method], style.colour(method))
        style.finish(ax, shown, label, steps, unit="step")
    _points(axes[2], data[data["panel"] == "similarity"], panels.ACCURACY[params.settings[setting].report])
    keys = [style.key(_text(method, case), style.colour(method)) for method, case in cases.items()]
    style.legend(strip, keys, list(cases.values()))


def _points(axes, data: pd.DataFrame, label: str) -> None:
    """Accuracy against distance, a point a run; small-batch SGD as lines."""
    axes.set_xlabel("distance of the gradient norm\nto SB SGD's (decades)")
    axes.set_ylabel(label)
    large = data[(data["method"] != SMALL) & data["x"].notna()]
    if large.empty:
        style.empty(axes, "nothing to compare")
        return
    for _, run in data[data["method"] == SMALL].iterrows():
        axes.axhline(run["y"], color=style.colour(SMALL), linewidth=0.8)
    for method, part in large.groupby("method", sort=False):
        axes.plot(part["x"], part["y"], color=style.colour(method), linestyle="", marker="o", markersize=4)
    axes.margins(x=0.12, y=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.set_title(panels.correlation_text(large, "runs"), fontsize=7, loc="left")


def _text(method: str, case: Case) -> str:
    """A method with its learning rate and coefficient."""
    text = rf"{labels.method_tex(method)}, $\eta$ = {labels.number(case.learning_rate)}"
    if case.coefficient is not None:
        text += rf", $\lambda$ = {labels.number(case.coefficient)}"
    return text + style.diverged_text(case)
