"""The list of all runs, and the overview made from it."""

import json
from dataclasses import asdict

import pandas as pd
import pytest
import yaml

from catfish.analysis import overview, provenance
from catfish.config import Output
from catfish.records import write_json

SETTING = "simplecnn_c10"
GRID = {SETTING: {"learning_rates": (0.01, 0.1), "seeds": 2, "tuning_seeds": 1}}


def changed(plan, configuration, seed, **values):
    """Put other values into a run's record."""
    path = plan.run_folder(configuration, seed) / "run.json"
    write_json(path, json.loads(path.read_text()) | values)


@pytest.fixture
def made(project):
    """Two grid runs, one of them diverged; seed 0 of eta* is a copy, seed 1 is not there."""
    made = project({"figure1": Output((SETTING,), ("eta_star",))}, **GRID)
    made.best = made.plan.configuration(SETTING, "eta_star")
    made.grid = made.plan.selection(SETTING, "eta_star").candidates
    made.run(made.grid[0], 0, seconds=3.0)
    made.run(made.grid[1], 0, diverged=7, seconds=1.0, train_loss=[2.3, 9.0])
    made.run(made.best, 0, seconds=3.0)
    changed(made.plan, made.best, 0, copied_from=str(made.plan.run_folder(made.grid[0], 0)))
    made.select(SETTING, "eta_star", 0.01, edge="low")
    return made


def test_every_planned_run_is_a_row(made):
    runs = provenance.runs(made.plan).set_index(["configuration", "seed"])
    assert set(runs.index) == {(c.id, seed) for c in made.plan.jobs for seed in made.plan.seeds(c)}
    assert len(runs) == 4
    low, high = (runs.loc[(grid.id, 0)] for grid in made.grid)
    assert (low["outcome"], low["epochs"], low["learning_rate"], low["wall_seconds"]) == ("completed", 3, 0.01, 30.0)
    assert (high["outcome"], high["epochs"], high["learning_rate"]) == ("diverged at step 7", 1, 0.1)
    assert [low[key] for key in ("hardware", "threads", "commit", "python", "torch")] == [
        "Abacus x2", 1, "c0ffee", "3.12.1", "2.14.0"]  # fmt: skip
    assert runs.loc[(made.best.id, 0), "copied_from"] == str(made.plan.run_folder(made.grid[0], 0))
    missing = runs.loc[(made.best.id, 1)]
    assert missing["outcome"] == "failed" and missing["reason"] == "not finished"
    assert pd.isna(missing["wall_seconds"]) and pd.isna(low["reason"])


def test_a_failed_run_tells_the_end_of_its_log(made):
    log = made.plan.figures.parents[1] / "logs" / "demo" / "train" / f"{made.best.id}.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1\nMemoryError: too much\n")
    failed = provenance.runs(made.plan).query("outcome == 'failed'")
    assert failed["reason"].iloc[0].endswith(f"{log} ends with: MemoryError: too much")


def test_a_run_of_other_settings_is_a_failure(made):
    record = json.loads((made.plan.run_folder(made.grid[0], 0) / "run.json").read_text())["run"]
    changed(made.plan, made.grid[0], 0, run=record | {"momentum": 0.123})
    runs = provenance.runs(made.plan).set_index("configuration")
    assert runs.loc[made.grid[0].id, "outcome"] == "failed"
    assert "differs from params.yaml in momentum" in runs.loc[made.grid[0].id, "reason"]


def test_the_overview_counts_and_lists(made):
    text = overview.markdown(made.plan, provenance.runs(made.plan))
    assert "4 runs of 3 configurations" in text and "**2 completed, 1 diverged, 1 failed or are missing.**" in text
    assert "Training took 40 s in all" in text  # 30 + 10: the copy's 30 were spent once
    failed, diverged = (text.partition(title)[2].partition("##")[0] for title in ("missing runs\n", "Diverged runs\n"))
    assert f"- `{made.best.id}`, seed 1: " in failed and "seed 0" not in failed
    assert diverged.strip() == f"- `{made.grid[1].id}`, seed 0: diverged at step 7 (learning rate 0.1)"
    row = next(line for line in text.splitlines() if line.startswith(f"| {SETTING} "))
    assert [cell.strip() for cell in row.split("|")[3:-1]] == ["3", "4", "2", "1", "1", "40 s", "23 s"]
    assert f"- {SETTING}/eta_star = 0.01, the smallest value tried" in text
    assert "- figure1" in text.partition("## Not rendered")[2]
    assert "Warning" not in text


def test_different_origins_are_a_warning(made):
    changed(made.plan, made.grid[1], 0, commit="badc0de", versions={"python": "3.12.1", "torch": "2.11.0"})
    text = overview.markdown(made.plan, provenance.runs(made.plan))
    assert "**Warning: these runs differ in commit, torch.**" in text
    made_by = text.partition("## What made the runs")[2]
    assert [made_by.count(value) for value in ("c0ffee", "badc0de", "2.11.0")] == [1, 1, 1]


def test_a_machine_is_one_row_however_many_commits_it_trained_with(made):
    changed(made.plan, made.grid[1], 0, commit="badc0de")
    text = overview.markdown(made.plan, provenance.runs(made.plan))
    assert "**Warning: these runs differ in commit.**" in text
    row = text.partition("## What made the runs")[2].split("|\n")[2]
    cells = ["Abacus x2", "1", "2.14.0", "3.12.1", "2 different ones, see runs.csv", "3"]
    assert [cell.strip() for cell in row.split("|")[1:]] == cells


def test_runs_in_another_precision_than_their_settings_are_counted(project):
    outputs = {"figure1": Output((SETTING,), ("eta_star",))}
    made = project(outputs, **{SETTING: GRID[SETTING] | {"precision": "bf16"}})
    first, second = made.plan.selection(SETTING, "eta_star").candidates
    made.run(first, 0)  # its record is as older ones are: without a precision beside that of the settings
    made.run(second, 0)
    assert "trained in fp32" not in overview.markdown(made.plan, provenance.runs(made.plan))
    changed(made.plan, second, 0, precision="fp32")
    runs = provenance.runs(made.plan)
    assert "trained in fp32 where bfloat16 would have been emulated: 1.\n" in overview.markdown(made.plan, runs)
    assert runs["precision"].dropna().tolist() == ["bf16", "fp32"]


def test_without_any_run_there_is_an_overview(project):
    plan = project({"figure1": Output((SETTING,), ("eta_star",))}, **GRID).plan
    text = overview.markdown(plan, provenance.runs(plan))
    assert "**0 completed, 0 diverged, 4 failed or are missing.**" in text


def test_the_files(made):
    paths = overview.write(made.plan)
    assert sorted(made.plan.figures.iterdir()) == sorted(paths)
    assert len(pd.read_csv(made.plan.figures / "runs.csv")) == 4
    assert all(
        f"<td>{configuration.id}</td>" in (made.plan.figures / "runs.html").read_text()
        for configuration in made.plan.jobs
    )
    resolved = yaml.safe_load((made.plan.figures / "params.yaml").read_text())
    assert resolved == json.loads(json.dumps(asdict(made.plan.params)))
    assert resolved["settings"][SETTING]["learning_rates"] == [0.01, 0.1]


@pytest.mark.parametrize(
    "seconds, text",
    [(0.66, "0.7 s"), (42.4, "42 s"), (119, "119 s"), (121, "2 min"), (7300, "2.0 h"), (float("nan"), "–")],
)
def test_durations(seconds, text):
    assert overview.duration(seconds) == text
