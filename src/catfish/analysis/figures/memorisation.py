"""Figures 5 and 9: how clean and noisy examples are learned as the coefficient of the penalty grows, and without it."""

import pandas as pd
from matplotlib.figure import Figure, FigureBase

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, scale, style
from catfish.plan import BEST, Plan

_LINESTYLES = {"clean": "-", "noisy": "--", "clean / noisy": "-"}
_WITHOUT = "0.6"  # grey: on no scale of coefficients
_PANELS = {
    "accuracy": "training accuracy (%)",
    "gradient_norm": "gradient norm",
    "gradient_norm_ratio": "gradient norm,\nclean / noisy",
}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting and method, and the tidy data of its lines."""
    cases = load(plan, [shown for shown in plan.shown(name) if shown.coefficient != BEST])
    output = plan.params.outputs[name]
    windows = {setting: curves.smoothing_window(plan.params.settings[setting].epochs) for setting in output.settings}
    parts = [part for case in cases for part in _curves(case, windows[case.configuration.setting])]
    data = pd.concat(parts, ignore_index=True)
    penalised = dict.fromkeys(case.configuration.method for case in cases if case.coefficient is not None)
    pairs = [(setting, method) for setting in output.settings for method in penalised]
    titles = [f"{labels.method_tex(method)}, {labels.title(plan.params, setting)}" for setting, method in pairs]
    figure, strips = style.rows(titles, height=2.4)
    for strip, (setting, method) in zip(strips, pairs):
        own = [case for case in cases if case.configuration.setting == setting and _belongs(case, method)]
        shown = data[(data["setting"] == setting) & ((data["method"] == method) | data["coefficient"].isna())]
        _row(strip, own, shown, plan.params.settings[setting].epochs)
    return figure, data


def _belongs(case: Case, method: str) -> bool:
    """Runs without a penalty stand beside those of every penalty."""
    return case.configuration.method == method or case.coefficient is None


def _curves(case: Case, window: int) -> list[pd.DataFrame]:
    """The lines of a case, smoothed, from the first epoch on as in Figure 3."""
    quantities = {
        ("accuracy", "clean"): lambda run: 100 * run.history["clean_accuracy"],
        ("accuracy", "noisy"): lambda run: 100 * run.history["noisy_accuracy"],
        ("gradient_norm", "clean"): lambda run: run.history["clean_gradient_norm"],
        ("gradient_norm", "noisy"): lambda run: run.history["noisy_gradient_norm"],
        ("gradient_norm_ratio", "clean / noisy"): lambda run: (
            run.history["clean_gradient_norm"] / run.history["noisy_gradient_norm"]
        ),
    }
    return [curves.curve(case, *where, of_run, window, first=1) for where, of_run in quantities.items()]


def _row(strip: FigureBase, cases: list[Case], data: pd.DataFrame, epochs: int) -> None:
    penalised = [case for case in cases if case.coefficient is not None]
    colours = scale.colours([case.coefficient for case in penalised])
    axes = strip.subplots(1, len(_PANELS))
    for ax, (panel, label) in zip(axes, _PANELS.items()):
        shown = data[data["panel"] == panel]
        for (coefficient, line), part in shown.groupby(["coefficient", "series"], sort=False, dropna=False):
            colour = _WITHOUT if pd.isna(coefficient) else colours.to_rgba(coefficient)
            curves.draw(ax, part, colour, _LINESTYLES[line])
        style.finish(ax, shown, label, epochs)
    scale.coefficient_bar(strip, axes, colours, penalised)
    without = [style.key("without penalty", _WITHOUT)] if len(penalised) < len(cases) else []
    style.legend(
        strip,
        [style.key("clean labels"), style.key("noisy labels", linestyle="--"), *without],
        cases,
        curves.smoothing_window(epochs),
    )
