"""Figures that compare runs by a number: early Tr(F), onsets, continuations, sets of hyper-parameters, correlations."""

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from catfish.analysis import figures, labels
from catfish.analysis.figures import continuation, correlation, early, hessian, onset, panels, style
from catfish.config import Output

SWEEP = {"methods": ("eta_star",), "sweep": "learning_rates"}
C10 = {"learning_rates": (0.01, 0.1), "tuning_seeds": 2, "early_loss": 1.0, "batch_size": 32}


def draw(plan, name: str):
    with style.applied():
        figure, data = figures.FIGURES[name](plan, name)
        figure.draw_without_rendering()
    return figure, data


def texts(figure) -> str:
    """Everything that the legends say."""
    legends = [legend for strip in figure.subfigs for legend in strip.legends]
    return "\n".join(text.get_text() for legend in legends for text in (legend.get_title(), *legend.get_texts()))


def points(ax) -> list[tuple[float, float]]:
    """Where an axes' scatters have their points."""
    found = [path.get_offsets() for path in ax.collections if isinstance(path, PathCollection)]
    return sorted(map(tuple, np.concatenate(found).tolist()))


def inside(figure) -> bool:
    """Whether titles, labels and legends lie within the figure; ticks beyond an axis' limits exist but are not seen."""
    seen = [
        text for strip in figure.subfigs for legend in strip.legends for text in (legend.get_title(), *legend.texts)
    ]
    seen += [strip._suptitle for strip in figure.subfigs]
    seen += [text for ax in figure.axes for text in (ax._left_title, ax.xaxis.label, ax.yaxis.label)]
    boxes = [text.get_window_extent() for text in seen if text.get_text()]
    return all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= -1 for box in boxes)


# Figures 2 and 7


def run_early(made, configuration, seed, trace, accuracy, loss=0.5, diverged=None):
    """The loss reaches 1 at the second epoch, where Tr(F) is `trace`; the best validation epoch is the last."""
    made.run(configuration, seed, diverged=diverged, train_loss=[2.0, 1.5, loss, loss],
             fisher_trace=[1.0, 2.0, trace, 4.0], validation_accuracy=[0.1, 0.2, 0.3, 0.4],
             test_accuracy=[0.1, 0.2, 0.3, accuracy])  # fmt: skip


@pytest.fixture
def early_plan(project):
    """Two learning rates with two runs each in `resnet26_c10`, the second of the larger rate replaced on demand."""

    def make(**last):
        made = project({"figure2": Output(("resnet26_c10",), **SWEEP)}, resnet26_c10=C10)
        low, high = made.plan.shown("figure2")
        for configuration, seed, trace, accuracy in ((low, 0, 30.0, 0.5), (low, 1, 50.0, 0.6), (high, 0, 10.0, 0.7)):
            run_early(made, configuration, seed, trace, accuracy)
        run_early(made, high, 1, **{"trace": 20.0, "accuracy": 0.8} | last)
        return made.plan

    return make


def test_early_points_are_means_with_standard_deviations(early_plan):
    figure, data = draw(early_plan(), "figure2")
    assert list(data) == early.COLUMNS
    means = data[data["point"] == "mean"].set_index("learning_rate")
    assert means["x"].to_dict() == {0.01: 40.0, 0.1: 15.0} and means["n"].tolist() == [2, 2]
    assert means["y"].to_dict() == pytest.approx({0.01: 55.0, 0.1: 75.0})  # per cent
    assert means["x_std"].to_dict() == pytest.approx({0.01: math.sqrt(200), 0.1: math.sqrt(50)})
    (ax,) = figure.axes
    bars = [container.lines[0].get_xydata()[0].tolist() for container in ax.containers]
    assert bars == [pytest.approx([40.0, 55.0]), pytest.approx([15.0, 75.0])]
    ends = [line.get_segments()[0][:, 0].tolist() for line in ax.containers[0].lines[2][:1]]
    assert ends == [pytest.approx([40 - math.sqrt(200), 40 + math.sqrt(200)])]
    dots = [tuple(point) for line in ax.get_lines() if line.get_marker() == "." for point in line.get_xydata().tolist()]
    runs = data[data["point"] == "run"]
    assert sorted(dots) == sorted(zip(runs["x"], runs["y"])) and len(dots) == 4


