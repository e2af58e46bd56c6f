import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from catfish import processor
from catfish.config import parse
from catfish.errors import RecordError
from catfish.plan import Configuration, Plan
from catfish.records import read_json, write_json
from catfish.training.precision import multiplies_bfloat16
from catfish.training.train import train_job

SOURCE = Path(__file__).parents[2] / "src"
GRID = Configuration("simplecnn_c10", "eta_star", 0.05, None)


def contents(folder, names=("history.csv", "run.json")):
    return {name: (folder / name).read_bytes() for name in names}


def test_a_job_makes_every_seed_and_leaves_finished_runs_alone(project, plan, capsys):
    configuration = plan.configuration("simplecnn_c10", "eta_star")
    chosen = {"best": 0.05, "grid": []}
    write_json(plan.selection_path(plan.selection("simplecnn_c10", "eta_star")), chosen)
    train_job(plan, configuration, "cpu", 1)
    folders = plan.run_folders(configuration)
    assert len(folders) == 2
    before = [contents(folder) for folder in folders]
    assert before[0]["history.csv"] != before[1]["history.csv"]
    record = read_json(folders[1] / "run.json")
    assert record["run"]["learning_rate"] == 0.05
    assert record["seed"] == 1
    assert record["outcome"] == {"status": "completed"}
    assert record["versions"]["torch"]
    os.utime(folders[0] / "run.json", (0, 0))
    train_job(plan, configuration, "cpu", 1)
    assert [contents(folder) for folder in folders] == before
    assert "already there" in capsys.readouterr().out
    assert time.time() - (folders[0] / "run.json").stat().st_mtime < 100


@pytest.mark.parametrize("device, precision", [("multiplied", "bf16"), ("emulated", "fp32")])
def test_the_record_says_what_bf16_was_trained_in(project, tiny_document, request, capsys, device, precision):
    request.getfixturevalue(device)
    tiny_document["scales"]["tiny"]["settings"]["simplecnn_c10"]["precision"] = "bf16"
    plan = Plan(parse(tiny_document))
    train_job(plan, GRID, "cpu", 1)
    record = read_json(plan.run_folder(GRID, 0) / "run.json")
    assert (record["run"]["precision"], record["precision"]) == ("bf16", precision)
    assert ("in fp32: bfloat16 is only emulated there" in capsys.readouterr().out) == (precision == "fp32")


def test_the_processor_is_asked_once_for_all_steps(monkeypatch):
    monkeypatch.setattr(processor, "CPUINFO", Path("nowhere"))
    multiplies_bfloat16.cache_clear()
    assert not multiplies_bfloat16(torch.device("cpu"))
    monkeypatch.setattr(processor, "bfloat16_units", lambda: ["AMX"])
    assert not multiplies_bfloat16(torch.device("cpu"))
    multiplies_bfloat16.cache_clear()
    assert multiplies_bfloat16(torch.device("cpu"))
    multiplies_bfloat16.cache_clear()


def test_a_changed_setting_trains_again(project, plan, tiny_document):
    train_job(plan, GRID, "cpu", 1)
    folder = plan.run_folder(GRID, 0)
    before = contents(folder)
    tiny_document["scales"]["tiny"]["setting_defaults"]["momentum"] = 0.5
    train_job(Plan(parse(tiny_document)), GRID, "cpu", 1)
    assert contents(folder)["history.csv"] != before["history.csv"]
    assert read_json(folder / "run.json")["run"]["momentum"] == 0.5


def test_the_best_run_of_a_grid_is_taken_over_not_trained_again(project, plan, capsys):
    train_job(plan, GRID, "cpu", 1)
    source = plan.run_folder(GRID, 0)
    grid = [{"value": 0.05, "runs": [str(source)]}]
    write_json(plan.selection_path(plan.selection("simplecnn_c10", "eta_star")), {"best": 0.05, "grid": grid})
    configuration = plan.configuration("simplecnn_c10", "eta_star")
    train_job(plan, configuration, "cpu", 1)
    first, second = plan.run_folders(configuration)
    assert (first / "history.csv").read_bytes() == (source / "history.csv").read_bytes()
    assert read_json(first / "run.json")["copied_from"] == str(source)
    assert read_json(first / "run.json")["configuration"] == configuration.id
    assert "copied_from" not in read_json(second / "run.json")


def test_missing_data_and_selections_are_named(project, plan):
    with pytest.raises(RecordError, match=r"select/simplecnn_c10/eta_star\.json: missing"):
        train_job(plan, plan.configuration("simplecnn_c10", "baseline"))
    plan.split_path(plan.split("simplecnn_c10")).unlink()
    with pytest.raises(RecordError, match=r"split_n96_v40_noise0_seed0\.npz: missing; let Snakemake"):
        train_job(plan, GRID)


def test_a_continuation_begins_where_the_other_run_ended(project, plan, capsys):
    (after,) = [c for c in plan.shown("figure6") if c.setting == "resnet26_c100_after_large"]
    early = plan.start(after)
    with pytest.raises(RecordError, match=r"early_large.*run\.json: missing; let Snakemake make it"):
        train_job(plan, after, "cpu", 1)
    train_job(plan, early, "cpu", 1)
    train_job(plan, after, "cpu", 1)
    last = pd.read_csv(plan.run_folder(early, 0) / "history.csv").iloc[-1]
    first, second = (pd.read_csv(folder / "history.csv") for folder in plan.run_folders(after))
    for history in (first, second):
        assert history["train_loss"].iloc[0] == last["train_loss"]
        assert history["test_accuracy"].iloc[0] == last["test_accuracy"]
    assert first["train_loss"].iloc[-1] != second["train_loss"].iloc[-1]

    weights = plan.run_folder(early, 0) / "weights.pt"
    weights.write_bytes(weights.read_bytes()[::-1])
    for folder in plan.run_folders(after):
        shutil.rmtree(folder)
    with pytest.raises(RecordError, match=r"weights\.pt: missing, or altered since its run ended"):
        train_job(plan, after, "cpu", 1)
    weights.unlink()
    train_job(plan, early, "cpu", 1)
    assert (plan.run_folder(early, 0) / "weights.pt").is_file()


def test_a_run_differs_where_its_settings_do(plan):
    run = plan.run(GRID, 0)
    assert run.fingerprint("data") == plan.run(GRID, 0).fingerprint("data")
    for other in (replace(run, seed=1), replace(run, code_version=99), replace(run, decay=0.5)):
        assert other.fingerprint("data") != run.fingerprint("data")
    assert run.fingerprint("other data") != run.fingerprint("data")
