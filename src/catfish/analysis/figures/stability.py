"""mech_figure4: full-batch gradient descent, its training loss and its sharpness (Cohen et al. 2021)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from catfish.analysis import labels, mechanisms
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import scale, style
from catfish.plan import Plan

COLUMNS = ["panel", "setting", "learning_rate", "seed", "outcome", "arrival", "x", "y"]
_PANELS = {"minibatch_loss": "training loss", "hessian_largest": r"sharpness $\lambda_\mathbf{H}^1$"}
_GREY = "#777777"


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """A row of two panels for each setting, and its lines: every run by itself, as means would hide what jumps.

    The loss is that before a step; `arrival` is the run's first measured step at the edge of stability.
    """
    cases = load(plan, plan.shown(name))
    settings = plan.params.outputs[name].settings
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in settings], height=2.8)
    parts = []
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        colours = scale.colours([case.learning_rate for case in own])
        for axes, (panel, label) in zip(strip.subplots(1, len(_PANELS)), _PANELS.items()):
            data = pd.concat([_lines(case, panel) for case in own], ignore_index=True)
            for (rate, _), line in data.groupby(["learning_rate", "seed"]):
                axes.plot(line["x"], line["y"], color=colours.to_rgba(rate), linewidth=0.9)
            if panel == "hessian_largest":
                for case in own:
                    axes.axhline(2 / case.learning_rate, color=colours.to_rgba(case.learning_rate), linestyle="--",
                                 linewidth=0.8)  # fmt: skip
            limits = data.assign(y_low=data["y"], y_high=data["y"])
            style.finish(axes, limits, label, plan.params.settings[setting].epochs, unit="step")
            parts.append(data)
        keys = [style.key(_text(case), colours.to_rgba(case.learning_rate)) for case in own]
        style.below(strip, [*keys, style.key(r"$2/\eta$", _GREY, "--")], "every line is a run")
    return figure, pd.concat(parts, ignore_index=True)[COLUMNS]


def _lines(case: Case, panel: str) -> pd.DataFrame:
    """The quantity of every run where it was measured; an epoch is one step, and its loss that before the step."""
    parts = []
    for run in case.runs:
        values = run.history[panel].replace([np.inf, -np.inf], np.nan).dropna()
        first = 1 if panel == "minibatch_loss" else 0
        parts.append(pd.DataFrame({"x": values.index - first, "y": values, "seed": run.seed,
                                   "outcome": run.outcome_text, "arrival": mechanisms.arrival(run)}))  # fmt: skip
    return pd.concat(parts).assign(panel=panel, setting=case.configuration.setting, learning_rate=case.learning_rate)


def _text(case: Case) -> str:
    """A learning rate with the time average of lambda eta / 2 after arrival, over the completed runs that arrived."""
    text = rf"$\eta$ = {labels.number(case.learning_rate)}"
    found = [mechanisms.mean_stability(run) for run in case.completed]
    found = [value for value in found if not np.isnan(value)]
    if found:
        text += rf": $\lambda_\mathbf{{H}}^1\eta/2$ = {np.mean(found):.2f} after arrival"
    return text + style.diverged_text(case)
