"""Figures 3 and 8: validation accuracy and Tr(F) over training, with and without a penalty."""

import pandas as pd
from matplotlib.figure import Figure

from catfish.analysis import labels
from catfish.analysis.collect import load
from catfish.analysis.figures import curves, style
from catfish.plan import Plan

_PANELS = {
    # panel: (axis label, column of the history, factor)
    "validation_accuracy": ("validation accuracy (%)", "validation_accuracy", 100),
    "fisher_trace": (r"$\mathrm{Tr}(\mathbf{F})$", "fisher_trace", 1),
}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting, and the tidy data of its lines.

    Curves start after the first epoch, as in Table 4, so that the average does not mix the initialisation in.
    """
    settings = plan.params.outputs[name].settings
    windows = {setting: curves.smoothing_window(plan.params.settings[setting].epochs) for setting in settings}
    cases = load(plan, plan.shown(name))
    data = pd.concat([
        curves.curve(case, panel, panel, lambda run, column=column, factor=factor: factor * run.history[column],
                     window=windows[case.configuration.setting], first=1)
        for case in cases
        for panel, (_, column, factor) in _PANELS.items()
    ], ignore_index=True)  # fmt: skip
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in settings], height=2.7)
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        axes = strip.subplots(1, len(_PANELS))
        for ax, (panel, (label, _, _)) in zip(axes, _PANELS.items()):
            shown = data[(data["setting"] == setting) & (data["panel"] == panel)]
            for method, part in shown.groupby("method", sort=False):
                curves.draw(ax, part, style.colour(method))
            style.finish(ax, shown, label, plan.params.settings[setting].epochs)
        keys = [style.key(style.case_text(case), style.colour(case.configuration.method)) for case in own]
        style.legend(strip, keys, own, window=windows[setting])
    return figure, data
