"""Figure 1: accuracy, Tr(F) and gradient norm over training, with the tuned and the small learning rate."""

import pandas as pd
from matplotlib.figure import Figure

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, style
from catfish.plan import Plan

_PANELS = {
    # panel: (axis label, {series: (column of the history, factor, linestyle)})
    "accuracy": ("accuracy (%)", {"test": ("test_accuracy", 100, "-"), "train": ("train_accuracy", 100, "--")}),
    "fisher_trace": (r"$\mathrm{Tr}(\mathbf{F})$", {"Tr(F)": ("fisher_trace", 1, "-")}),
    "gradient_norm": ("gradient norm", {"gradient norm": ("gradient_norm", 1, "-")}),
}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting, and the tidy data of its lines."""
    cases = load(plan, plan.shown(name))
    data = _data(cases)
    settings = plan.params.outputs[name].settings
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in settings], height=2.4)
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        axes = strip.subplots(1, len(_PANELS))
        for ax, (panel, (label, series)) in zip(axes, _PANELS.items()):
            shown = data[(data["setting"] == setting) & (data["panel"] == panel)]
            for (method, line), part in shown.groupby(["method", "series"], sort=False):
                curves.draw(ax, part, style.colour(method), series[line][2])
            style.finish(ax, shown, label, plan.params.settings[setting].epochs)
        keys = [style.key(style.case_text(case), style.colour(case.configuration.method)) for case in own]
        style.legend(strip, [*keys, style.key("test"), style.key("train", linestyle="--")], own)
    return figure, data


def _data(cases: list[Case]) -> pd.DataFrame:
    return pd.concat([
        curves.curve(case, panel, line, lambda run, column=column, factor=factor: factor * run.history[column])
        for case in cases
        for panel, (_, series) in _PANELS.items()
        for line, (column, factor, _) in series.items()
    ], ignore_index=True)  # fmt: skip
