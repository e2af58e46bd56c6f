"""Runs of two machines in one folder: what is copied, what is left, and what is refused."""

import os
import shutil
from pathlib import Path

import pytest

from catfish.analysis.merge import compare, merge
from catfish.cli import main
from catfish.config import Output
from catfish.errors import RecordError, ResultError
from catfish.plan import STEPS_FILE
from catfish.records import read_json, write_json, write_record

THERE = Path("there/results/demo")
SETTING = "simplecnn_c10"


@pytest.fixture
def here(project):
    """A project whose plan has one setting with two methods, and no runs."""
    return project({"table1": Output((SETTING,), ("eta_star", "fp"))}, simplecnn_c10={"learning_rates": (0.01, 0.02)})


@pytest.fixture
def train(here):
    """Writes seed 0 of a method's run here or into another machine's folder; returns its folder."""

    def write(folder: Path, method: str = "fp", accuracy: float = 0.5, seconds: float = 2.0) -> Path:
        configuration = here.plan.configuration(SETTING, method)
        kept, here.plan.results = here.plan.results, folder
        try:
            here.run(configuration, 0, seconds=seconds, test_accuracy=[0.1, 0.2, 0.3, accuracy])
            return here.plan.run_folder(configuration, 0)
        finally:
            here.plan.results = kept

    return write


