"""Tables and figures of the follow-up paper, whose small batches are another setting's runs; and SAM beside the paper's
methods."""

import math

import pandas as pd
import pytest

from catfish.analysis import figures, statistics, tables
from catfish.analysis.figures import style
from catfish.config import Output

LARGE, SMALL = "mech_resnet18_c10", "mech_resnet18_c10_small"
SETTINGS = {name: {"seeds": 2, "dataset": "cifar10"} for name in (LARGE, SMALL)}
NORMS = [1.0, 2.0, 4.0, 8.0]


def run(made, setting, method, seed, accuracy, factor=1.0, diverged=None):
    """The best validation accuracy is at epoch 2, the best test accuracy at epoch 3."""
    made.run(made.plan.configuration(setting, method), seed, diverged=diverged, learning_rate=0.1,
             validation_accuracy=[0.1, 0.2, 0.5, 0.4], test_accuracy=[0.1, 0.2, accuracy, accuracy + 0.1],
             gradient_norm=[factor * norm for norm in NORMS])  # fmt: skip


@pytest.fixture
def made(project):
    """Small batches at 0.7 and 0.8, large ones at 0.6 with 10 times the gradient norm, GN at 0.75 with 1.1 times."""

    def make(name, methods, **more):
        made = project({name: Output((LARGE,), ("small_batch", "large_batch", *methods), **more)}, **SETTINGS)
        for seed, accuracy in enumerate((0.7, 0.8)):
            run(made, LARGE, "small_batch", seed, accuracy)
            run(made, LARGE, "large_batch", seed, accuracy - 0.15, 10.0)
            for method in methods:
                run(made, LARGE, method, seed, accuracy, 10**0.5 if method == "gn" else 100.0)
        for setting, quantity in ((SMALL, "eta_star"), (LARGE, "eta_star"), (LARGE, "gn")):
            made.select(setting, quantity, 0.1)
        return made

    return make


def test_both_choices_of_the_checkpoint_stand_beside_the_published_number(made):
    csv, md, tex, _ = tables.render(made("mech_table3", ("gn",)).plan, "mech_table3")
    frame = pd.read_csv(csv).set_index(["quantity", "method"])
    assert set(frame["setting"]) == {LARGE} and set(frame["label"]) == {"ResNet-18/C10"}
    for quantity, small in (("test_accuracy", 75.0), ("best_test_accuracy", 85.0)):
        assert frame.loc[(quantity, "small_batch"), "ours_mean"] == pytest.approx(small)
        assert frame.loc[(quantity, "large_batch"), "ours_mean"] == pytest.approx(small - 15)
        assert frame.loc[(quantity, "small_batch"), "published"] == 92.64
        assert frame.loc[(quantity, "gn"), "difference"] == pytest.approx(small - 91.75)
    text = " ".join(md.read_text().split())
    assert text.startswith("# Table M3: ") and "| SB SGD | LB SGD | LB + GN |" in text
    assert "test accuracy, epoch chosen on the test images, ours" in text
    assert "Table M3 of the experiments around the paper" in tex.read_text()


def test_only_cifar_10_was_chosen_on_the_test_images(project):
    settings = ("mech_resnet18_c100",)
    made = project({"mech_table3": Output(settings, ("large_batch",))}, mech_resnet18_c100={"seeds": 1})
    run(made, settings[0], "large_batch", 0, 0.5)
    made.select(settings[0], "eta_star", 0.5)
    csv, md, *_ = tables.render(made.plan, "mech_table3")
    assert pd.read_csv(csv)["quantity"].tolist() == ["test_accuracy"]
    assert "chosen on the test images, ours" not in md.read_text()


def test_sam_stands_beside_the_papers_methods_in_some_rows(project):
    names, methods = ("vgg11_c100", "simplecnn_c10"), ("eta_star", "sam")
    table = Output(names, methods, only={"sam": ("simplecnn_c10",)})
    made = project({"table1": table}, **{name: {"seeds": 1, "dataset": "cifar10"} for name in names})
    for configuration in made.plan.shown("table1"):
        made.run(configuration, 0, test_accuracy=[0.1, 0.2, 0.3, 0.8 if configuration.method == "sam" else 0.7])
        made.select(configuration.setting, "eta_star", 0.1)
    made.select("simplecnn_c10", "sam", 0.05)
    csv, md, *_ = tables.render(made.plan, "table1")
    frame = pd.read_csv(csv).set_index(["setting", "method"])
    assert list(frame.index) == [("vgg11_c100", "eta_star"), *(("simplecnn_c10", method) for method in methods)]
    assert frame.loc[("simplecnn_c10", "sam"), "ours_mean"] == 80.0
    assert math.isnan(frame.loc[("simplecnn_c10", "sam"), "published"])
    text = " ".join(md.read_text().split())
    assert "| η* | SAM (ours) |" in text
    assert "| 70.00 (1) | **80.00 (1)** | | paper | **76.94** | – |" in text  # the published cell is empty
    assert "| **70.00 (1)** | | | paper | **45.86** | – |" in text  # and so is that of a row without it


