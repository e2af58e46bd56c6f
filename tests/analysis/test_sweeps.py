"""Figures 13, 14 and 17, and the colours of ordered quantities."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from catfish.analysis.figures import FIGURES, render, scale, style
from catfish.config import Output
from catfish.plan import BEST

FISHER = [2.0, 40.0, 20.0, 10.0]
GRIDS = {"fp": (0.01, 0.1), "fp_every_step": (0.1, 1.0, 10.0), "fp_first_example": (0.001,), "fp_large_batch": (0.1,)}


@pytest.fixture
def plan(project):
    """Two seeds of the best values and of methods without a penalty, one of the grids; Tr(F) is FISHER / alpha."""

    def make(diverging: tuple[float | str, ...] = (), **setting):
        spec = {"seeds": 2, "coefficients": GRIDS, **setting}
        made = project(
            {
                "figure13": Output(("simplecnn_c10",), ("fp", "fp_every_step"), sweep="coefficients"),
                "figure14": Output(("simplecnn_c10",), ("fp_first_example",), sweep="coefficients"),
                "figure17": Output(
                    ("simplecnn_c10_large",), ("eta_star", "baseline", "fp_large_batch"), sweep="coefficients"
                ),
            },
            simplecnn_c10=spec,
            simplecnn_c10_large=spec,
        )
        for configuration in dict.fromkeys(c for name in made.plan.params.outputs for c in made.plan.shown(name)):
            coefficient = 0.1 if configuration.coefficient == BEST else configuration.coefficient
            for seed in made.plan.seeds(configuration):
                ends = configuration.coefficient in diverging or configuration.method in diverging
                rows = 2 if ends else 4
                made.run(
                    configuration,
                    seed,
                    diverged=15 if ends else None,
                    coefficient=coefficient,
                    fisher_trace=[value / (coefficient or 1) for value in FISHER][:rows],
                    validation_accuracy=[0.1, 0.2, 0.6, 0.5][:rows],
                    test_accuracy=[0.1, 0.3, 0.7 + 0.1 * seed, 0.5 + 0.1 * seed][:rows],
                )
        return made.plan

    return make


def draw(plan, name: str):
    with style.applied():
        return FIGURES[name](plan, name)


def lines(ax) -> list:
    return [line for line in ax.get_lines() if line.get_marker() == "None"]


def legend_texts(figure) -> list[str]:
    return [text.get_text() for strip in figure.subfigs for legend in strip.legends for text in legend.get_texts()]


@pytest.mark.parametrize("name", ["figure13", "figure14", "figure17"])
def test_every_coefficient_is_one_line_and_the_csv_holds_it(plan, name):
    made = plan()
    figure, _ = draw(made, name)
    data = pd.read_csv(render(made, name)[2])
    drawn = [line.get_xydata().tolist() for ax in figure.axes for line in lines(ax)]
    shown = data[data["panel"] != "legend"].groupby(["panel", "method", "coefficient"], dropna=False)
    assert sorted(drawn) == sorted(part[["x", "y"]].astype(float).to_numpy().tolist() for _, part in shown)
    of_grids = sum(len(GRIDS[method]) for method in made.params.outputs[name].methods if method in GRIDS)
    assert len(drawn) == 2 * (of_grids + (2 if name == "figure17" else 0))  # the best is not drawn a second time
    assert data.loc[data["panel"] != "legend", "x"].min() == 1


def test_larger_coefficients_have_warmer_and_lighter_colours(plan):
    figure, _ = draw(plan(), "figure13")
    traces = lines(figure.axes[4])  # f = 1: Tr(F), the larger alpha the smaller
    assert [line.get_ydata()[0] for line in traces] == [400.0, 40.0, 4.0]
    colours = np.array([to_rgb(line.get_color()) for line in traces])
    assert np.all(np.diff(colours[:, 0] - colours[:, 2]) > 0.1)
    assert np.all(np.diff(colours @ [0.2126, 0.7152, 0.0722]) > 0.1)


def test_a_coefficient_has_one_colour_in_all_rows_of_a_setting(plan):
    figure, _ = draw(plan(), "figure13")
    assert lines(figure.axes[1])[1].get_color() == lines(figure.axes[4])[0].get_color()  # 0.1 of both grids


def test_one_coefficient_has_the_middle_of_the_scale():
    assert scale.colours([0.1]).to_rgba(0.1) == scale.colours([0.01, 1.0]).to_rgba(0.1)


def test_the_best_coefficient_gives_its_test_accuracy_over_all_seeds(plan):
    figure, data = draw(plan(), "figure14")
    assert legend_texts(figure) == [r"best $\alpha$ = 0.1: test accuracy 55.00 ± 7.07 % (2)"]
    rows = data[data["panel"] == "legend"]
    assert rows["x"].tolist() == [3, 3] and rows["y"].tolist() == pytest.approx([50, 60])


def test_the_test_accuracy_is_that_of_the_epoch_that_counts(plan):
    figure, data = draw(plan(report="best_validation"), "figure14")
    assert legend_texts(figure) == [r"best $\alpha$ = 0.1: test accuracy 75.00 ± 7.07 % (2)"]
    assert data.loc[data["panel"] == "legend", "x"].tolist() == [2, 2]


def test_rows_of_a_setting_share_their_axes(plan):
    figure, _ = draw(plan(), "figure13")
    accuracy, fisher, _, accuracy_below, fisher_below, _ = figure.axes
    assert fisher.get_ylim() == fisher_below.get_ylim() and fisher.get_yscale() == fisher_below.get_yscale() == "log"
    assert accuracy.get_ylim() == accuracy_below.get_ylim() == (0, 1.05 * 60)


def test_a_method_has_a_row_only_where_it_is_shown(plan):
    made = plan()
    every_step = {"fp_every_step": ("simplecnn_c10_large",)}
    made.params.outputs["figure13"] = replace(made.params.outputs["figure13"], only=every_step)
    figure, data = draw(made, "figure13")
    assert [strip._suptitle.get_text()[:14] for strip in figure.subfigs] == ["FP ($f$ = 10),"]
    assert set(data["method"]) == {"fp"}


def test_titles_tell_the_variants_apart(plan):
    made = plan()
    titles = [strip._suptitle.get_text() for name in made.params.outputs for strip in draw(made, name)[0].subfigs]
    setting = "SimpleCNN/C10 (digits), demo scale"
    assert titles == [
        f"FP ($f$ = 10), {setting}, $S$ = 32",
        f"FP ($f$ = 1), {setting}, $S$ = 32",
        f"FP ($f$ = 1, first example), {setting}, $S$ = 32",
        f"FP ($f$ = 1, first 32 examples), {setting}, $S$ = 160",
    ]


def test_methods_without_a_penalty_are_black_and_grey_with_dashes_of_their_own(plan):
    figure, _ = draw(plan(), "figure17")
    penalised, *others = lines(figure.axes[0])
    assert [(line.get_color(), line.get_linestyle()) for line in others] == [("#000000", "--"), ("#777777", "-.")]
    assert penalised.get_linestyle() == "-"
    assert legend_texts(figure) == [
        r"$\eta^*$ = 0.01: test accuracy 55.00 ± 7.07 % (2)",
        r"Baseline, $\eta$ = 0.01: test accuracy 55.00 ± 7.07 % (2)",
        r"best $\alpha$ = 0.1: test accuracy 55.00 ± 7.07 % (2)",
    ]


def test_the_papers_test_accuracy_stands_beside_ours_of_the_same_data(plan):
    ours = "test accuracy 55.00 ± 7.07 % (2)"
    for name, paper in {"figure14": ["79.70"], "figure17": ["73.70", "73.59", "78.70"]}.items():
        figure, _ = draw(plan(dataset="cifar10"), name)
        assert [text.split(": ")[1] for text in legend_texts(figure)] == [f"{ours}; paper {n} %" for n in paper]


def test_coefficients_with_a_diverged_run_are_marked_on_the_colour_bar(plan):
    figure, data = draw(plan(diverging=(10.0, "fp")), "figure13")
    bars = [[text.get_text() for text in figure.axes[index].get_yticklabels()] for index in (2, 5)]
    assert bars == [[r"0.01 $\times$", r"0.1 $\times$"], ["0.1", "1", r"10 $\times$"]]
    assert [ax.get_title("right") for ax in figure.axes] == ["every run diverged"] * 2 + [""] * 4
    assert legend_texts(figure)[0] == r"best $\alpha$ = 0.1 (2 of 2 diverged)"
    assert set(data.loc[data["coefficient"] == 10, "outcome"]) == {"diverged at step 15 (seed 0)"}


def test_a_coefficient_that_diverges_in_the_first_epoch_stays_on_the_colour_bar(plan, rewritten):
    made = plan(diverging=(10.0,))
    (configuration,) = [shown for shown in made.shown("figure13") if shown.coefficient == 10.0]
    path = made.run_folder(configuration, 0) / "history.csv"
    rewritten(path, "".join(path.read_text().splitlines(keepends=True)[:2]))  # the initialisation alone
    figure, data = draw(made, "figure13")
    assert 10.0 not in set(data["coefficient"])
    bar = figure.axes[5]
    assert (
        bar.get_ylim()[1] == pytest.approx(10)
        and [text.get_text() for text in bar.get_yticklabels()][-1] == r"10 $\times$"
    )


def test_a_long_grid_has_no_more_ticks_than_fit(plan):
    grid = tuple(float(value) for value in np.logspace(-3, 0, 30))
    figure, _ = draw(plan(coefficients=GRIDS | {"fp_first_example": grid}), "figure14")
    ticks = figure.axes[2].get_yticks()
    assert 6 <= len(ticks) <= 12 and set(ticks) <= set(grid)
