"""mech_figure1 and mech_figure2: spectra of H and K along training, and their extremes (Jastrzebski et al. 2020)."""

import math

import pandas as pd
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from catfish.analysis import labels, mechanisms
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, panels, scale, style
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "learning_rate", "batch_size", "series", "seed", "outcome", "x", "y"]
_LINESTYLES = ["-", "--", ":", "-."]
_CURVES = {
    # column of the history: axis label
    "hessian_largest": r"$\lambda_\mathbf{H}^1$",
    "covariance_largest": r"$\lambda_\mathbf{K}^1$",
    "covariance_trace": r"$\mathrm{Tr}(\mathbf{K})$",
}
_H, _K = "#0072B2", "#D55E00"
_EXTREMES = {
    # panel: (axis label, {column of the history: (series, colour)})
    "largest": ("maximum\nalong training", {"hessian_largest": (_CURVES["hessian_largest"], _H),
                                            "covariance_largest": (_CURVES["covariance_largest"], _K)}),
    "conditioning": ("maximum\nof the ratio", {
        "hessian_conditioning": (r"$\lambda_\mathbf{H}^k/\lambda_\mathbf{H}^1$", _H),
        "covariance_conditioning": (r"$\lambda_\mathbf{K}^*/\lambda_\mathbf{K}^1$", _K)}),
}  # fmt: skip
_AXES = {"learning_rate": r"learning rate $\eta$", "batch_size": "batch size $S$"}
_GREY = "#777777"


def draw_curves(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """A row of panels for each model, one a quantity over epochs, and the data of their lines.

    Colour: the learning rate; kind of line: the batch size.
    """
    groups, cases, figure, strips = _rows(plan, name, height=2.6)
    parts = []
    for strip, members in zip(strips, groups.values()):
        own = [case for case in cases if case.configuration.setting in members]
        epochs = max(plan.params.settings[setting].epochs for setting in members)
        parts += _curves(strip, plan.params, own, epochs)
    return figure, pd.concat(parts, ignore_index=True)


def draw_extremes(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """A row of panels for each model: the maxima along training and the best conditioning, against eta and against S.

    The data have a row a run; those of runs without a value are not drawn.
    """
    groups, cases, figure, strips = _rows(plan, name, height=2.3)
    parts = []
    for strip, members in zip(strips, groups.values()):
        own = [case for case in cases if case.configuration.setting in members]
        parts += _extremes(strip, own)
    return figure, pd.concat(parts, ignore_index=True)[COLUMNS]


def _rows(plan: Plan, name: str, height: float) -> tuple[dict[str, list[str]], list[Case], Figure, list[FigureBase]]:
    """Settings by model, all runs, and an empty strip for each model."""
    groups = panels.groups(plan.params, plan.params.outputs[name].settings)
    figure, strips = style.rows([f"{heading}, {plan.params.scale} scale" for heading in groups], height)
    return groups, load(plan, plan.shown(name)), figure, strips


def _curves(strip: FigureBase, params: Params, cases: list[Case], epochs: int) -> list[pd.DataFrame]:
    texts = panels.differences(params, cases)
    values = [mechanisms.hyperparameters(case) for case in cases]
    colours = scale.colours([value["learning_rate"] for value in values])
    main, *others = sorted({value["batch_size"] for value in values}, key=lambda size: -_count(values, size))
    lines = dict(zip([main, *others], _LINESTYLES))
    looks = [(colours.to_rgba(value["learning_rate"]), lines.get(value["batch_size"], "-")) for value in values]
    parts = []
    for axes, (column, label) in zip(strip.subplots(1, len(_CURVES)), _CURVES.items()):
        shown = [curves.curve(case, column, texts[case.configuration.setting, case.learning_rate],
                              lambda run, column=column: run.history[column]).assign(**value)
                 for case, value in zip(cases, values)]  # fmt: skip
        for part, (colour, line) in zip(shown, looks):
            curves.draw(axes, part, colour, line)
        style.finish(axes, pd.concat(shown), label, epochs)
        parts += shown
    keys = [style.key(texts[case.configuration.setting, case.learning_rate] + style.diverged_text(case), *look)
            for case, look in zip(cases, looks)]  # fmt: skip
    style.legend(strip, keys, cases)
    return parts


def _count(values: list[dict[str, float]], size: float) -> int:
    return sum(value["batch_size"] == size for value in values)


def _extremes(strip: FigureBase, cases: list[Case]) -> list[pd.DataFrame]:
    panels_of = [(panel, key) for panel in _EXTREMES for key in mechanisms.HYPERPARAMETERS]
    parts = []
    for axes, (panel, key) in zip(strip.subplots(1, len(panels_of)), panels_of):
        label, series = _EXTREMES[panel]
        family = mechanisms.differing_in(key, cases)
        if not family:
            style.empty(axes, f"one {_AXES[key].split(' $')[0]} only")
            continue
        data = [_points(family, panel, key, column).assign(series=column) for column in series]
        for part, (_, colour) in zip(data, series.values()):
            axes.plot(part["x"], part["y"], linestyle="", marker=".", color=colour, alpha=0.5)
            mean = part.groupby("x")["y"].mean()
            axes.plot(mean.index, mean, color=colour)
        _finish(axes, pd.concat(data), _AXES[key], label if key == "learning_rate" else "")
        parts += data
    keys = [style.key(text, colour) for _, series in _EXTREMES.values() for text, colour in series.values()]
    style.below(strip, [*keys, style.key("a run", _GREY, "", ".")], "lines: means over the completed runs")
    return parts


def _points(cases: list[Case], panel: str, key: str, column: str) -> pd.DataFrame:
    """A row a run; of a diverged run the value is missing."""
    rows = [
        {"setting": case.configuration.setting, **mechanisms.hyperparameters(case), "seed": run.seed,
         "outcome": run.outcome_text, "x": mechanisms.hyperparameters(case)[key],
         "y": mechanisms.largest(run, column) if run.completed else math.nan}
        for case in cases
        for run in case.runs
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(panel=f"{panel} against {key}")


def _finish(axes, data: pd.DataFrame, x: str, y: str) -> None:
    """Logarithmic axes, with a tick for every value that was run."""
    axes.set(xlabel=x, ylabel=y, xscale="log", yscale="log")
    values = sorted(set(data["x"]))
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([labels.number(value) for value in values])
    axes.margins(x=0.15)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: labels.number(value)))
    axes.yaxis.set_minor_formatter(NullFormatter())