def test_the_distance_of_gradient_norms_is_that_of_their_logarithms(made):
    plan = made("mech_figure6", ("gn",)).plan
    (small, large, gn) = (case.completed for case in figures.micro_batch_norms.load(plan, plan.shown("mech_figure6")))
    assert statistics.gradient_norm_distance(large[0], small) == pytest.approx(1.0)
    assert statistics.gradient_norm_distance(gn[0], small) == pytest.approx(0.5)
    assert statistics.gradient_norm_distance(small[1], small) == pytest.approx(0.0)
    assert math.isnan(statistics.gradient_norm_distance(large[0], []))
    # Halfway between two measurements of the others the logarithm is halfway: here 2 and 8 at the steps 10 and 30.
    sparse = small[0].history.assign(gradient_norm=[1.0, 2.0, math.nan, 8.0])
    others = [type(small[0])(small[0].folder, small[0].record, sparse, small[0].timing)]
    assert statistics.gradient_norm_distance(small[1], others) == pytest.approx(0.0)


def draw(plan, name):
    with style.applied():
        figure, data = figures.FIGURES[name](plan, name)
        figure.draw_without_rendering()
    return figure, data


def test_norms_and_recovery(made):
    figure, data = draw(made("mech_figure6", ("gn",)).plan, "mech_figure6")
    points = data[data["panel"] == "similarity"].set_index(["method", "seed"])
    assert points["x"].to_dict() == pytest.approx({
        ("small_batch", 0): 0, ("small_batch", 1): 0, ("large_batch", 0): 1, ("large_batch", 1): 1,
        ("gn", 0): 0.5, ("gn", 1): 0.5,
    })  # fmt: skip
    assert points.loc[("gn", 1), "y"] == pytest.approx(80.0) and set(data["setting"]) == {LARGE}
    norms = data[(data["panel"] == "gradient_norm") & (data["method"] == "large_batch")]
    assert norms["x"].tolist() == [0, 10, 20, 30] and norms["y"].tolist() == pytest.approx([10, 20, 40, 80])
    drawn = [line.get_xydata().tolist() for line in figure.axes[1].get_lines()]
    assert [[x, y] for x, y in zip(norms["x"], norms["y"])] in drawn
    assert figure.axes[2].get_title(loc="left") == "Spearman: −0.89 (4 runs)"
    legend = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert legend[0].startswith("SB SGD") and legend[2].startswith("LB + GN") and r"\lambda" in legend[2]


def test_without_small_batches_nothing_is_compared(project):
    made = project({"mech_figure6": Output((LARGE,), ("large_batch",))}, **SETTINGS)
    for seed in (0, 1):
        run(made, LARGE, "large_batch", seed, 0.6)
    made.select(LARGE, "eta_star", 0.1)
    figure, data = draw(made.plan, "mech_figure6")
    assert [text.get_text() for text in figure.axes[2].texts] == ["nothing to compare"]
    assert data.loc[data["panel"] == "similarity", "x"].isna().all()


def test_accuracy_by_the_size_of_the_micro_batches(made):
    figure, data = draw(made("mech_figure7", ("gn", "gn_half")).plan, "mech_figure7")
    rows = data.set_index("method")
    assert rows["micro_batch"].dropna().to_dict() == {"gn": 16, "gn_half": 32}
    assert rows.loc["small_batch", "y"] == pytest.approx(75.0) and rows.loc["large_batch", "y"] == pytest.approx(60.0)
    assert (rows.loc["gn", "y_low"], rows.loc["gn", "y_high"]) == pytest.approx((70.0, 80.0))
    assert rows["published"].to_dict() == {"small_batch": 92.64, "large_batch": 89.83, "gn": 91.75, "gn_half": 65.09}
    squares = [line for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    assert squares[0].get_xydata().tolist() == [[16.0, 91.75], [32.0, 65.09]]
    legend = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert legend[:2] == ["SB SGD, $S$ = 16", "LB SGD, $S$ = 64"] and legend[-1] == "published"


def test_sizes_of_which_every_run_diverged(project):
    made = project({"mech_figure7": Output((LARGE,), ("large_batch", "gn"))}, **SETTINGS)
    for seed in (0, 1):
        run(made, LARGE, "large_batch", seed, 0.6)
        run(made, LARGE, "gn", seed, 0.6, diverged=7)
    for quantity in ("eta_star", "gn"):
        made.select(LARGE, quantity, 0.1)
    figure, data = draw(made.plan, "mech_figure7")
    row = data.set_index("method").loc["gn"]
    assert (row["n"], row["diverged"]) == (0, 2) and math.isnan(row["y"])
    assert "diverged" in [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
