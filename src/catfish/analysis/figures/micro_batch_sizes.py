"""Figure M7: test accuracy against the size of the micro-batches that are penalised."""

from math import isnan, nan

import pandas as pd
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import NullLocator

from catfish.analysis import labels, published
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import panels, style
from catfish.analysis.statistics import test_accuracy
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "method", "penalty", "learning_rate", "coefficient", "micro_batch", "y", "y_low",
           "y_high", "n", "diverged", "published"]  # fmt: skip
PENALTIES = {"gradient": "gn", "fisher": "ft"}  # by the method whose name and colour stand for all sizes
PUBLISHED = ("mech_figure7", "mech_table3")


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a panel per setting, and its data, a row per method; no `micro_batch` for the horizontal lines."""
    output = plan.params.outputs[name]
    cases = dict(zip(output.cells, load(plan, plan.shown(name))))
    data = pd.DataFrame([_row(plan.params, *cell, case) for cell, case in cases.items()], columns=COLUMNS)
    titles = [labels.title(plan.params, setting) for setting in output.settings]
    figure, strips = style.beside(titles, height=3.0, columns=3)
    for strip, setting in zip(strips, output.settings):
        own = [case for (where, _), case in cases.items() if where == setting]
        _panel(strip, plan.params, setting, own, data[data["setting"] == setting])
    return figure, data


def _row(params: Params, setting: str, method: str, case: Case) -> dict:
    """Mean and range of the test accuracy in per cent over the runs that completed; NaN if none did."""
    spec, report = params.methods[method], params.settings[setting].report
    values = pd.Series([100 * test_accuracy(run, report) for run in case.completed], dtype=float)
    numbers = [published.value(output, setting, method) for output in PUBLISHED]
    return {
        "panel": labels.setting(params, setting), "setting": setting, "method": method, "penalty": spec.penalty,
        "learning_rate": case.learning_rate, "coefficient": case.coefficient, "micro_batch": spec.micro_batch,
        "y": values.mean(), "y_low": values.min(), "y_high": values.max(), "n": len(values),
        "diverged": len(case.diverged), "published": next((number for number in numbers if not isnan(number)), nan),
    }  # fmt: skip


def _panel(strip: FigureBase, params: Params, setting: str, cases: list[Case], data: pd.DataFrame) -> None:
    axes, keys = strip.subplots(), []
    for row in data[data["micro_batch"].isna()].itertuples():
        colour = style.colour(row.method)
        axes.axhline(row.y, color=colour)
        axes.axhspan(row.y_low, row.y_high, color=colour, alpha=0.2, linewidth=0)
        keys.append(
            style.key(rf"{labels.method_tex(row.method)}, $S$ = {_batch_size(params, setting, row.method)}", colour)
        )
    swept = data.dropna(subset="micro_batch").sort_values("micro_batch")
    for penalty, part in swept.groupby("penalty", sort=False):
        keys.append(_line(axes, PENALTIES[penalty], part))
    if labels.comparable(params, setting) and swept["published"].notna().any():
        hollow = {"linestyle": "", "marker": "s", "markerfacecolor": "none", "markeredgecolor": "#000000"}
        axes.plot(swept["micro_batch"], swept["published"], markersize=5, **hollow)
        keys.append(style.key("published", **hollow))
    axes.set_xscale("log", base=2)
    axes.set_xticks(swept["micro_batch"], labels=[labels.number(value) for value in swept["micro_batch"]])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of a micro-batch")
    axes.set_ylabel(panels.ACCURACY[params.settings[setting].report])
    axes.margins(x=0.1, y=0.1)
    if data["y"].isna().all():
        style.empty(axes, "every run diverged")
    style.legend(strip, keys, cases)


def _batch_size(params: Params, setting: str, method: str) -> int:
    spec = params.settings[setting]
    return (params.settings[spec.small_batch] if params.methods[method].small_batch else spec).batch_size


def _line(axes, method: str, part: pd.DataFrame):
    """Mean and range by size; a cross at the bottom where runs diverged. The legend's entry."""
    shown, ended = part.dropna(subset="y"), part[part["diverged"] > 0]
    error = [shown["y"] - shown["y_low"], shown["y_high"] - shown["y"]]
    axes.errorbar(shown["micro_batch"], shown["y"], yerr=error, color=style.colour(method), marker="o", markersize=4,
                  elinewidth=0.9, capsize=2)  # fmt: skip
    axes.plot(ended["micro_batch"], [0.02] * len(ended), linestyle="", marker="x", markersize=4, color="#000000",
              transform=axes.get_xaxis_transform())  # fmt: skip
    strengths = ", ".join(labels.number(value) for value in sorted(part["coefficient"].unique()))
    return style.key(rf"{labels.method_tex(method)}, $\lambda$ = {strengths}", style.colour(method), marker="o")
