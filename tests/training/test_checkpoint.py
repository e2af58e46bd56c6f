import random

import pytest
import torch

from catfish.errors import Interrupted, RecordError
from catfish.training import checkpoint
from catfish.training.checkpoint import NAME, OLDER, Keeper
from catfish.training.sgd import SGD
from catfish.training.state import State

CPU = torch.device("cpu")


def state(step):
    model = torch.nn.Linear(3, 2)
    return State(model, SGD(model.parameters(), 0.1, 0.9, 0.0), None, {"order": torch.Generator().manual_seed(step)},
                 epoch=2, step=step)  # fmt: skip


@pytest.fixture
def said():
    return []


@pytest.fixture
def keeper(tmp_path, said):
    return Keeper(tmp_path, "mine", 0, say=said.append)


def test_a_saved_state_comes_back(keeper, tmp_path):
    saved, other = state(7), state(1)
    assert not keeper.resume(other)
    keeper.save(saved)
    assert keeper.resume(other)
    assert (other.epoch, other.step) == (2, 7)
    assert torch.equal(other.model.weight, saved.model.weight)
    assert torch.equal(other.generators["order"].get_state(), saved.generators["order"].get_state())
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_tables_come_back_as_they_were_then(keeper, tmp_path):
    """Snakemake puts back a failed attempt's outputs from before it, with fewer rows than the state counts."""
    table = tmp_path / "history.csv"
    table.write_text("epoch,loss\n0,2.5\n1,2.25\n")
    keeper.save(state(3))
    for text in ("epoch,loss\n0,2.5\n", "epoch,loss\n0,2.5\n1,2.25\n2,2.125\n"):
        table.write_text(text)
        assert keeper.resume(state(1))
        assert table.read_text() == "epoch,loss\n0,2.5\n1,2.25\n"
    table.unlink()
    assert keeper.resume(state(1)) and table.exists()
    assert not (tmp_path / "steps.csv").exists()


def test_a_checkpoint_of_another_run_is_named_and_not_used(keeper, tmp_path, said):
    Keeper(tmp_path, "another", 0).save(state(3))
    assert not keeper.resume(state(1))
    assert said == [f"not used: {tmp_path / NAME}: of a run with other settings, code or data"]


@pytest.mark.parametrize("damage", [lambda data: data[:1000], lambda data: b"", lambda data: b"no zip" * 100])
def test_a_damaged_checkpoint_is_named_and_the_older_one_used(keeper, tmp_path, said, damage):
    for step in (3, 4):
        keeper.save(state(step))
    path = tmp_path / NAME
    path.write_bytes(damage(path.read_bytes()))
    resumed = state(1)
    assert keeper.resume(resumed)
    assert resumed.step == 3
    assert len(said) == 1 and said[0].startswith(f"not used: {path}: damaged (")


def test_any_flipped_bit_is_noticed(keeper, tmp_path, said):
    """torch would load most of them as other numbers."""
    saved, path = state(3), tmp_path / NAME
    keeper.save(saved)
    whole, source = path.read_bytes(), random.Random(0)
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[source.randrange(len(whole))] ^= 1 << source.randrange(8)
        path.write_bytes(damaged)
        said.clear()
        other = state(1)
        if keeper.resume(other):  # a bit that means nothing, such as one of a date
            assert torch.equal(other.model.weight, saved.model.weight)
            assert torch.equal(other.generators["order"].get_state(), saved.generators["order"].get_state())
        else:
            assert "damaged (" in said[0]


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(keeper, tmp_path, monkeypatch):
    keeper.save(state(3))

    def full(content, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        keeper.save(state(4))
    resumed = state(1)
    assert keeper.resume(resumed) and resumed.step == 3
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_saving_takes_a_hundredth_of_the_time(tmp_path, monkeypatch):
    keeper, clock = Keeper(tmp_path, "mine", 30), [1000.0]
    keeper.due = 0.0
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: clock[0])

    def slow(path, content, older):
        clock[0] += 2.0

    monkeypatch.setattr(checkpoint, "write", slow)
    keeper.after_step(state(1))
    assert keeper.due == 1002.0 + 200.0


def test_asked_to_end_it_saves_and_says_so(tmp_path):
    keeper = Keeper(tmp_path, "mine", 1000, stopping=lambda: True)
    with pytest.raises(Interrupted, match="stopped as asked after step 5"):
        keeper.after_step(state(5))
    assert (tmp_path / NAME).is_file() and not (tmp_path / OLDER).exists()


def test_nothing_in_the_file_is_executed(keeper, tmp_path, said):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"fingerprint": "mine", "payload": Payload()}, tmp_path / NAME)
    assert not keeper.resume(state(1))
    assert "damaged" in said[0]
    assert not (tmp_path / "executed").exists()


def test_weights_go_into_a_network_like_the_one_they_come_from(tmp_path):
    path = tmp_path / "weights.pt"
    first, second = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    checkpoint.write(path, first.state_dict())
    checkpoint.load_weights(path, second)
    assert torch.equal(first.weight, second.weight)
    with pytest.raises(RecordError, match=r"weights\.pt: weights of another network"):
        checkpoint.load_weights(path, torch.nn.Linear(4, 2))
    with pytest.raises(RecordError, match=r"absent\.pt: missing"):
        checkpoint.load_weights(tmp_path / "absent.pt", second)
