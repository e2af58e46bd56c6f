"""Figure 4: test accuracy when the Fisher penalty starts at a later epoch."""

import pandas as pd
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import NullLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import panels, style
from catfish.analysis.statistics import test_accuracy
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "method", "learning_rate", "coefficient", "onset", "y", "y_low", "y_high", "n",
           "diverged"]  # fmt: skip


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a panel per setting, and its data, a row per method; `onset` is empty for the horizontal lines."""
    cases = load(plan, plan.shown(name))
    data = pd.DataFrame([_row(plan.params, case) for case in cases], columns=COLUMNS)
    settings = plan.params.outputs[name].settings
    titles = [labels.title(plan.params, setting) for setting in settings]
    figure, strips = style.beside(titles, height=3.0, columns=2)
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        _panel(strip, plan.params, own, data[data["setting"] == setting])
    return figure, data


def _row(params: Params, case: Case) -> dict:
    """Mean and range of the test accuracy in per cent over the runs that completed; NaN if none did."""
    configuration = case.configuration
    method = params.methods[configuration.method]
    report = params.settings[configuration.setting].report
    values = pd.Series([100 * test_accuracy(run, report) for run in case.completed], dtype=float)
    return {
        "panel": labels.setting(params, configuration.setting), "setting": configuration.setting,
        "method": configuration.method, "learning_rate": case.learning_rate, "coefficient": case.coefficient,
        "onset": method.onset if method.penalty else None, "y": values.mean(), "y_low": values.min(),
        "y_high": values.max(), "n": len(values), "diverged": len(case.diverged),
    }  # fmt: skip


def _panel(strip: FigureBase, params: Params, cases: list[Case], data: pd.DataFrame) -> None:
    axes = strip.subplots()
    keys = []
    for case in cases:
        row = data[data["method"] == case.configuration.method].iloc[0]
        if pd.isna(row["onset"]):
            colour = style.colour(row["method"])
            axes.axhline(row["y"], color=colour)
            axes.axhspan(row["y_low"], row["y_high"], color=colour, alpha=0.2, linewidth=0)
            keys.append(style.key(style.case_text(case), colour))
    late = data.dropna(subset="onset").sort_values("onset")
    if len(late):
        _points(axes, late)
        rate, alpha = (labels.number(late[column].iloc[0]) for column in ("learning_rate", "coefficient"))
        text = rf"FP from epoch $E$ on, $\eta$ = {rate}, $\alpha$ = {alpha}"
        keys.append(style.key(text, style.colour("fp"), marker="o"))
    axes.set_xlabel("epoch $E$ after which FP is switched on")
    axes.set_ylabel(panels.ACCURACY[params.settings[cases[0].configuration.setting].report])
    axes.margins(x=0.06, y=0.1)
    if data["y"].isna().all():
        style.empty(axes, "every run diverged")
    style.legend(strip, keys, cases)


def _points(axes, late: pd.DataFrame) -> None:
    """Mean and range on a scale of doublings that begins at zero; a cross at the bottom where runs diverged."""
    shown, ended = late.dropna(subset="y"), late[late["diverged"] > 0]
    error = [shown["y"] - shown["y_low"], shown["y_high"] - shown["y"]]
    axes.errorbar(shown["onset"], shown["y"], yerr=error, color=style.colour("fp"), marker="o", markersize=4,
                  elinewidth=0.9, capsize=2)  # fmt: skip
    axes.plot(ended["onset"], [0.02] * len(ended), linestyle="", marker="x", markersize=4, color="#000000",
              transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_xscale("symlog", base=2, linthresh=1)
    axes.set_xticks(late["onset"], labels=[labels.number(value) for value in late["onset"]])
    axes.xaxis.set_minor_locator(NullLocator())
