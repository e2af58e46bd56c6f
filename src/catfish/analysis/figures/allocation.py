"""mech_figure5: which layers bring the loss down in the first steps (loss change allocation, Lan et al. 2019)."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import scale, style
from catfish.plan import Plan
from catfish.records import ALLOCATION_COLUMNS

COLUMNS = ["panel", "setting", "learning_rate", "seed", "outcome", "series", "x", "y"]
_LAYERS = colormaps["viridis"]
_SUM, _LOSS = "all layers", "loss"


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """A row for each setting: for its smallest and its largest learning rate the loss change so far, by layer, and for
    both the share of the parameters that help at each step. Runs of seed 0.

    Series: a layer's name, `all layers` for their sum, `loss` for what the loss itself did, `helping` in per cent.
    """
    settings = plan.params.outputs[name].settings
    cases = load(plan, plan.shown(name))
    figure, strips = style.rows([labels.title(plan.params, setting) for setting in settings], height=2.6)
    parts = []
    for strip, setting in zip(strips, settings):
        own = [case for case in cases if case.configuration.setting == setting]
        own = sorted(own, key=lambda case: case.learning_rate)
        parts.append(_row(strip, [own[0], own[-1]] if len(own) > 1 else own))
    return figure, pd.concat(parts, ignore_index=True)[COLUMNS]


def _row(strip: FigureBase, cases: list[Case]) -> pd.DataFrame:
    data = pd.concat([_data(case) for case in cases], ignore_index=True)
    steps = int(data["x"].max())
    *changes, helping = strip.subplots(1, len(cases) + 1)
    names = list(dict.fromkeys(data.loc[data["panel"] == "change", "series"]).keys() - {_SUM, _LOSS})
    order = [name for name in dict.fromkeys(data["series"]) if name in names]
    colours = ScalarMappable(BoundaryNorm(np.arange(0.5, len(order) + 1), _LAYERS.N), _LAYERS)
    for axes, case in zip(changes, cases):
        own = data[(data["learning_rate"] == case.learning_rate) & (data["panel"] == "change")]
        _changes(axes, own, order, colours, steps)
        axes.set_title(rf"$\eta$ = {labels.number(case.learning_rate)}", loc="right")
    changes[0].set_ylabel("loss change so far")
    bar = strip.colorbar(colours, ax=changes, pad=0.01, aspect=25)
    bar.set_label("layer, from the input")
    bar.locator = MaxNLocator(integer=True)
    rates = scale.colours([case.learning_rate for case in cases])
    for case in cases:
        own = data[(data["learning_rate"] == case.learning_rate) & (data["panel"] == "helping")]
        helping.plot(own["x"], own["y"], color=rates.to_rgba(case.learning_rate))
    helping.axhline(50, color="#777777", linestyle=":", linewidth=0.8)
    helping.set(xlabel="step", ylabel="parameters that help (%)", xlim=(-0.03 * steps, 1.03 * steps))
    helping.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    keys = [style.key("all layers", "#000000"), style.key("the loss itself", "#000000", ":")]
    keys += [style.key(rf"right: $\eta$ = {labels.number(case.learning_rate)}{_ended(case)}",
                       rates.to_rgba(case.learning_rate)) for case in cases]  # fmt: skip
    style.below(strip, keys, "single runs")
    return data


def _changes(axes, data: pd.DataFrame, order: list[str], colours: ScalarMappable, steps: int) -> None:
    for place, name in enumerate(order, start=1):
        line = data[data["series"] == name]
        axes.plot(line["x"], line["y"], color=colours.to_rgba(place))
    for name, kind in ((_SUM, "-"), (_LOSS, ":")):
        line = data[data["series"] == name]
        axes.plot(line["x"], line["y"], color="#000000", linestyle=kind, linewidth=1.4)
    axes.set_xlim(-0.03 * steps, 1.03 * steps)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _data(case: Case) -> pd.DataFrame:
    run: LoadedRun = case.runs[0]
    table = run.allocation.set_index("step").replace([np.inf, -np.inf], np.nan)
    layers = table.drop(columns=[name for name in ALLOCATION_COLUMNS if name != "step"]).cumsum()
    lines = {("change", name): layers[name] for name in layers}
    lines[("change", _SUM)] = layers.sum(axis=1)
    lines[("change", _LOSS)] = table["loss_after"] - table["loss_before"].iloc[0]
    lines[("helping", "helping")] = 100 * table["helping"]
    parts = [pd.DataFrame({"panel": panel, "series": name, "x": values.index, "y": values.to_numpy()})
             for (panel, name), values in lines.items()]  # fmt: skip
    return pd.concat(parts).assign(setting=case.configuration.setting, learning_rate=case.learning_rate,
                                   seed=run.seed, outcome=run.outcome_text)  # fmt: skip


def _ended(case: Case) -> str:
    return "" if case.runs[0].completed else f" ({case.runs[0].outcome_text})"
