"""Figures 6 and 10: early Tr(F) of two networks, and where training that continues from each of them ends."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import panels, style
from catfish.analysis.statistics import reported_hessian_trace, test_accuracy
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = ["panel", "group", "setting", "learning_rate", "batch_size", "seed", "outcome", "value", "bin_low",
           "bin_high"]  # fmt: skip
EARLY, HESSIAN, ACCURACY = "early_fisher_trace", "hessian_trace", "test_accuracy"
_COLOURS = ["#B2182B", "#1A3F8F"]  # weaker and stronger regularisation, the hues of Figure 11
_BINS = 12


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of three panels per model and data set, and its data: a row per run, with its histogram's bin.

    `group` is the setting of the network that a run is, or started from.
    """
    groups = panels.groups(plan.params, plan.params.outputs[name].settings)
    cases = load(plan, plan.shown(name))
    figure, strips = style.rows([f"{heading}, {plan.params.scale} scale" for heading in groups], height=2.6)
    parts = []
    for strip, members in zip(strips, groups.values()):
        own = [case for case in cases if case.configuration.setting in members]
        data = _binned(pd.concat([_runs(plan.params, case) for case in own], ignore_index=True))
        _row(strip, plan.params, own, data)
        parts.append(data)
    return figure, pd.concat(parts, ignore_index=True)


def _runs(params: Params, case: Case) -> pd.DataFrame:
    """A row per run and panel, without a value if it diverged; of an early phase, the run that others start from."""
    setting = case.configuration.setting
    spec = params.settings[setting]
    of_run, runs = {EARLY: lambda run: run.history["fisher_trace"].iloc[-1]}, case.runs[:1]
    if spec.starts_from:
        of_run = {
            HESSIAN: lambda run: reported_hessian_trace(run, spec.report),
            ACCURACY: lambda run: 100 * test_accuracy(run, spec.report),
        }
        runs = case.runs
    rows = [
        {"panel": panel, "seed": run.seed, "outcome": run.outcome_text, "value": of(run) if run.completed else math.nan}
        for panel, of in of_run.items()
        for run in runs
    ]
    return pd.DataFrame(rows).assign(
        group=spec.starts_from or setting, setting=setting, **panels.hyperparameters(params, case)
    )


def _binned(data: pd.DataFrame) -> pd.DataFrame:
    """The histograms' bins: of equal width, or of equal ratio on a logarithmic axis, over all groups of a panel."""
    data = data.reindex(columns=COLUMNS)
    for panel in (HESSIAN, ACCURACY):
        values = data.loc[data["panel"] == panel, "value"].dropna()
        if len(values):
            edges = _edges(values)
            bins = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
            data.loc[values.index, "bin_low"], data.loc[values.index, "bin_high"] = edges[bins], edges[bins + 1]
    return data


def _edges(values: pd.Series) -> np.ndarray:
    if _logarithmic(values):
        return 10 ** np.histogram_bin_edges(np.log10(values), _BINS)
    return np.histogram_bin_edges(values, _BINS)


def _logarithmic(values: pd.Series) -> bool:
    return style.spans(values) and bool((values > 0).all())


def _row(strip: FigureBase, params: Params, cases: list[Case], data: pd.DataFrame) -> None:
    starts = [case for case in cases if params.settings[case.configuration.setting].starts_from is None]
    starts.sort(key=lambda case: panels.noise_scale(params, case))
    texts = panels.differences(params, starts) if starts else {}
    named = {setting: text for (setting, _), text in texts.items()}
    order = list(dict.fromkeys([*named, *data["group"]]))
    palette = dict(zip(order, [*_COLOURS, *["#777777"] * len(order)]))
    early, hessian, accuracy = strip.subplots(1, 3)
    _bars(early, data[data["panel"] == EARLY], named, palette)
    _histogram(hessian, data[data["panel"] == HESSIAN], palette, r"final $\mathrm{Tr}(\mathbf{H}_f)$")
    report = params.settings[cases[-1].configuration.setting].report
    _histogram(accuracy, data[data["panel"] == ACCURACY], palette, "test accuracy (%)")
    keys = []
    for group, colour in palette.items():
        outcomes = data.loc[(data["group"] == group) & (data["panel"] == ACCURACY), "outcome"]
        text = f"early phase with {named.get(group, group)}, {len(outcomes)} continuation{'s' * (len(outcomes) != 1)}"
        if diverged := (outcomes != "completed").sum():
            text += f" ({diverged} diverged)"
        keys.append(style.key(text, colour, marker="s", linestyle=""))
    style.below(strip, keys, f"final values at {labels.EPOCHS[report]}; ticks below the histograms: single runs")


def _bars(axes, data: pd.DataFrame, named: dict[str, str], palette: dict[str, str]) -> None:
    """Tr(F) of each network at the end of the early phase."""
    for place, value in enumerate(data.set_index("group")["value"][list(named)]):
        height, text = (0.0, "diverged") if math.isnan(value) else (value, labels.number(value))
        axes.bar(place, height, width=0.55, color=list(palette.values())[place])
        axes.annotate(text, (place, height), xytext=(0, 2), textcoords="offset points", ha="center", fontsize=7)
    axes.set_xticks(range(len(data)), labels=list(named.values()))
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(r"$\mathrm{Tr}(\mathbf{F}_i)$ after the early phase")
    axes.margins(x=0.2, y=0.15)
    axes.set_ylim(bottom=0)
    if data.empty or data["value"].isna().all():
        axes.set_yticks([])


def _histogram(axes, data: pd.DataFrame, palette: dict[str, str], label: str) -> None:
    """Runs by group in common bins, and each of them as a tick below the axis."""
    # Here, since it takes a second and brings the global state of pyplot, and no other figure needs it.
    import seaborn  # noqa: PLC0415

    shown = data.dropna(subset="value")
    axes.set_xlabel(label)
    if shown.empty:
        style.empty(axes, "no completed run")
        return
    wide = _logarithmic(shown["value"])
    edges = _edges(shown["value"])
    order = [group for group in palette if group in set(shown["group"])]
    common = {"data": shown, "x": "value", "hue": "group", "hue_order": order, "palette": palette, "legend": False}
    seaborn.histplot(**common, ax=axes, bins=np.log10(edges) if wide else edges, log_scale=wide, element="step",
                     alpha=0.35)  # fmt: skip
    seaborn.rugplot(**common, ax=axes, height=-0.05, expand_margins=False, clip_on=False, linewidth=1)
    axes.set(xlabel=label, ylabel="continuations")
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", which="both", length=0, pad=6)  # the ticks below the axis are runs
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