def test_early_panel_states_threshold_runs_and_rank_correlation(early_plan):
    figure, _ = draw(early_plan(), "figure2")
    assert r"$\epsilon$ = 1; mean and standard deviation" in texts(figure) and "of 2 runs" in texts(figure)
    assert [r"$\eta$ = 0.01" in texts(figure), r"$\eta$ = 0.1" in texts(figure)] == [True, True]
    # Ranks of Tr(F) 3 4 1 2 and of the accuracy 1 2 3 4: 1 - 6 * 16 / 60
    assert figure.axes[0].get_title(loc="left") == "Spearman: −0.60 (4 runs)"


@pytest.mark.parametrize(
    "last, outcome, said",
    [
        ({"loss": 1.2}, "loss never reached epsilon", r"1 of 4 runs never reached $\epsilon$: not shown"),
        ({"diverged": 17}, "diverged at step 17", "1 of 4 runs diverged: not shown"),
    ],
)
def test_runs_without_an_early_value_are_counted_and_not_averaged(early_plan, last, outcome, said):
    figure, data = draw(early_plan(**last), "figure2")
    run = data[(data["learning_rate"] == 0.1) & (data["seed"] == 1)].iloc[0]
    assert run["outcome"] == outcome and math.isnan(run["x"]) and math.isnan(run["y"])
    mean = data[(data["learning_rate"] == 0.1) & (data["point"] == "mean")].iloc[0]
    assert (mean["x"], mean["n"]) == (10.0, 1) and math.isnan(mean["x_std"])
    assert said in texts(figure) and "of 1 or 2 runs" in texts(figure)
    assert "(3 runs)" in figure.axes[0].get_title(loc="left")


def test_a_panel_without_any_early_value_says_so(project):
    made = project({"figure2": Output(("resnet26_c10",), **SWEEP)}, resnet26_c10=C10 | {"tuning_seeds": 1})
    for configuration in made.plan.shown("figure2"):
        run_early(made, configuration, 0, trace=1.0, accuracy=0.1, loss=5.0)
    figure, data = draw(made.plan, "figure2")
    assert [text.get_text() for text in figure.axes[0].texts] == ["no run to show of 2"]
    assert set(data["point"]) == {"run"} and len(data) == 2


def test_settings_that_differ_in_batch_size_share_a_panel(project):
    settings = ("resnet26_c10_s100", "resnet26_c10_s500", "resnet26_c100_s100")
    one = {"learning_rates": (0.02,), "tuning_seeds": 1, "early_loss": 1.0}
    sizes = {name: one | {"batch_size": size} for name, size in zip(settings, (100, 500, 100))}
    made = project({"figure7": Output(settings, **SWEEP)}, **sizes)
    for number, configuration in enumerate(made.plan.shown("figure7")):
        run_early(made, configuration, 0, trace=10.0 ** (2 * number + 1), accuracy=0.5)
    figure, data = draw(made.plan, "figure7")
    assert data.groupby("panel", sort=False)["setting"].nunique().tolist() == [2, 1]
    assert "$S$ = 100" in texts(figure) and "$S$ = 500" in texts(figure) and "single runs" in texts(figure)
    assert [ax.get_xscale() for ax in figure.axes] == ["linear", "linear"]  # two decades are not yet over two


def test_an_early_trace_that_spans_over_two_decades_has_a_logarithmic_axis(early_plan):
    figure, _ = draw(early_plan(trace=5001.0), "figure2")
    assert figure.axes[0].get_xscale() == "log"


# Figure 4