def content(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def conflict(plan, source=THERE) -> str:
    """The message of a merge that is refused and changes nothing."""
    before = content(plan.results)
    with pytest.raises(ResultError) as error:
        merge(plan, [source])
    assert content(plan.results) == before
    return str(error.value)


def test_missing_runs_are_copied_and_others_stay_as_they_are(here, train):
    own, other = train(here.plan.results, "fp"), train(THERE, "eta_star")
    before, identity = content(own), (own / "history.csv").stat().st_ino
    done = merge(here.plan, [THERE])
    target = here.plan.results / other.relative_to(THERE)
    assert done.new == {target: other} and content(target) == content(other)
    assert content(own) == before and (own / "history.csv").stat().st_ino == identity
    assert list(here.plan.results.rglob("*.tmp")) == []


def test_equal_runs_are_skipped_though_their_times_differ(here, train):
    own = train(here.plan.results, seconds=2.0)
    train(THERE, seconds=9.0)
    before = content(own)
    done = merge(here.plan, [THERE, THERE])
    assert (done.new, len(done.equal), content(own)) == ({}, 2, before)


def test_merging_again_does_nothing(here, train):
    train(THERE)
    assert len(merge(here.plan, [THERE]).new) == 1
    done = merge(here.plan, [THERE])
    assert (done.new, len(done.equal)) == ({}, 1)


def test_other_numbers_of_the_same_run_are_refused_and_nothing_is_copied(here, train):
    own, there = train(here.plan.results, accuracy=0.5), train(THERE, accuracy=0.6)
    train(THERE, "eta_star")
    text = conflict(here.plan)
    assert text.startswith("nothing was merged; 1 in conflict:\n")
    for words in (str(own), str(there), "other numbers in history.csv", "delete the folder"):
        assert words in text


def test_a_run_from_other_data_or_another_choice_is_refused(here, train):
    train(here.plan.results)
    path = train(THERE) / "run.json"
    record = read_json(path)
    write_json(path, record | {"fingerprint": "1"})
    assert "made from different data" in conflict(here.plan)
    write_json(path, record | {"fingerprint": "1", "run": record["run"] | {"coefficient": 0.7}})
    assert "made from different coefficient" in conflict(here.plan)


def test_two_sources_that_disagree_are_refused(here, train):
    train(THERE, accuracy=0.5), train(Path("third"), accuracy=0.6)
    with pytest.raises(ResultError, match="there/results/demo"):
        merge(here.plan, [THERE, Path("third")])
    assert not here.plan.results.exists()


@pytest.mark.parametrize("name", ["history.csv", "timing.csv"])
def test_a_damaged_run_is_refused(here, train, name):
    path = train(THERE) / name
    path.write_text(path.read_text() + "\n")
    assert f"{path}: missing, or altered" in conflict(here.plan)


def test_a_record_that_is_none_and_one_of_another_run_are_refused(here, train):
    path = train(THERE) / "run.json"
    record = read_json(path)
    write_json(path, record | {"seed": 5})
    assert f"{path}: is seed 5 of {SETTING}/fp" in conflict(here.plan)
    write_json(path, {"seed": 0})
    assert f"{path}: configuration is missing, run is missing, outcome is missing; delete" in conflict(here.plan)
    path.write_text("{")
    assert f"{path}: not valid JSON" in conflict(here.plan)


def test_another_scale_is_refused(here, train):
    path = train(THERE) / "run.json"
    record = read_json(path)
    write_json(path, record | {"run": record["run"] | {"epochs": 300}})
    text = conflict(here.plan)
    assert "made with other settings than params.yaml has at the scale demo (epochs)" in text


def test_a_run_begun_here_is_not_overwritten(here, train):
    folder = train(THERE)
    target = here.plan.results / folder.relative_to(THERE)
    target.mkdir(parents=True)
    merge(here.plan, [THERE])  # an empty folder is no run
    (target / "run.json").unlink()
    assert f"{target} is begun and not finished" in conflict(here.plan)


def test_unfinished_and_unplanned_runs_are_left_there(here, train):
    (train(THERE, "fp") / "run.json").unlink()
    stray = THERE / "runs" / SETTING / "gp" / "lr-small_coefficient-best" / "seed0"
    shutil.copytree(train(THERE, "eta_star"), stray)
    done = merge(here.plan, [THERE])
    assert [folder.parts[-3] for folder in done.unfinished] == ["fp"] and done.unplanned == [stray]
    assert [target.parts[-3] for target in done.new] == ["eta_star"]


def test_all_the_files_of_a_run_come_along(here, train):
    folder = train(THERE)
    (folder / "checkpoint.pt").write_bytes(b"left over")
    (folder / STEPS_FILE).write_text("step\n")
    write_record(folder, read_json(folder / "run.json"), ["history.csv", "timing.csv", STEPS_FILE])
    (target,) = merge(here.plan, [THERE]).new
    assert {path.name for path in target.iterdir()} == {"run.json", "history.csv", "timing.csv", STEPS_FILE}


def test_a_copy_that_fails_leaves_nothing(here, train, monkeypatch):
    train(THERE)

    def cut(source, target):
        Path(target).write_bytes(Path(source).read_bytes()[:-5])

    monkeypatch.setattr(shutil, "copyfile", cut)
    with pytest.raises(RecordError):
        merge(here.plan, [THERE])
    assert content(here.plan.results) == {}


def test_a_run_that_appears_meanwhile_is_not_overwritten(here, train, monkeypatch):
    train(THERE)
    real = os.rename

    def late(source, target):
        target.mkdir()
        (target / "checkpoint.pt").write_bytes(b"of a job that began just now")
        real(source, target)

    monkeypatch.setattr(os, "rename", late)
    with pytest.raises(RecordError, match="was made while merging"):
        merge(here.plan, [THERE])
    assert [path.name for path in here.plan.results.rglob("*") if path.is_file()] == ["checkpoint.pt"]


def test_a_wrong_source_is_named_with_the_cure(here, train):
    train(THERE), train(here.plan.results)
    with pytest.raises(ResultError, match="nowhere: no such folder"):
        compare(here.plan, [Path("nowhere")])
    with pytest.raises(ResultError, match=r"there: no runs in it.*give there/results/demo"):
        compare(here.plan, [Path("there")])
    with pytest.raises(ResultError, match="these are the results that are merged into"):
        compare(here.plan, [here.plan.results])


def test_the_command_says_what_it_did(here, train, monkeypatch, capsys):
    monkeypatch.setattr("catfish.cli._loaded", lambda options: here.plan)
    folder = train(THERE)
    main(["merge", "--scale", "demo", str(THERE)])
    target = here.plan.results / folder.relative_to(THERE)
    assert capsys.readouterr().out.splitlines() == [
        f"{target}: copied from {folder}",
        "results/demo: 1 runs copied, 0 were here already, the same",
    ]
