"""Figure 5: how clean and noisy examples are learned as the coefficient of the penalty grows."""

import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure, FigureBase

from catfish.analysis import labels
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import curves, style
from catfish.plan import BEST, Plan

# Red for the smallest coefficient to blue for the largest, as in the paper; dark throughout, to be seen on white.
_COLOURS = LinearSegmentedColormap.from_list("coefficient", ["#B2182B", "#C98A5B", "#8E8E8E", "#5B9AC9", "#1A3F8F"])
_LINESTYLES = {"clean": "-", "noisy": "--", "clean / noisy": "-"}
_PANELS = {
    "accuracy": "training accuracy (%)",
    "gradient_norm": "gradient norm",
    "gradient_norm_ratio": "gradient norm,\nclean / noisy",
}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting and method, and the tidy data of its lines."""
    cases = load(plan, [shown for shown in plan.shown(name) if shown.coefficient != BEST])
    data = pd.concat([part for case in cases for part in _curves(case)], ignore_index=True)
    output = plan.params.outputs[name]
    pairs = [(setting, method) for setting in output.settings for method in output.methods]
    titles = [f"{labels.method_tex(method)}, {labels.title(plan.params, setting)}" for setting, method in pairs]
    figure, strips = style.rows(titles, height=2.4)
    for strip, (setting, method) in zip(strips, pairs):
        own = [case for case in cases if (case.configuration.setting, case.configuration.method) == (setting, method)]
        shown = data[(data["setting"] == setting) & (data["method"] == method)]
        _row(strip, own, shown, plan.params.settings[setting].epochs)
    return figure, data


def _curves(case: Case) -> list[pd.DataFrame]:
    def ratio(run: LoadedRun) -> pd.Series:
        return run.history["clean_gradient_norm"] / run.history["noisy_gradient_norm"]

    return [
        *(curves.curve(case, "accuracy", kind, lambda run, kind=kind: 100 * run.history[f"{kind}_accuracy"])
          for kind in ("clean", "noisy")),
        *(curves.curve(case, "gradient_norm", kind, lambda run, kind=kind: run.history[f"{kind}_gradient_norm"])
          for kind in ("clean", "noisy")),
        curves.curve(case, "gradient_norm_ratio", "clean / noisy", ratio),
    ]  # fmt: skip


def _row(strip: FigureBase, cases: list[Case], data: pd.DataFrame, epochs: int) -> None:
    coefficients = [case.coefficient for case in cases]
    scale = ScalarMappable(_norm(coefficients), _COLOURS)
    axes = strip.subplots(1, len(_PANELS))
    for ax, (panel, label) in zip(axes, _PANELS.items()):
        shown = data[data["panel"] == panel]
        for (coefficient, line), part in shown.groupby(["coefficient", "series"], sort=False):
            curves.draw(ax, part, scale.to_rgba(coefficient), _LINESTYLES[line])
        style.finish(ax, shown, label, epochs)
    bar = strip.colorbar(scale, ax=axes, pad=0.01, aspect=25)
    bar.set_label(r"$\alpha$", rotation=0)
    bar.set_ticks(coefficients, labels=[labels.number(value) for value in coefficients])
    bar.minorticks_off()
    style.legend(strip, [style.key("clean labels"), style.key("noisy labels", linestyle="--")], cases)


def _norm(coefficients: list[float]) -> LogNorm:
    """log10 of the coefficient on the colour scale; half a decade around a single one."""
    low, high = min(coefficients), max(coefficients)
    return LogNorm(low, high) if low < high else LogNorm(low / 10**0.5, high * 10**0.5)
