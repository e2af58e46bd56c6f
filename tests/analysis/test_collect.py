import json

import pytest

from catfish.analysis.collect import load, load_run
from catfish.config import Output
from catfish.errors import RecordError
from catfish.records import COLUMNS, TIMING_COLUMNS

OUTPUTS = {"table1": Output(("simplecnn_c10",), ("baseline",))}


@pytest.fixture
def runs(project):
    """Two runs of one configuration and their folder."""
    made = project(OUTPUTS, simplecnn_c10={"seeds": 2})
    (configuration,) = made.plan.shown("table1")
    made.run(configuration, 0, test_accuracy=[0.1, 0.2, 0.3, 0.4])
    made.run(configuration, 1, diverged=123, test_accuracy=[0.1, 0.2])
    return made, configuration, made.plan.run_folder(configuration, 0)


def test_a_run_comes_back_as_it_was_written(runs):
    made, configuration, folder = runs
    (case,) = load(made.plan, [configuration])
    first, second = case.runs
    assert first.folder == folder and first.completed and first.outcome_text == "completed"
    assert first.history["test_accuracy"].tolist() == [0.1, 0.2, 0.3, 0.4]
    assert first.history["fisher_trace"].isna().all()  # not measured
    assert tuple(first.history) == COLUMNS and tuple(first.timing) == TIMING_COLUMNS
    assert not second.completed and second.outcome_text == "diverged at step 123" and len(second.history) == 2
    assert (case.completed, case.diverged) == ([first], [second])
    assert case.learning_rate == 0.01 and case.coefficient is None


@pytest.mark.parametrize("name", ["run.json", "history.csv", "timing.csv"])
def test_a_missing_file_is_named(runs, name):
    folder = runs[2]
    (folder / name).unlink()
    with pytest.raises(RecordError, match=rf"seed0/{name}: missing; "):
        load_run(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[:-20], "cut off within its last row"),
        (lambda text: text[: text.rindex("3,30")], "ends at epoch 2, but the run completed 3"),
        (lambda text: text.replace("test_loss", "loss"), r"other columns than this version writes \(loss, test_loss\)"),
        (lambda text: text.replace("2,20", "7,20"), "its rows are not the epochs"),
        (lambda text: text.replace("0.3", "abc"), "not a table of numbers"),
        (lambda text: text.partition("\n")[0] + "\n", "its rows are not the epochs"),
    ],
)
def test_a_damaged_history_is_refused(runs, damage, message):
    path = runs[2] / "history.csv"
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecordError, match=f"history.csv: {message}.*; delete the run's folder and train again"):
        load_run(runs[2])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("outcome", {"status": "running"}, "neither completed nor diverged"),
        ("configuration", "other/baseline/lr-small", "not seed 0 of 'simplecnn_c10/baseline/lr-small'"),
        ("seed", 7, "is seed 7 of"),
    ],
)
def test_a_record_of_something_else_is_refused(runs, key, value, message):
    made, configuration, folder = runs
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {key: value}))
    with pytest.raises(RecordError, match=message):
        load(made.plan, [configuration])


def test_seeds_trained_with_different_values_are_not_averaged(runs):
    made, configuration, _ = runs
    made.run(configuration, 1, learning_rate=0.02)
    with pytest.raises(RecordError, match=r"seed1/run.json: differs from seed0 in learning_rate"):
        load(made.plan, [configuration])


def test_runs_made_with_other_settings_are_refused(runs):
    made, configuration, folder = runs
    record = json.loads((folder / "run.json").read_text())
    record["run"]["batch_size"] = 7
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(RecordError, match=r"seed0/run.json: differs from params.yaml in batch_size; train"):
        load(made.plan, [configuration])
