"""What an archive covers, on archives that are made up; tests/workflow/test_archive.py has real ones."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catfish.archive import Archive, covered
from catfish.config import parse
from catfish.plan import Plan, canonical

START, AFTER = "simplecnn_c10", "after"


@pytest.fixture
def circle(document) -> Plan:
    """A continuation that is tuned on the run from whose weights it starts."""
    document["settings"][START]["learning_rates"] = [0.1]
    document["settings"][AFTER] = {"extends": START, "starts_from": START, "tuned_on": START}
    document["outputs"] = {"figure1": {"settings": [AFTER], "methods": ["baseline"]}}
    for values in document["scales"].values():
        values.pop("outputs", None)
    return Plan(parse(document, "paper"))


def whole(plan: Plan) -> Archive:
    """The archive of every run of a plan whose selections chose 0.1."""
    chosen = {name: {"best": 0.1} for name in plan.selections}
    planned = {(c.id, seed): asdict(plan.run(c, seed, chosen)) for c in plan.jobs for seed in plan.seeds(c)}
    runs = {key: {"run": json.loads(canonical(run))} for key, run in planned.items()}
    rows = {s.id: {"asked": plan.selection_text(s), "selection": chosen[s.id]} for s in plan.selections.values()}
    return Archive(Path("archive"), runs, rows)


def test_a_continuation_may_be_tuned_on_the_run_that_it_starts_from(circle):
    assert covered(circle, whole(circle)) == (list(circle.jobs), list(circle.selections.values()))


def test_without_the_continuation_its_start_is_needed_and_with_it_the_selection(circle):
    archive = whole(circle)
    (after,) = circle.shown("figure1")
    del archive.runs[after.id, 1]
    assert covered(circle, archive) == ([], [])


def test_without_the_start_or_its_selection_nothing_is_covered(circle):
    archive, (selection,) = whole(circle), circle.selections
    runs = {key: record for key, record in archive.runs.items() if not key[0].startswith(START)}
    assert 0 < len(runs) < len(archive.runs) and covered(circle, replace(archive, runs=runs)) == ([], [])
    archive.selections[selection]["asked"] = "[]"
    assert covered(circle, archive) == ([], [])


def test_what_others_lack_does_not_count(paper_plan):
    """A missing run of a grid takes its selection along, and all that was resolved by it; other settings stay."""
    archive = whole(paper_plan)
    assert covered(paper_plan, archive)[0] == list(paper_plan.jobs)
    missing = paper_plan.selection("vgg11_c100", "eta_star").candidates[0]
    del archive.runs[missing.id, 0]
    configurations, selections = covered(paper_plan, archive)
    gone = set(paper_plan.jobs) - set(configurations)
    tuned = {s for s, setting in paper_plan.params.settings.items() if "vgg11_c100" in (s, setting.tuned_on)}
    assert gone == {missing, *(c for c in paper_plan.jobs if c.setting in tuned and isinstance(c.learning_rate, str))}
    assert {s.id for s in paper_plan.selections.values() if s not in selections} == {
        s.id for s in paper_plan.selections.values() if s.setting in tuned
    }


@pytest.fixture
def paper_plan(document) -> Plan:
    return Plan(parse(document, "paper"))
