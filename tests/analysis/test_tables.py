import math

import pandas as pd
import pytest

from catfish.analysis import tables
from catfish.config import Output
from catfish.errors import ConfigError, RecordError

METHODS = ("eta_star", "baseline", "fp")
CIFAR = {"dataset": "cifar10", "seeds": 2}


@pytest.fixture
def small(project):
    """Makes a table of SimpleCNN: method -> columns of each of its two runs (a step instead: diverged there)."""

    def make(name: str, runs: dict[str, list[dict | int]], edge: str | None = None, **setting):
        outputs = {name: Output(("simplecnn_c10",), tuple(runs))}
        made = project(outputs, simplecnn_c10=CIFAR | setting)
        for configuration in made.plan.shown(name):
            for seed, columns in enumerate(runs[configuration.method]):
                if isinstance(columns, int):
                    made.run(configuration, seed, diverged=columns, test_accuracy=[0.1, 0.2])
                else:
                    made.run(configuration, seed, **columns)
        made.select("simplecnn_c10", "eta_star", 0.1)
        made.select("simplecnn_c10", "fp", 0.03, edge)
        return made.plan

    return make


def accuracy(*last: float) -> list[dict]:
    return [{"test_accuracy": [0.1, 0.2, 0.3, value]} for value in last]


def read(plan, name) -> tuple[pd.DataFrame, str, str]:
    csv, md, tex, _ = tables.render(plan, name)
    frame = pd.read_csv(csv, keep_default_na=False, na_values=[""]).set_index(["quantity", "method"])
    return frame, md.read_text(), tex.read_text()


def test_means_spreads_and_differences(small):
    plan = small("table1", {"eta_star": accuracy(0.76, 0.78), "baseline": accuracy(0.70, 0.70),
                            "fp": accuracy(0.80, 0.82)})  # fmt: skip
    frame, md, tex = read(plan, "table1")
    row = frame.loc[("test_accuracy", "eta_star")]
    assert row["ours_mean"] == pytest.approx(77.0) and row["ours_std"] == pytest.approx(math.sqrt(2))
    assert (row["n"], row["diverged"], row["published"], row["unit"]) == (2, 0, 76.94, "%")
    assert row["difference"] == pytest.approx(77.0 - 76.94) and math.isnan(row["published_spread"])
    assert (row["setting"], row["label"], row["dataset"]) == ("simplecnn_c10", "SimpleCNN/C10", "cifar10")
    assert "| 77.00 ± 1.41 (2) | 70.00 ± 0.00 (2) | **81.00 ± 1.41 (2)** |" in " ".join(md.split())
    assert "| 76.94 | 71.32 | **79.66** |" in " ".join(md.split())
    assert "| +0.06 | −1.32 | +1.34 |" in " ".join(md.split())
    assert r"77.00 $\pm$ 1.41 (2) & 70.00 $\pm$ 0.00 (2) & \textbf{81.00 $\pm$ 1.41 (2)} \\" in tex
    assert r"$\eta^*$ & Baseline & FP \\" in tex and tex.startswith("\\begin{table*}")


def test_the_folder_and_its_files(small, tmp_path):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7)})
    assert tables.render(plan, "table1") == [
        plan.figures / f"table1.{suffix}" for suffix in ("csv", "md", "tex", "html")
    ]
    made = tables.render(plan, "table1", tmp_path / "elsewhere")
    assert sorted((tmp_path / "elsewhere").iterdir()) == sorted(made)  # nothing else left behind


def test_rendering_twice_gives_the_same_bytes(small):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7), "fp": [7, {"test_accuracy": [0.1] * 4}]}, edge="low")
    first = [path.read_bytes() for path in tables.render(plan, "table1")]
    assert first == [path.read_bytes() for path in tables.render(plan, "table1")]


def test_diverged_runs_are_left_out_and_counted(small):
    plan = small("table1", {"eta_star": [11, 22], "baseline": [33, *accuracy(0.6)], "fp": accuracy(0.8, 0.8)})
    frame, md, _ = read(plan, "table1")
    everyone, partly = frame.loc[("test_accuracy", "eta_star")], frame.loc[("test_accuracy", "baseline")]
    assert (everyone["n"], everyone["diverged"]) == (0, 2) and math.isnan(everyone["ours_mean"])
    assert math.isnan(everyone["difference"])
    assert (partly["n"], partly["diverged"], partly["ours_mean"]) == (1, 1, 60.0)
    assert "| diverged at step 11 | 60.00 (1) | **80.00 ± 0.00 (2)** |" in " ".join(md.split())
    assert "SimpleCNN/C10, Baseline: diverged at step 33 (seed 0); 1 of 2 runs left out of the mean." in md
    assert "SimpleCNN/C10, η*: diverged at step 11 (seed 0); diverged at step 22 (seed 1); 2 of 2 runs" in md


