"""Figures 15 and 16."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from catfish.analysis.figures import FIGURES, render, steps, style
from catfish.config import Output

SETTINGS = ("simplecnn_c10_steps_s128", "simplecnn_c10_steps_s512")
TRACES = [[1.0, 4.0, 9.0, 5.0, 3.0], [2.0, 6.0, 1.0, 7.0, 5.0]]
ACCURACIES = [0.0, 0.3, 0.6, 0.6, 0.9]
LEFT, RIGHT = "fisher_trace", "minibatch_accuracy"


@pytest.fixture
def plan(project):
    """Figure 15 with two learning rates, Figure 16 with two batch sizes; two runs each, by `of_run(rate, seed)`."""

    def make(of_run=lambda rate, seed: {"steps": {LEFT: TRACES[seed], RIGHT: ACCURACIES}}):
        made = project(
            {
                "figure15": Output(("simplecnn_c10_steps",), ("eta_star",), sweep="learning_rates"),
                "figure16": Output(SETTINGS, ("eta_star",), sweep="learning_rates"),
            },
            simplecnn_c10_steps={"learning_rates": (0.005, 0.02), "tuning_seeds": 2},
        )
        for name in made.plan.params.outputs:
            for configuration in made.plan.shown(name):
                for seed in made.plan.seeds(configuration):
                    made.run(configuration, seed, **of_run(configuration.learning_rate, seed))
        return made.plan

    return make


def draw(plan, name: str):
    with style.applied():
        return FIGURES[name](plan, name)


def part(data: pd.DataFrame, **values) -> pd.DataFrame:
    return data[np.logical_and.reduce([data[key] == value for key, value in values.items()])]


def legend_texts(figure) -> list[str]:
    return [text.get_text() for legend in figure.subfigs[0].legends for text in legend.get_texts()]


def test_lines_are_averages_and_the_band_of_the_trace_holds_every_single_step(plan):
    _, data = draw(plan(), "figure15")
    assert list(data) == steps.COLUMNS
    left = part(data, panel=LEFT, learning_rate=0.005, series="line")
    assert left["x"].tolist() == [1, 2, 3, 4, 5] and left["n"].tolist() == [2] * 5
    # Windows of 3 steps, 2 at the ends: of the first run 2.5, 14/3, 6, 17/3, 4, of the second 4, 3, 14/3, 13/3, 6.
    assert left["y"].tolist() == pytest.approx([3.25, 23 / 6, 16 / 3, 5, 5])
    assert left["y_low"].tolist() == [1, 4, 1, 5, 3] and left["y_high"].tolist() == [2, 6, 9, 7, 5]


def test_accuracies_are_smoothed_before_their_range_is_taken(plan):
    _, data = draw(plan(), "figure15")
    right = part(data, panel=RIGHT, learning_rate=0.02)
    for column in ("y", "y_low", "y_high"):
        assert right[column].tolist() == pytest.approx([15, 30, 50, 70, 75])


def test_the_largest_step_of_any_run_is_marked(plan):
    figure, data = draw(plan(), "figure15")
    peaks = part(data, series="maximum")
    assert peaks["x"].tolist() == [3, 3] and peaks["y"].tolist() == [9, 9] and set(peaks["panel"]) == {LEFT}
    dots = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert [line.get_xydata().tolist() for line in dots] == [[[3, 9]]] * 2
    assert legend_texts(figure)[0] == (r"$S$ = 32, $\eta$ = 0.005: largest $\mathrm{Tr}(\mathbf{F})$ 9, at step 3")


def test_the_csv_holds_what_is_drawn(plan):
    made = plan()
    figure, _ = draw(made, "figure16")
    data = pd.read_csv(render(made, "figure16")[2])
    for ax, panel in zip(figure.axes, (LEFT, RIGHT)):
        drawn = [line.get_xydata().tolist() for line in ax.get_lines() if line.get_linestyle() == "-"]
        listed = part(data, panel=panel, series="line").groupby("setting", sort=False)
        drawn = [line for line in drawn if len(line) > 1]  # without the dots
        assert drawn == [rows[["x", "y"]].astype(float).to_numpy().tolist() for _, rows in listed]


def test_colours_follow_what_varies_and_warmer_is_larger(plan):
    made = plan()
    for name, column in (("figure15", "learning_rate"), ("figure16", "batch_size")):
        figure, data = draw(made, name)
        assert data[column].unique().tolist() == sorted(data[column].unique()) and data[column].nunique() == 2
        drawn = figure.axes[1].get_lines()
        small, large = (np.array(to_rgb(line.get_color())) for line in drawn)
        assert large[0] - large[2] > small[0] - small[2]


def test_thousands_of_steps_are_thinned_without_losing_the_single_largest(plan):
    count = 7000
    trace = np.linspace(1, 2, count)
    trace[4321] = 99.0
    values = {LEFT: trace.tolist(), RIGHT: [0.5] * count}
    made = plan(lambda rate, seed: {"steps": values})
    _, data = draw(made, "figure15")
    line = part(data, panel=LEFT, learning_rate=0.02, series="line")
    assert len(line) <= 500 and line["y_high"].max() == 99 and line["y"].max() < 3
    assert line["x"].iloc[0] == (1 + 14) / 2  # 14 steps a point
    assert part(data, series="maximum", learning_rate=0.02)[["x", "y"]].to_numpy().tolist() == [[4322, 99]]
    assert len(data.to_csv(index=False)) < 500_000


def test_a_diverged_run_ends_at_its_step_and_does_not_count_for_the_largest(plan):
    def of_run(rate, seed):
        if (rate, seed) != (0.02, 1):
            return {"steps": {LEFT: TRACES[0], RIGHT: ACCURACIES}}
        broken = [2.0, 50.0, math.inf, math.nan, math.nan]
        return {"diverged": 3, "steps": {LEFT: broken, RIGHT: ACCURACIES}, "train_loss": [2.3]}

    figure, data = draw(plan(of_run), "figure15")
    ended = part(data, outcome="diverged at step 3 (seed 1)")
    assert part(ended, panel=LEFT)["x"].tolist() == [1, 2] and part(ended, panel=RIGHT)["x"].tolist() == [1, 2, 3]
    assert part(data, series="maximum")["y"].tolist() == [9, 9]
    assert figure.axes[0].get_ylim() == (0, pytest.approx(1.05 * 9))
    assert legend_texts(figure)[1].endswith("9, at step 3 (1 of 2 diverged)")


def test_a_figure_without_a_completed_run_says_so(plan):
    broken = {"diverged": 1, "steps": {LEFT: [math.nan] * 2, RIGHT: [0.1] * 2}, "train_loss": [2.3]}
    figure, data = draw(plan(lambda rate, seed: broken), "figure15")
    assert [ax.get_title("right") for ax in figure.axes] == ["every run diverged"] * 2
    assert set(data["panel"]) == {RIGHT} and "maximum" not in set(data["series"])
    assert legend_texts(figure)[-1] == "diverged" and not any("largest" in text for text in legend_texts(figure))
