"""Figure 11: Tr(H) over training, for two coarse sets of hyper-parameters that differ little within themselves."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure, FigureBase

from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, panels, style
from catfish.analysis.statistics import summarise, test_accuracy
from catfish.config import Params
from catfish.plan import Plan

COLUMNS = [*curves.COLUMNS, "batch_size", "set", "min_train_loss", "test_accuracy"]
_HUES = {"A": "Reds", "B": "Blues"}
_LINESTYLES = ["-", "--", ":", "-."]


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a panel per model and data set, and the tidy data of its lines and its legend."""
    groups = panels.groups(plan.params, plan.params.outputs[name].settings)
    cases = load(plan, plan.shown(name))
    titles = [f"{heading}, {plan.params.scale} scale" for heading in groups]
    figure, strips = style.beside(titles, height=3.6, columns=2)
    parts = []
    for strip, (heading, members) in zip(strips, groups.items()):
        own = [case for case in cases if case.configuration.setting in members]
        sets = coarse_sets([panels.noise_scale(plan.params, case) for case in own])
        data = pd.concat([_data(plan.params, case, heading, part) for case, part in zip(own, sets)], ignore_index=True)
        _panel(strip, plan.params, own, data)
        parts.append(data)
    return figure, pd.concat(parts, ignore_index=True)


def coarse_sets(values: list[float]) -> list[str]:
    """`A` for the values below the largest gap in their logarithm, `B` for those above; all `A` if they are equal."""
    ordered = np.sort(np.log(values))
    gaps = np.diff(ordered)
    if not len(gaps) or gaps.max() == 0:
        return ["A"] * len(values)
    last = ordered[gaps.argmax()]
    return ["A" if value <= last else "B" for value in np.log(values)]


def _data(params: Params, case: Case, panel: str, part: str) -> pd.DataFrame:
    report = params.settings[case.configuration.setting].report
    return curves.curve(case, panel, "Tr(H)", lambda run: run.history["hessian_trace"]).assign(
        batch_size=panels.hyperparameters(params, case)["batch_size"],
        set=part,
        min_train_loss=summarise([run.history["train_loss"].min() for run in case.completed]).mean,
        test_accuracy=summarise([100 * test_accuracy(run, report) for run in case.completed]).mean,
    )[COLUMNS]


def _panel(strip: FigureBase, params: Params, cases: list[Case], data: pd.DataFrame) -> None:
    axes = strip.subplots()
    texts = panels.differences(params, cases)
    keys = []
    for part, own in data.groupby("set"):
        members = list(own.groupby(["learning_rate", "batch_size", "setting"]))
        for number, ((rate, _, setting), shown) in enumerate(members):
            colour = to_hex(colormaps[_HUES[part]](0.95 - 0.45 * number / max(1, len(members) - 1)))
            line = _LINESTYLES[number % len(_LINESTYLES)]
            curves.draw(axes, shown, colour, line)
            keys.append(style.key(f"{texts[setting, rate]}: {_achieved(shown)}", colour, line))
    settings = [params.settings[name] for name in set(data["setting"])]
    style.finish(axes, data, r"$\mathrm{Tr}(\mathbf{H})$", max(setting.epochs for setting in settings))
    when = {"last": "the last epoch", "best_validation": "best validation"}[settings[0].report]
    style.legend(strip, keys, cases, remark=rf"$\ell$: smallest training loss; TA: test accuracy at {when}")


def _achieved(data: pd.DataFrame) -> str:
    """A legend's smallest training loss and test accuracy, means over the runs that completed; how many did not."""
    loss, accuracy = data["min_train_loss"].iloc[0], data["test_accuracy"].iloc[0]
    diverged = data.loc[data["outcome"] != "completed", "outcome"].nunique()
    ended = f"{diverged} diverged" if diverged else ""
    if pd.isna(loss):
        return ended
    return rf"$\ell$ {loss:#.3g}, TA {accuracy:.1f} %" + (f" ({ended})" if ended else "")
