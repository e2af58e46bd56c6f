import csv
import math

import numpy as np
import pytest

from catfish.errors import RecordError
from catfish.plan import RUN_FILES
from catfish.records import Table, altered, finished, read_json, write_json, write_record, write_text

COLUMNS = ("epoch", "loss", "accuracy")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "history.csv"


@pytest.fixture
def filled(path):
    """A table of five rows."""
    table = Table(path, COLUMNS)
    for epoch in range(5):
        table.append({"epoch": epoch, "loss": 1 / (epoch + 3), "accuracy": epoch / 7})
    return path


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# Tables


@pytest.mark.parametrize(
    "value",
    [0.1, 1 / 3, 1e-308, 5e-324, 1.7976931348623157e308, -0.0, 2.5e-7, 123456789.123456789, math.inf, -math.inf],
)
def test_floats_come_back_exactly(path, value):
    Table(path, COLUMNS).append({"epoch": 1, "loss": value})
    back = float(rows(path)[0]["loss"])
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))


def test_what_is_no_number_and_what_was_not_measured(path):
    Table(path, COLUMNS).append({"epoch": 3, "loss": math.nan, "accuracy": None})
    assert path.read_text() == "epoch,loss,accuracy\n3,nan,\n"


def test_a_numpy_float_is_written_as_a_number(path):
    Table(path, COLUMNS).append({"epoch": 0, "loss": np.float64(0.1)})
    assert path.read_text() == "epoch,loss,accuracy\n0,0.1,\n"


def test_a_new_table_replaces_an_old_one(filled):
    Table(filled, COLUMNS)
    assert filled.read_text() == "epoch,loss,accuracy\n"


@pytest.mark.parametrize("keep", [1, 3, 5])
def test_a_table_is_cut_back_to_the_rows_kept(filled, keep):
    before = filled.read_text().splitlines()
    table = Table(filled, COLUMNS, keep=keep)
    assert filled.read_text().splitlines() == before[: keep + 1]
    table.append({"epoch": keep})
    assert filled.read_text().splitlines() == [*before[: keep + 1], f"{keep},,"]


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_line_that_a_kill_cut_off_is_dropped(filled, cut):
    """The last line loses 1 to all of its characters; the four rows kept are whole."""
    content = filled.read_bytes()
    last = len(content.splitlines(keepends=True)[-1])
    before = content.splitlines(keepends=True)[:5]
    filled.write_bytes(content[: len(content) - min(cut, last)])
    Table(filled, COLUMNS, keep=4)
    assert filled.read_bytes() == b"".join(before)


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_cut_line_is_no_row_that_a_checkpoint_may_count_on(filled, cut):
    content = filled.read_bytes()
    filled.write_bytes(content[: len(content) - cut])
    with pytest.raises(RecordError, match="the 5 rows that its checkpoint promises"):
        Table(filled, COLUMNS, keep=5)


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"epoch,loss,accuracy\n",
        b"epoch,loss,accuracy\n0,1.0,\n",
        b"epoch,loss\n0,1.0\n1,1.0\n",
        b"epoch,accuracy,loss\n0,1.0,\n1,1.0,\n",
        b"epoch,loss,accuracy,more\n0,1.0,,\n1,1.0,,\n",
        b"epoch,loss,accuracy\n0,1.0\n1,1.0,\n",
        b"epoch,loss,accuracy\n\n0,1.0,\n1,1.0,\n",
        b"\xff\xfe\n0,1.0,\n1,1.0,\n",
    ],
)
def test_fewer_rows_than_promised_or_other_columns(path, content):
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)
    with pytest.raises(RecordError) as error:
        Table(path, COLUMNS, keep=2)
    assert str(error.value) == (
        f"{path}: does not hold the 2 rows that its checkpoint promises; delete the run's folder and train again"
    )
    assert (path.read_bytes() if content is not None else None) == content


def test_an_unknown_column_is_named_and_nothing_is_written(filled):
    before = filled.read_bytes()
    with pytest.raises(ValueError, match=r"history\.csv: no column learning, speed"):
        Table(filled, COLUMNS, keep=5).append({"epoch": 5, "speed": 1.0, "learning": 2.0})
    assert filled.read_bytes() == before


# Whole files


def test_text_and_json_are_written_into_a_new_folder(tmp_path):
    path = tmp_path / "a" / "b" / "run.json"
    write_json(path, {"η": [1, 0.1, None]})
    assert read_json(path) == {"η": [1, 0.1, None]}
    write_text(path, "naïve")
    assert path.read_bytes() == "naïve".encode()
    assert [file.name for file in path.parent.iterdir()] == ["run.json"]


@pytest.mark.parametrize("value", [{"loss": math.nan}, {"loss": math.inf}, {"what": object()}])
def test_what_is_not_json_leaves_the_old_file(tmp_path, value):
    write_json(tmp_path / "run.json", {"old": 1})
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "run.json", value)
    assert read_json(tmp_path / "run.json") == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failing):
    write_text(tmp_path / "file", "old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"catfish.files.os.{failing}", full)
    with pytest.raises(OSError, match="No space left"):
        write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_missing_json_file(tmp_path):
    with pytest.raises(RecordError, match=r"run\.json: missing; let Snakemake make it, or run the command"):
        read_json(tmp_path / "run.json")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b"[1]", "expected a JSON object, found list"),
        (b"null", "expected a JSON object, found NoneType"),
    ],
)
def test_a_damaged_json_file(tmp_path, content, message):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RecordError, match=rf"run\.json: {message}.*; delete it and run again"):
        read_json(tmp_path / "run.json")


# Whether a run is there


@pytest.fixture
def run(tmp_path):
    for name in ("history.csv", "timing.csv"):
        (tmp_path / name).touch()
    write_record(tmp_path, {"fingerprint": "abc"}, RUN_FILES)
    return tmp_path


def test_a_finished_run(run):
    assert finished(run, "abc", RUN_FILES)


@pytest.mark.parametrize("fingerprint", ["abd", "", None])
def test_the_run_of_another_fingerprint(run, fingerprint):
    assert not finished(run, fingerprint, RUN_FILES)


@pytest.mark.parametrize("name", ["run.json", "history.csv", "timing.csv"])
def test_a_run_that_lacks_a_file(run, name):
    (run / name).unlink()
    assert not finished(run, "abc", RUN_FILES)


@pytest.mark.parametrize("name", ["history.csv", "timing.csv"])
def test_a_run_of_which_a_file_was_altered(run, name):
    (run / name).write_text("altered")
    assert altered(run, read_json(run / "run.json"), RUN_FILES) == [name]
    assert not finished(run, "abc", RUN_FILES)


@pytest.mark.parametrize("content", ["", '{"fingerprint": "abc"', "[]", "{}"])
def test_a_run_with_a_damaged_record(run, content):
    (run / "run.json").write_text(content)
    assert not finished(run, "abc", RUN_FILES)
