"""Files made with other parameters look old; the others keep their time stamps."""

from dataclasses import asdict, replace

import pytest

from catfish.config import Output, load
from catfish.outdated import outdate
from catfish.plan import Plan
from catfish.records import write_json

S = "simplecnn_c10"


@pytest.fixture
def plan(tmp_path, monkeypatch, request):
    """A small plan with all its run.json and selections on disk, in the working directory."""
    params = load(request.config.rootpath / "params.yaml", "paper")
    plan = Plan(replace(params, outputs={"table1": Output((S,), ("eta_star", "baseline", "fp"))}))
    monkeypatch.chdir(tmp_path)
    for job in plan.jobs:
        for seed, folder in zip(plan.seeds(job), plan.run_folders(job)):
            run = asdict(plan.run(job, seed))
            run |= {key: 0.5 for key in ("learning_rate", "coefficient") if isinstance(run[key], str)}
            outcome = {"status": "completed"}
            write_json(folder / "run.json", {"configuration": job.id, "seed": seed, "run": run, "outcome": outcome})
    for selection in plan.selections.values():
        grid = [{"value": value} for value in selection.values]
        write_json(plan.selection_path(selection), {"best": selection.values[0], "edge": "low", "grid": grid})
    return plan


def changed(plan: Plan, **choices) -> Plan:
    setting = replace(plan.params.settings[S], **choices)
    return Plan(replace(plan.params, settings=plan.params.settings | {S: setting}))


def test_what_is_as_planned_keeps_its_time(plan):
    times = {path: path.stat().st_mtime_ns for path in plan.results.rglob("*.json")}
    assert outdate(plan) == []
    assert {path: path.stat().st_mtime_ns for path in times} == times and len(times) > 20


def test_other_epochs_make_every_run_old(plan):
    found = outdate(changed(plan, epochs=7))
    assert sorted(found) == sorted(plan.results.rglob("run.json"))
    assert all(path.stat().st_mtime == 1 for path in found)


def test_another_grid_makes_the_selection_old_and_no_run(plan):
    found = outdate(changed(plan, learning_rates=plan.params.settings[S].learning_rates[:-1]))
    assert found == [plan.selection_path(plan.selections[f"{S}/eta_star"])]


def test_a_damaged_file_is_left_to_who_reads_it(plan):
    path = next(plan.results.rglob("run.json"))
    path.write_text("{")
    assert path not in outdate(changed(plan, epochs=7))


def test_a_selection_without_its_grid_is_made_again(plan):
    path = plan.selection_path(plan.selections[f"{S}/eta_star"])
    write_json(path, {"best": 0.1, "edge": None, "grid": [0.1, {"score": 0.5}]})
    assert outdate(plan) == [path]