@pytest.fixture
def onset_plan(project):
    """Final accuracies of two seeds: factors 1 and 0.8 of what stands here."""

    def make(diverging: tuple[str, ...] = (), both: bool = False):
        methods = ("eta_star", "baseline", "fp", "fp_from_1", "fp_from_4")
        made = project({"figure4": Output(("simplecnn_c10",), methods)}, simplecnn_c10={"seeds": 2})
        for configuration, final in zip(made.plan.shown("figure4"), (0.8, 0.5, 0.9, 0.7, 0.6)):
            for seed, factor in enumerate((1.0, 0.8)):
                ends = configuration.method in diverging and (both or seed)
                made.run(
                    configuration, seed, diverged=17 if ends else None, test_accuracy=[0.1, 0.2, 0.3, factor * final]
                )
        return made.plan

    return make


def test_onsets_come_from_the_methods_and_lines_from_those_without_a_penalty(onset_plan):
    figure, data = draw(onset_plan(), "figure4")
    assert list(data) == onset.COLUMNS
    rows = data.set_index("method")
    assert rows["onset"].dropna().to_dict() == {"fp": 0, "fp_from_1": 1, "fp_from_4": 4}
    assert rows.loc["fp_from_4", ["y", "y_low", "y_high"]].tolist() == pytest.approx([54.0, 48.0, 60.0])
    (ax,) = figure.axes
    (container,) = ax.containers
    assert container.lines[0].get_xydata().tolist() == [
        pytest.approx([0, 81]),
        pytest.approx([1, 63]),
        pytest.approx([4, 54]),
    ]
    lines = {
        line.get_ydata()[0] for line in ax.get_lines() if len(set(line.get_ydata())) == 1 and len(line.get_ydata()) == 2
    }
    assert sorted(lines) == pytest.approx([45.0, 72.0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "4"]
    # A doubling is as wide as any other, and the beginning is on the axis.
    at = ax.transData.transform([(0, 50), (1, 50), (2, 50), (4, 50)])[:, 0]
    assert at[0] < at[1] and at[3] - at[2] == pytest.approx(at[2] - at[1])
    assert "mean and range of 2 runs" in texts(figure)


def test_diverged_onsets_are_marked(onset_plan):
    figure, data = draw(onset_plan(("fp_from_1",)), "figure4")
    row = data.set_index("method").loc["fp_from_1"]
    assert (row["n"], row["diverged"]) == (1, 1) and row["y"] == pytest.approx(70.0)
    crosses = [line.get_xdata().tolist() for line in figure.axes[0].get_lines() if line.get_marker() == "x"]
    assert crosses == [[1]] and "diverged" in texts(figure)
    figure, data = draw(onset_plan(("eta_star", "baseline", "fp", "fp_from_1", "fp_from_4"), both=True), "figure4")
    assert data["y"].isna().all() and figure.axes[0].texts[0].get_text() == "every run diverged"


# Figures 6 and 10


@pytest.fixture
def continued(project):
    """Early networks with Tr(F) 100 and 25, and continuations with the given final Tr(H) and validation epochs."""

    def make(small: list[float], large: list[float], diverged: int = 0):
        groups = {"small": small, "large": large}
        settings = {f"resnet26_c100_after_{name}": {"tuning_seeds": len(values), "learning_rates": (0.001,)}
                    for name, values in groups.items()}  # fmt: skip
        rates = {"small": 0.001, "large": 0.01}
        settings |= {f"resnet26_c100_early_{name}": {"learning_rates": (rate,)} for name, rate in rates.items()}
        names = ("resnet26_c100_early_small", "resnet26_c100_early_large",
                 "resnet26_c100_after_small", "resnet26_c100_after_large")  # fmt: skip
        made = project({"figure6": Output(names, **SWEEP)}, **settings)
        first, second, *after = made.plan.shown("figure6")
        for configuration, trace in ((first, 100.0), (second, 25.0)):
            made.run(configuration, 0, fisher_trace=[1.0, 2.0, 3.0, trace])
        for configuration, values in zip(after, groups.values()):
            for seed, value in enumerate(values):
                made.run(configuration, seed, diverged=9 if seed < diverged else None, fisher_trace=[1.0] * 4,
                         validation_accuracy=[0.1, 0.4, 0.3, 0.2], test_accuracy=[0.1, 0.4 + value / 1000, 0.3, 0.9],
                         hessian_trace=[500.0, value, 600.0, 700.0])  # fmt: skip
        return made.plan

    return make


def test_continuations_are_grouped_by_where_they_start(continued):
    figure, data = draw(continued([40.0, 50.0, 60.0], [5.0, 8.0]), "figure6")
    assert list(data) == continuation.COLUMNS
    small, large = "resnet26_c100_early_small", "resnet26_c100_early_large"
    rows = data.set_index(["panel", "group"])["value"]
    assert rows["early_fisher_trace"].to_dict() == {small: 100.0, large: 25.0}  # the last epoch's
    assert rows["hessian_trace", small].tolist() == [40.0, 50.0, 60.0]  # the best validation epoch's, not the last
    assert rows["test_accuracy", large].tolist() == pytest.approx([40.5, 40.8])
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == [100.0, 25.0]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == [r"$\eta$ = 0.001", r"$\eta$ = 0.01"]
    assert r"early phase with $\eta$ = 0.001, 3 continuations" in texts(figure)


@pytest.mark.parametrize("large", [[5.0, 8.0, 5.5], [0.1, 0.2, 0.11]])  # the second on a logarithmic axis
def test_histograms_count_the_runs_of_the_csv(continued, large):
    figure, data = draw(continued([40.0, 50.0, 60.0, 41.0], large), "figure6")
    assert figure.axes[1].get_xscale() == ("log" if min(large) < 1 else "linear")
    for ax, panel in zip(figure.axes[1:], ("hessian_trace", "test_accuracy")):
        shown = data[data["panel"] == panel]
        assert (
            (shown["bin_low"] <= shown["value"] * (1 + 1e-9)) & (shown["value"] * (1 - 1e-9) <= shown["bin_high"])
        ).all()
        counts = shown.groupby(["group", "bin_low"]).size()
        heights = [
            max(path.vertices[:, 1].max() for path in collection.get_paths())
            for collection in ax.collections
            if collection.get_paths() and not hasattr(collection, "get_segments")
        ]
        assert sorted(heights) == sorted(counts.groupby("group").max())
        assert ax.get_ylim()[0] == 0 and ax.get_ylim()[1] > counts.max()
        ticks = [segment[0, 0] for collection in ax.collections if hasattr(collection, "get_segments")
                 for segment in collection.get_segments()]  # fmt: skip
        assert sorted(ticks) == pytest.approx(sorted(shown["value"]))


def test_diverged_continuations_are_counted_in_the_legend(continued):
    figure, data = draw(continued([40.0, 50.0], [5.0], diverged=1), "figure6")
    assert "2 continuations (1 diverged)" in texts(figure) and "1 continuation (1 diverged)" in texts(figure)
    ended = data[data["outcome"] != "completed"]
    assert ended["value"].isna().all() and len(ended) == 4
    figure, _ = draw(continued([40.0], [5.0], diverged=1), "figure6")
    assert [ax.texts[0].get_text() for ax in figure.axes[1:]] == ["no completed run"] * 2


# Figure 11


@pytest.mark.parametrize(
    "values, sets",
    [
        ([0.0008, 0.001, 0.0012, 0.008, 0.01, 0.012], "AAABBB"),
        ([1 / 80, 1 / 100, 1 / 120, 1 / 480, 1 / 500, 1 / 520], "BBBAAA"),
        ([0.1, 0.2, 0.41], "AAB"),
        ([0.1, 0.1], "AA"),
        ([0.1], "A"),
    ],
)
def test_coarse_sets_are_divided_at_the_largest_ratio(values, sets):
    assert "".join(hessian.coarse_sets(values)) == sets


def test_hessian_curves_of_both_sets(project):
    rates = (0.001, 0.0012, 0.01)
    made = project({"figure11": Output(("resnet26_c100_long",), **SWEEP)},
                   resnet26_c100_long={"learning_rates": rates, "tuning_seeds": 2})  # fmt: skip
    for configuration in made.plan.shown("figure11"):
        for seed, factor in enumerate((1.0, 3.0)):
            made.run(
                configuration,
                seed,
                hessian_trace=[9.0, None, 4.0 * factor, 2.0],
                train_loss=[2.0, 0.1 * factor, 0.5, 1.0],
                validation_accuracy=[0.1, 0.2, 0.5, 0.4],
                test_accuracy=[0.1, 0.2, 0.25 * factor, 0.9],
            )
    figure, data = draw(made.plan, "figure11")
    assert list(data) == hessian.COLUMNS
    assert data.groupby("learning_rate")["set"].first().to_dict() == {0.001: "A", 0.0012: "A", 0.01: "B"}
    one = data[data["learning_rate"] == 0.01]
    assert one["x"].tolist() == [0, 2, 3] and one["y"].tolist() == [9.0, 8.0, 2.0]
    assert (one["y_low"].tolist(), one["y_high"].tolist()) == ([9.0, 4.0, 2.0], [9.0, 12.0, 2.0])
    assert r"$\eta$ = 0.01: $\ell$ 0.200, TA 50.0 %" in texts(figure)  # means of 0.1 and 0.3, of 25 and 75
    assert "TA: test accuracy at best validation" in texts(figure)
    red, also_red, blue = (line.get_color() for line in figure.axes[0].get_lines())
    assert len({red, also_red, blue}) == 3
    assert all(int(c[1:3], 16) > int(c[5:7], 16) for c in (red, also_red)) and int(blue[1:3], 16) < int(blue[5:7], 16)


def test_a_diverged_run_of_figure_11_is_left_out_of_the_means_and_counted(project):
    made = project({"figure11": Output(("resnet26_c100_long",), **SWEEP)},
                   resnet26_c100_long={"learning_rates": (0.001, 0.01), "tuning_seeds": 2})  # fmt: skip
    columns = {"hessian_trace": [9.0, 4.0], "train_loss": [2.0, 0.5], "validation_accuracy": [0.1, 0.5],
               "test_accuracy": [0.1, 0.25]}  # fmt: skip
    for configuration in made.plan.shown("figure11"):
        for seed in (0, 1):
            ends = configuration.learning_rate == 0.01 or seed == 1
            rows = {name: values if ends else values + values[1:] * 2 for name, values in columns.items()}
            made.run(configuration, seed, diverged=9 if ends else None, **rows)
    figure, _ = draw(made.plan, "figure11")
    assert r"$\eta$ = 0.001: $\ell$ 0.500, TA 25.0 % (1 diverged)" in texts(figure)
    assert r"$\eta$ = 0.01: 2 diverged" in texts(figure)


# Figures 12 and 18


def test_figure_12_shows_every_epoch_of_every_run(project):
    made = project({"figure12": Output(("simplecnn_c10",), **SWEEP)},
                   simplecnn_c10={"learning_rates": (0.01, 0.1), "tuning_seeds": 1})  # fmt: skip
    small, large = made.plan.shown("figure12")
    made.run(small, 0, fisher_trace=[1.0, 3.0, None, 2.0], fisher_trace_minibatch=[10.0, 30.0, 7.0, 20.0])
    made.run(large, 0, diverged=9, fisher_trace=[4.0, 5.0], fisher_trace_minibatch=[50.0, 40.0])
    figure, data = draw(made.plan, "figure12")
    assert list(data) == correlation.COLUMNS
    shown = data[data["series"] == "points"]
    assert shown["epoch"].tolist() == [0, 1, 3, 0, 1]
    assert points(figure.axes[0]) == sorted(zip(shown["x"], shown["y"])) and len(shown) == 5
    assert figure.axes[0].get_title(loc="left") == "Spearman: 0.90 (5 points)"
    curve = data[(data["panel"] == "fisher_trace_minibatch") & (data["learning_rate"] == 0.01)]
    assert curve["x"].tolist() == [0, 1, 2, 3] and curve["y"].tolist() == [10.0, 30.0, 7.0, 20.0]
    colours = {ax.get_lines()[0].get_color() for ax in figure.axes[1:3]}
    assert len(colours) == 1  # one learning rate, one colour


def test_figure_18_shows_what_was_measured_together(project):
    made = project({"figure18": Output(("simplecnn_c10",), ("eta_star",))}, simplecnn_c10={"seeds": 1})
    (configuration,) = made.plan.shown("figure18")
    made.run(configuration, 0, fisher_trace=[1.0, 30.0, 20.0, 500.0], fisher_trace_minibatch=[1.0, 0.2, 0.1, 2.0],
             hessian_trace=[2.0, None, 10.0, -3.0], hessian_trace_error=[0.5, None, 2.0, 4.0])  # fmt: skip
    figure, data = draw(made.plan, "figure18")
    first = data[data["panel"] == "hessian_trace against fisher_trace"]
    assert first[["epoch", "x", "y", "y_low", "y_high"]].to_numpy().tolist() == [
        [0, 1.0, 2.0, 1.5, 2.5], [2, 20.0, 10.0, 8.0, 12.0], [3, 500.0, -3.0, -7.0, 1.0]]  # fmt: skip
    assert [ax.get_yscale() for ax in figure.axes[:2]] == ["log", "linear"]
    assert "1 with a value below zero not shown" in figure.axes[0].get_title(loc="left")
    assert points(figure.axes[1]) == [(0.1, 10.0), (1.0, 2.0), (2.0, -3.0)]
    assert figure.axes[2].get_ylabel() == "epoch" and figure.axes[2].get_ylim() == (0, 3)
    assert "all measured epochs of a single run" in texts(figure)


# What they share


def test_headings_name_network_and_data(project):
    params = project(
        {"figure12": Output(("simplecnn_c10",), **SWEEP)}, resnet26_c100={"model": "resnet26_arpit"}
    ).plan.params
    assert labels.setting(params, "resnet26_c100") == "ResNet-26/C100 (digits)"
    assert labels.setting(params, "resnet18_imagenet") == "SimpleCNN/ImageNet (digits)"
    assert labels.setting(params, "simplecnn_c10") == "SimpleCNN/C10 (digits)"


def test_rank_correlation_is_spearmans():
    table = pd.DataFrame({"x": [1.0, 2.0, 3.0, 40.0], "y": [1.0, 3.0, 2.0, 9.0]})
    assert panels.rank_correlation(table) == pytest.approx(0.8)  # 1 - 6 * 2 / 60
    assert math.isnan(panels.rank_correlation(table.iloc[:2])) and math.isnan(
        panels.rank_correlation(table.assign(y=1.0))
    )
    assert panels.correlation_text(table.iloc[:2], "runs") == "Spearman: – (2 runs)"


def test_no_text_leaves_the_page(project, early_plan):
    figure, _ = draw(early_plan(loss=1.2), "figure2")
    assert inside(figure)
    settings = ("resnet18_imagenet", "resnet26_c10", "resnet26_c100")
    made = project({"figure2": Output(settings, **SWEEP)}, **dict.fromkeys(settings, C10))
    for configuration in made.plan.shown("figure2"):
        for seed in (0, 1):
            run_early(made, configuration, seed, 20000.0 + seed, 0.5, loss=0.5 + seed)
    assert inside(draw(made.plan, "figure2")[0])


def test_csv_is_the_tidy_data(early_plan):
    plan = early_plan()
    pdf, png, csv = figures.render(plan, "figure2")
    with style.applied():
        _, data = figures.FIGURES["figure2"](plan, "figure2")
    pd.testing.assert_frame_equal(pd.read_csv(csv), data, check_dtype=False)
    assert pdf.stat().st_size and png.stat().st_size
