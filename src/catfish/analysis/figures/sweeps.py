"""Figures 13, 14 and 17: validation accuracy and Tr(F) over training for every coefficient of a penalty."""

from itertools import cycle
from math import isnan

import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D

from catfish.analysis import labels, published
from catfish.analysis.collect import Case, load
from catfish.analysis.figures import curves, penalised, scale, style
from catfish.analysis.statistics import report_row, summarise
from catfish.config import Params
from catfish.plan import BEST, Plan

# Of the methods without a coefficient, in the order of the params file.
_UNPENALISED = (("#000000", "--"), ("#777777", "-."))
_PENALTIES = {"fisher": "FP", "gradient": "GP", "random_label_gradient": "GP$_r$", "input_gradient": "GP$_x$"}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """The figure, a row of panels per setting and penalised method, and the tidy data of its lines and accuracies.

    Methods without a penalty are drawn in every row of their setting.
    """
    cases = load(plan, plan.shown(name))
    data = pd.concat([part for case in cases for part in _data(plan.params, case)], ignore_index=True)
    methods = plan.params.methods
    own = {
        (setting, method): [
            case
            for case in cases
            if case.configuration.setting == setting
            and (case.configuration.method == method or not methods[case.configuration.method].regularised)
        ]
        for setting, method in plan.params.outputs[name].cells
        if methods[method].regularised
    }
    figure, strips = style.rows([_title(plan.params, *row) for row in own], height=2.7)
    for strip, (setting, method), shown in zip(strips, own, own.values()):
        tried = [case.coefficient for case in cases if case.configuration.setting == setting and case.coefficient]
        _row(strip, plan.params, name, method, shown, data[data["setting"] == setting], scale.colours(tried))
    return figure, data


def _data(params: Params, case: Case) -> list[pd.DataFrame]:
    """A case's lines, and its test accuracy; of the best coefficient, whose line the grid has, the accuracy alone."""
    setting = params.settings[case.configuration.setting]
    if case.configuration.coefficient == BEST:
        return [_test_accuracy(case, setting.report)]
    lines = penalised.lines(case, curves.smoothing_window(setting.epochs))
    return lines if case.coefficient is not None else [*lines, _test_accuracy(case, setting.report)]


def _test_accuracy(case: Case, report: str) -> pd.DataFrame:
    """Test accuracy in per cent at the epoch that counts, one row per completed run."""
    rows = pd.DataFrame([report_row(run, report) for run in case.completed], columns=["epoch", "test_accuracy"])
    accuracy = 100 * rows["test_accuracy"]
    return pd.DataFrame({
        "panel": "legend",
        "setting": case.configuration.setting,
        "method": case.configuration.method,
        "learning_rate": case.learning_rate,
        "coefficient": case.coefficient,
        "series": "test_accuracy",
        "outcome": "completed",
        "x": rows["epoch"],
        "y": accuracy,
        "y_low": accuracy,
        "y_high": accuracy,
        "n": 1,
    }, columns=curves.COLUMNS)  # fmt: skip


def _row(
    strip: FigureBase,
    params: Params,
    name: str,
    method: str,
    cases: list[Case],
    data: pd.DataFrame,
    colours: ScalarMappable,
) -> None:
    """The panels of one penalised method; axes and colours fit all of the setting, so that rows compare."""
    grid = [case for case in cases if isinstance(case.configuration.coefficient, float)]
    others = [case.configuration.method for case in cases if case.coefficient is None]
    unpenalised = dict(zip(others, cycle(_UNPENALISED)))
    axes = strip.subplots(1, len(penalised.PANELS))
    epochs = params.settings[cases[0].configuration.setting].epochs
    for ax, (panel, (label, _, _)) in zip(axes, penalised.PANELS.items()):
        setting = data[data["panel"] == panel]
        shown = setting[setting["method"].isin([method, *others])]
        for coefficient, part in shown.groupby("coefficient"):
            curves.draw(ax, part, colours.to_rgba(coefficient))
        for other, (colour, linestyle) in unpenalised.items():
            curves.draw(ax, shown[shown["method"] == other], colour, linestyle)
        style.finish(ax, shown, label, epochs, shared=setting)
    scale.coefficient_bar(strip, axes, colours, grid)
    keys = [_key(params, name, case, data, unpenalised) for case in cases if case not in grid]
    drawn = [case for case in cases if case.configuration.coefficient != BEST]
    style.legend(strip, keys, drawn, window=curves.smoothing_window(epochs))


def _key(params: Params, name: str, case: Case, data: pd.DataFrame, unpenalised: dict[str, tuple[str, str]]) -> Line2D:
    """A line of the legend with the test accuracy of a method, and the paper's where it has one."""
    method = case.configuration.method
    text = style.case_text(case)
    if case.coefficient is not None:
        text = rf"best $\alpha$ = {labels.number(case.coefficient)}" + style.diverged_text(case)
    accuracies = data.loc[(data["panel"] == "legend") & (data["method"] == method), "y"]
    if len(accuracies):
        accuracy, number = summarise(accuracies.tolist()).text(2).rsplit(" ", 1)
        text += f": test accuracy {accuracy} % {number}"
        paper = published.value(name, case.configuration.setting, method)
        if labels.comparable(params, case.configuration.setting) and not isnan(paper):
            text += f"; paper {paper:.2f} %"
    colour, linestyle = unpenalised.get(method, ("#000000", ""))
    return style.key(text, colour, linestyle)


def _title(params: Params, setting: str, method: str) -> str:
    size = params.settings[setting].batch_size
    return f"{_penalty(params, method)}, {labels.title(params, setting)}, $S$ = {size}"


def _penalty(params: Params, name: str) -> str:
    """A penalty with how often it is recomputed, and from which examples if not from the whole mini-batch."""
    method = params.methods[name]
    penalty = _PENALTIES.get(method.penalty, labels.method_tex(name))
    examples = {None: "", 1: ", first example"}.get(method.first_examples, f", first {method.first_examples} examples")
    return f"{penalty} ($f$ = {method.every}{examples})"
