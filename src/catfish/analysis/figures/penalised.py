"""Figures 3 and 8: validation accuracy and Tr(F) over training, with and without a penalty."""

import pandas as pd
from matplotlib.figure import Figure

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, style
from catfish.plan import Plan

PANELS = {
    # panel: (axis label, column of the history, factor)
    "validation_accuracy": ("validation accuracy (%)", "validation_accuracy", 100),
    "fisher_trace": (r"$\mathrm{Tr}(\mathbf{F})$", "fisher_trace", 1),
}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting, and the tidy data of its lines."""
    settings = plan.params.outputs[name].settings
    windows = {setting: curves.smoothing_window(plan.params.settings[setting].epochs) for setting in settings}
    cases = load(plan, plan.shown(name))
    data = pd.concat([part for case in cases for part in lines(case, windows[case.configuration.setting])],
                     ignore_index=True)  # fmt: skip
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in settings], height=2.7)
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        axes = strip.subplots(1, len(PANELS))
        for ax, (panel, (label, _, _)) in zip(axes, PANELS.items()):
            shown = data[(data["setting"] == setting) & (data["panel"] == panel)]
            for method, part in shown.groupby("method", sort=False):
                curves.draw(ax, part, style.colour(method))
            style.finish(ax, shown, label, plan.params.settings[setting].epochs)
        keys = [style.key(style.case_text(case), style.colour(case.configuration.method)) for case in own]
        style.legend(strip, keys, own, window=windows[setting])
    return figure, data


def lines(case: Case, window: int) -> list[pd.DataFrame]:
    """The tidy data of a case's line in each panel, smoothed over `window` epochs.

    They start after the first epoch, as in Table 4, so that the average does not mix the initialisation in.
    """
    return [
        curves.curve(case, panel, panel, lambda run, column=column, factor=factor: factor * run.history[column],
                     window=window, first=1)
        for panel, (_, column, factor) in PANELS.items()
    ]  # fmt: skip
