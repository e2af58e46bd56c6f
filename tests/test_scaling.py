"""What docs/scaling.md says of the paper's cost is what the plan gives."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from catfish.config import load
from catfish.plan import Plan
from catfish.training.cost import Estimate, waves
from catfish.training.describe import copied, operations_text

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "scaling.md").read_text()


@pytest.fixture(scope="module")
def paper() -> Plan:
    return Plan(load(ROOT / "params.yaml", "paper"))


def test_the_table_has_the_runs_of_the_plan(paper):
    runs = {job.setting: 0 for job in paper.jobs}
    for job, seeds in paper.jobs.items():
        runs[job.setting] += seeds - copied(paper, job)
    shown = re.findall(r"^\| (\w+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert {name: int(number) for name, number in shown} == runs
    assert f"| **together** | **{sum(runs.values()):,}** |" in TEXT


def test_the_jobs_and_their_waves_are_those_of_the_plan(paper):
    first, second, third = waves(paper)
    words = " ".join(TEXT.split())
    assert f"there are {len(paper.jobs)} jobs: {first} can start at once" in words
    assert f"then {second} (the penalties' grids" in words and f"then {third} (at the selected" in words


def test_the_operations_of_the_quickest_network_are_counted_anew(paper, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = Plan(replace(paper.params, outputs={"figure16": paper.params.outputs["figure16"]}))
    estimate = Estimate(small)
    for job, seeds in small.jobs.items():
        one, every = (operations_text(number * estimate.operations(job)) for number in (1, seeds))
        assert f"| {job.setting} | {seeds} | {one} | {every} |" in TEXT
