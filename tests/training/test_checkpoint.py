import pytest
import torch

from catfish.errors import RecordError
from catfish.training import checkpoint

CPU = torch.device("cpu")


def test_round_trip_and_foreign_states(tmp_path):
    path = tmp_path / checkpoint.NAME
    assert checkpoint.load(path, "mine", CPU) is None
    checkpoint.save(path, {"fingerprint": "mine", "tensor": torch.arange(3), "epoch": 2})
    assert checkpoint.load(path, "mine", CPU)["tensor"].tolist() == [0, 1, 2]
    assert checkpoint.load(path, "another run's", CPU) is None
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.NAME]


def test_a_damaged_file_is_refused_by_name(tmp_path):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, {"fingerprint": "mine", "tensor": torch.arange(1000)})
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordError, match=r"checkpoint\.pt: damaged checkpoint .* delete it"):
        checkpoint.load(path, "mine", CPU)


def test_nothing_in_the_file_is_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    torch.save({"fingerprint": "mine", "payload": Payload()}, tmp_path / checkpoint.NAME)
    with pytest.raises(RecordError):
        checkpoint.load(tmp_path / checkpoint.NAME, "mine", CPU)
    assert not (tmp_path / "executed").exists()