def test_a_value_at_the_edge_of_its_grid_is_marked(small):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7), "fp": accuracy(0.6, 0.6)}, edge="high")
    frame, md, tex = read(plan, "table1")
    assert frame.loc[("test_accuracy", "fp"), "edge"] == "simplecnn_c10/fp = 0.03, the largest value tried"
    assert pd.isna(frame.loc[("test_accuracy", "baseline"), "edge"])
    assert "60.00 ± 0.00 (2)†" in md
    assert "† Chosen at the edge of a grid: simplecnn_c10/fp = 0.03, the largest value tried." in md
    assert r"60.00 $\pm$ 0.00 (2)$^\dagger$" in tex


def test_another_data_set_is_named_and_not_compared(small):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7)}, dataset="digits")
    frame, md, _ = read(plan, "table1")
    assert "Scale demo: 3 epochs." in md
    assert "In place of the paper's data, SimpleCNN/C10 use digits: not comparable with the paper's numbers." in md
    assert "difference" not in md and "*SimpleCNN/C10 (digits)*" in md
    assert frame.loc[("test_accuracy", "baseline"), "note"] == "digits in place of cifar10"


def test_best_validation_tables_take_that_epoch(project):
    output = {"table3": Output(("vgg11_c100_noise25", "vgg11_c100_noise50"), ("baseline",))}
    one = {"seeds": 1}
    made = project(output, vgg11_c100_noise25=one, vgg11_c100_noise50=one | {"report": "last"})
    for configuration in made.plan.shown("table3"):
        made.run(configuration, 0, validation_accuracy=[0.1, 0.9, 0.2, 0.2], test_accuracy=[0.1, 0.5, 0.99, 0.3])
    made.select("vgg11_c100", "eta_star", 0.1)
    csv, md, *_ = tables.render(made.plan, "table3")
    frame = pd.read_csv(csv)
    assert frame["ours_mean"].tolist() == [50.0, 30.0] and frame["published"].tolist() == [41.74, 30.05]
    assert "epoch of the best validation accuracy: VGG-11/C100, 25% noise (digits)." in md.read_text()
    assert "Accuracy at the last epoch: VGG-11/C100, 50% noise (digits)." in md.read_text()


def test_the_heading_lists_every_length_of_training(project):
    lengths = {"vgg11_c100_noise25": 3, "vgg11_c100_noise50": 7, "vgg11_c100": 5}
    output = {"table3": Output(tuple(lengths), ("baseline",))}
    made = project(output, **{setting: {"epochs": epochs, "seeds": 1} for setting, epochs in lengths.items()})
    for configuration in made.plan.shown("table3"):
        accuracy = [0.1] * (lengths[configuration.setting] + 1)
        made.run(configuration, 0, validation_accuracy=accuracy, test_accuracy=accuracy)
    made.select("vgg11_c100", "eta_star", 0.1)
    _, md, *_ = tables.render(made.plan, "table3")
    assert "Scale demo: 3, 5 or 7 epochs." in md.read_text()


def test_table_4_shows_the_trace_and_its_root(small):
    runs = [{"fisher_trace": [900.0, 4.0, 25.0, 9.0]}, {"fisher_trace": [900.0, 49.0, 4.0, 1.0]}]
    plan = small("table4", {"eta_star": runs, "baseline": runs[:1] * 2})
    frame, md, _ = read(plan, "table4")
    trace, root = frame.loc[("max_fisher_trace", "eta_star")], frame.loc[("root_max_fisher_trace", "eta_star")]
    assert trace["ours_mean"] == (25 + 49) / 2 and root["ours_mean"] == (5 + 7) / 2
    assert root["ours_std"] == pytest.approx(math.sqrt(2))
    assert trace["published"] == root["published"] == 24.21
    assert trace["difference"] == pytest.approx(37 - 24.21) and root["difference"] == pytest.approx(6 - 24.21)
    assert "does not say whether it tabulates Tr(F) or its root" in md
    assert "**25.00 ± 0.00 (2)**" in md  # the lowest is the best


