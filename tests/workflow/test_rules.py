"""Every rule on the tiny campaign: what it made, and that it made it right."""

import json

import numpy as np
import pandas as pd
import pytest

from catfish.config import load
from catfish.datasets import load_prepared, load_split
from catfish.plan import Plan


@pytest.fixture(scope="module")
def plan(finished):
    return Plan(load(finished.folder / "params.yaml"))


def test_prepare(finished):
    prepared = load_prepared(finished.folder / "data/prepared/digits")
    assert prepared.train_images.shape == (1397, 3, 32, 32)
    assert prepared.manifest["counts"] == {"train": 1397, "test": 400}


def test_split(finished, plan):
    clean, noisy = (load_split(finished.folder / plan.split_path(split)) for split in plan.splits.values())
    assert (len(clean.train_index), len(clean.validation_index)) == (96, 40)
    assert (clean.noisy.sum(), noisy.noisy.sum()) == (0, 24)
    assert np.array_equal(clean.validation_index, noisy.validation_index)


def test_train(finished, plan):
    for configuration in plan.jobs:
        for seed, folder in enumerate(plan.run_folders(configuration)):
            record = json.loads((finished.folder / folder / "run.json").read_text())
            history = pd.read_csv(finished.folder / folder / "history.csv")
            assert record["configuration"] == configuration.id
            assert record["run"]["seed"] == seed
            assert record["outcome"] == {"status": "completed"}
            assert history["epoch"].tolist() == list(range(1 + record["run"]["epochs"]))
            assert np.isfinite(history[["train_loss", "test_accuracy", "fisher_trace", "gradient_norm"]]).all().all()


def test_symbols_become_the_selected_numbers(finished, plan):
    def record(configuration):
        return json.loads((finished.folder / plan.run_folder(configuration, 0) / "run.json").read_text())["run"]

    def chosen(setting, quantity):
        selection = plan.selection_path(plan.selection(setting, quantity))
        return json.loads((finished.folder / selection).read_text())["best"]

    eta_star = chosen("simplecnn_c10", "eta_star")
    assert record(plan.configuration("simplecnn_c10", "eta_star"))["learning_rate"] == eta_star
    for setting in ("simplecnn_c10", "vgg11_c100_noise25"):  # the noise setting takes eta* from the other one
        assert record(plan.configuration(setting, "baseline"))["learning_rate"] == eta_star / 10
        assert record(plan.configuration(setting, "fp"))["coefficient"] == chosen(setting, "fp")


def test_select(finished, plan):
    selection = plan.selection("simplecnn_c10", "eta_star")
    result = json.loads((finished.folder / plan.selection_path(selection)).read_text())
    scores = {}
    for candidate in selection.candidates:
        history = pd.read_csv(finished.folder / plan.run_folder(candidate, 0) / "history.csv")
        scores[candidate.learning_rate] = history["validation_accuracy"].iloc[-1]
    assert {entry["value"]: entry["score"] for entry in result["grid"]} == pytest.approx(scores)
    assert scores[result["best"]] == max(scores.values())
    assert result["edge"] == ("low" if result["best"] == min(scores) else "high")


@pytest.mark.parametrize("number", [1, 3, 4, 5, 6])
def test_tables(finished, plan, number):
    folder = finished.folder / plan.figures
    table = pd.read_csv(folder / f"table{number}.csv")
    output = plan.params.outputs[f"table{number}"]
    expected = {(setting, method) for setting in output.settings for method in output.methods}
    assert set(zip(table["setting"], table["method"])) == expected
    assert (table["n"] == 2).all()
    assert np.isfinite(table["ours_mean"]).all()
    markdown, latex = ((folder / f"table{number}.{ending}").read_text() for ending in ("md", "tex"))
    assert "digits" in markdown
    assert r"\begin{tabular}" in latex


def test_table1_holds_the_runs_mean_beside_the_published_number(finished, plan):
    table = pd.read_csv(finished.folder / plan.figures / "table1.csv").set_index("method")
    folders = plan.run_folders(plan.configuration("simplecnn_c10", "baseline"))
    accuracies = [pd.read_csv(finished.folder / folder / "history.csv")["test_accuracy"].iloc[-1] for folder in folders]
    assert table.loc["baseline", "ours_mean"] == pytest.approx(100 * np.mean(accuracies))
    assert table.loc["baseline", "ours_std"] == pytest.approx(100 * np.std(accuracies, ddof=1))
    assert table.loc["baseline", "published"] == 71.32


@pytest.mark.parametrize("number", [1, 3, 5, 6, 8, 15])
def test_figures(finished, plan, number):
    folder = finished.folder / plan.figures
    assert (folder / f"figure{number}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"figure{number}.pdf").read_bytes().startswith(b"%PDF")
    drawn = pd.read_csv(folder / f"figure{number}.csv")
    assert (
        drawn[[name for name in ("y", "value") if name in drawn]].notna().any().all() and drawn["panel"].nunique() > 1
    )
    if number in (1, 3, 5, 8):
        assert {"series", "x", "y", "n"} <= set(drawn.columns)
        assert set(drawn["method"]) == {configuration.method for configuration in plan.shown(f"figure{number}")}


def test_metrics(finished, plan):
    metrics = json.loads((finished.folder / plan.results / "metrics.json").read_text())
    assert set(metrics["simplecnn_c10"]) == {"eta_star", "baseline", "fp", "fp_eta_star"}
    curves = pd.read_csv(finished.folder / plan.results / "curves.csv")
    assert {"setting", "method", "epoch", "test_accuracy"} <= set(curves.columns)


def test_every_job_leaves_a_log(finished, plan):
    logs = {path.relative_to(finished.folder / "logs/tiny/train").as_posix()[:-4]
            for path in finished.folder.glob("logs/tiny/train/**/*.log")}  # fmt: skip
    assert logs == set(plan.configurations)
    log = finished.folder / "logs/tiny/train/simplecnn_c10/eta_star/lr-0.05.log"
    assert "epoch 2/2  loss" in log.read_text()