def test_table_5_compares_ratios_to_the_baseline(small):
    measured = {"seconds": 6.0, "fisher_trace": [9.0, 4.0, 2.0, 1.0]}
    plan = small("table5", {"baseline": [{"seconds": 2.0}, {"seconds": 4.0}], "fp": [measured] * 2})
    frame, md, _ = read(plan, "table5")
    seconds, ratio = frame.loc[("seconds_per_epoch", "fp")], frame.loc[("ratio_to_baseline", "fp")]
    assert seconds["ours_mean"] == 6.0 and seconds["published"] == 21.21 and math.isnan(seconds["difference"])
    assert ratio["ours_mean"] == 2.0 and ratio["published"] == pytest.approx(21.21 / 19.51)
    assert ratio["difference"] == pytest.approx(2.0 - 21.21 / 19.51)
    assert frame.loc[("ratio_to_baseline", "baseline"), "ours_mean"] == 1.0

    curvature = frame.loc[("curvature_seconds", "fp")]
    assert curvature["ours_mean"] == 0.25 and math.isnan(curvature["published"])
    assert "nan" not in md  # where nothing was measured


def test_table_5_without_a_baseline_has_no_ratios(small):
    frame, md, _ = read(small("table5", {"fp": [{"seconds": 6.0}] * 2}), "table5")
    assert math.isnan(frame.loc[("ratio_to_baseline", "fp"), "ours_mean"])
    assert "nan" not in md


def test_table_6_is_the_final_training_accuracy(small):
    plan = small("table6", {"baseline": [{"train_accuracy": [0.1, 1.0, 1.0, 0.98]}] * 2})
    frame, _, _ = read(plan, "table6")
    assert frame.loc[("train_accuracy", "baseline"), "ours_mean"] == pytest.approx(98.0)
    assert frame.loc[("train_accuracy", "baseline"), "published"] == 100.0


def test_a_method_that_the_paper_does_not_have(small):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7), "mixup": accuracy(0.8, 0.8)})
    mixup = plan.selection("simplecnn_c10", "mixup")
    plan.selection_path(mixup).write_text('{"best": 0.4, "edge": null}')
    frame, md, _ = read(plan, "table1")
    assert math.isnan(frame.loc[("test_accuracy", "mixup"), "published"])
    assert "| 71.32 | – |" in " ".join(md.split()).replace("**", "")


def test_what_is_not_run_of_a_setting_leaves_ours_empty_beside_the_papers_number(project):
    outputs = {"table1": Output(("simplecnn_c10", "vgg11_c100"), ("baseline", "gp"), only={"gp": ("vgg11_c100",)})}
    made = project(outputs, simplecnn_c10=CIFAR, vgg11_c100={"seeds": 1})
    for configuration in made.plan.shown("table1"):
        for seed in range(made.plan.params.settings[configuration.setting].seeds):
            made.run(configuration, seed, **accuracy(0.7)[0])
    for setting in ("simplecnn_c10", "vgg11_c100"):
        made.select(setting, "eta_star", 0.1)
    made.select("vgg11_c100", "gp", 0.03)
    frame, md, _ = read(made.plan, "table1")
    assert set(frame.loc["test_accuracy"].loc["gp", "setting":"setting"]) == {"vgg11_c100"}
    rows = [" ".join(line.split()) for line in md.splitlines()]
    start = rows.index("| *SimpleCNN/C10* | | |")
    assert rows[start + 1 : start + 4] == [
        "| test accuracy, ours | **70.00 ± 0.00 (2)** | |", "| paper | 71.32 | **75.73** |", "| difference | −1.32 | |",
    ]  # fmt: skip


def test_what_cannot_be_shown_is_an_error(small, project):
    plan = small("table1", {"baseline": accuracy(0.7, 0.7)})
    with pytest.raises(ConfigError, match=r"outputs.table9: no such table; there are: table1"):
        tables.render(plan, "table9")
    with pytest.raises(ConfigError, match=r"outputs.table1.sweep: .* set it to null"):
        tables.render(project({"table1": Output(("simplecnn_c10",), ("fp",), sweep="coefficients")}).plan, "table1")
    plan.selection_path(plan.selection("simplecnn_c10", "eta_star")).unlink()
    with pytest.raises(RecordError, match=r"eta_star.json: missing"):
        tables.render(plan, "table1")
